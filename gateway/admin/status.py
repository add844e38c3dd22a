"""How the upstreams and their targets are, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gateway.admin.api import Order
    from gateway.gateway import Gateway
    from gateway.upstream.upstream import AnyTarget, Upstream

READY: Final = "ready"
STANDBY: Final = "standby"  # a backup, or of a lower priority
DRAINED, DOWN, EJECTED = "drained", "down", "ejected"


async def status(gateway: Gateway, _order: Order) -> dict[str, Any]:
    snapshot = gateway.snapshot
    return {
        "state": snapshot.readiness.state.value,
        "config": {"file": snapshot.config.source.file, "digest": snapshot.config.digest},
        "upstreams": {name: _upstream(upstream) for name, upstream in snapshot.upstreams.items()},
        "mirrors": {name: mirror.told() for name, mirror in snapshot.mirrors.items()},
    }


def _upstream(upstream: Upstream) -> dict[str, Any]:
    told: dict[str, Any] = {
        "all_out": upstream.all_out, "targets": [_target(target, upstream) for target in upstream.targets],
    }  # fmt: skip
    if upstream.keeper is not None:
        told["discovery"] = upstream.keeper.told()
    return told


def _target(target: AnyTarget, upstream: Upstream) -> dict[str, Any]:
    facts = {
        "name": target.name,
        "url": target.address.url,
        "state": state_of(target, is_ready=target in upstream.ready),
        "weight": round(target.weight, 3),
        "in_flight": target.in_flight,
        "requests": target.requests,
        "failures": target.failures,
    }
    if facts["state"] in (DOWN, EJECTED):
        facts["reason"] = target.reason
    return facts


def state_of(target: AnyTarget, *, is_ready: bool) -> str:
    """Why it is not picked; a target that is out may be tried all the same, where all are."""
    if target.drained:
        return DRAINED
    if target.down:
        return DOWN
    if target.ejected:
        return EJECTED
    return READY if is_ready else STANDBY
