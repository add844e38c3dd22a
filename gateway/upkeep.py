"""From the words of the configuration to the rules by which an upstream stays up."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from gateway import config as c
from gateway.limits.adaptive import AdaptiveRules
from gateway.limits.breaker import BreakerRules
from gateway.limits.outlier import Passive
from gateway.upstream.guard import Guard
from gateway.upstream.health import Health
from gateway.upstream.probe import HealthCheck
from gateway.upstream.retry import Retry

if TYPE_CHECKING:
    from gateway.deadlines import Deadlines
    from gateway.upstream.tally import Tally


def health_of(options: c.UpstreamOptions, deadlines: Deadlines) -> Health | None:
    """Who judges the targets; None where there is nothing to judge by."""
    check = None if options.health_check is None else _health_check(options.health_check)
    passive = _passive(options.passive) if isinstance(options.passive, c.PassiveOptions) else None
    if check is None and passive is None:
        return None
    return Health(deadlines, check, passive, options.slow_start or 0)


def guard_of(options: c.UpstreamOptions, deadlines: Deadlines, tally: Tally | None) -> Guard | None:
    """What bounds the targets' work; None where connections alone do. tally: of several workers."""
    breaker, adaptive = options.circuit_breaker, options.adaptive_concurrency
    circuit = _circuit(breaker) if isinstance(breaker, c.BreakerOptions) else None
    limits = _adaptive(adaptive) if isinstance(adaptive, c.AdaptiveOptions) else None
    if circuit is None and limits is None and options.max_requests is None:
        return None
    return Guard(deadlines.now, options.max_requests or inf, circuit, limits, tally)


def retry_of(options: c.RetryOptions | None, deadlines: Deadlines) -> Retry | None:
    """What may be repeated; None for nothing."""
    return None if options is None else Retry(options.rules(), deadlines.now)


def _circuit(options: c.BreakerOptions) -> BreakerRules:
    return BreakerRules(
        error_rate=options.error_rate,
        min_requests=options.min_requests,
        window=options.window,
        open_for=options.open_for,
        statuses=c.statuses(options.status),
    )


def _adaptive(options: c.AdaptiveOptions) -> AdaptiveRules:
    return AdaptiveRules(
        lowest=options.min, highest=options.max, initial=options.initial, tolerance=options.tolerance
    )


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
