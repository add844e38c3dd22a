"""From the words of the configuration to the rules by which an upstream stays up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import config as c
from gateway.limits.outlier import Passive
from gateway.upstream.health import Health
from gateway.upstream.probe import HealthCheck

if TYPE_CHECKING:
    from gateway.deadlines import Deadlines


def health_of(options: c.UpstreamOptions, deadlines: Deadlines) -> Health | None:
    """Who judges the targets; None where there is nothing to judge by."""
    check = None if options.health_check is None else _health_check(options.health_check)
    passive = _passive(options.passive) if isinstance(options.passive, c.PassiveOptions) else None
    if check is None and passive is None:
        return None
    return Health(deadlines, check, passive, options.slow_start or 0)


def _health_check(options: c.HealthCheckOptions) -> HealthCheck:
    return HealthCheck(
        path=options.path,
        method=options.method,
        headers=options.headers,
        interval=options.interval,
        timeout=options.timeout,
        passes=options.passes,
        fails=options.fails,
        statuses=c.statuses(options.status),
        body=options.body.encode(),
        starts_down=options.start == "down",
    )


def _passive(options: c.PassiveOptions) -> Passive:
    return Passive(
        max_fails=options.max_fails,
        fail_timeout=options.fail_timeout,
        statuses=c.statuses(options.status),
        error_rate=options.error_rate,
        min_requests=options.min_requests,
        max_ejected=options.max_ejected,
    )
