"""The state of upstreams as numbers, read when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.observe.counters import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.observe.counters import Labels
    from gateway.upstream.upstream import Upstream

AT = ("upstream", "target")


def upstream_metrics(upstreams: Iterable[Upstream]) -> list[Metric]:
    """Of each target whether it is in, its weight now, its requests and probes; of each upstream its circuit."""
    up: dict[Labels, float] = {}
    ejected: dict[Labels, float] = {}
    weight: dict[Labels, float] = {}
    in_flight: dict[Labels, float] = {}
    checks: dict[Labels, float] = {}
    circuits: dict[Labels, float] = {}
    for upstream in upstreams:
        for target in upstream.targets:
            at = (upstream.name, target.name)
            up[at] = int(not (target.down or target.drained or target.ejected))
            ejected[at] = int(target.ejected)
            weight[at] = target.weight
            in_flight[at] = target.in_flight
            for result, count in (("passed", target.checks_passed), ("failed", target.checks_failed)):
                if count:
                    checks[*at, result] = count
        if upstream.guard is not None and upstream.guard.breaker is not None:
            circuits[upstream.name,] = upstream.guard.breaker.state.value
    return [
        Metric("gateway_upstream_target_up", "gauge", AT, up),
        Metric("gateway_upstream_target_ejected", "gauge", AT, ejected),
        Metric("gateway_upstream_target_weight", "gauge", AT, weight),
        Metric("gateway_upstream_target_in_flight", "gauge", AT, in_flight),
        Metric("gateway_upstream_health_checks_total", "counter", (*AT, "result"), checks),
        Metric("gateway_circuit_state", "gauge", ("upstream",), circuits),
    ]
