"""How the upstreams and their targets are, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.admin.api import Order
    from gateway.gateway import Gateway
    from gateway.upstream.upstream import AnyTarget, Upstream


async def status(gateway: Gateway, _order: Order) -> dict[str, Any]:
    snapshot = gateway.snapshot
    return {
        "state": snapshot.readiness.state.value,
        "config": {"file": snapshot.config.source.file, "digest": snapshot.config.digest},
        "upstreams": {name: _upstream(upstream) for name, upstream in snapshot.upstreams.items()},
        "mirrors": {name: mirror.told() for name, mirror in snapshot.mirrors.items()},
    }


def _upstream(upstream: Upstream) -> dict[str, Any]:
    told: dict[str, Any] = {"targets": [_target(target) for target in upstream.targets]}
    if upstream.keeper is not None:
        told["discovery"] = upstream.keeper.told()
    return told


def _target(target: AnyTarget) -> dict[str, Any]:
    return {
        "name": target.name,
        "url": target.address.url,
        "weight": target.weight,
        "in_flight": target.in_flight,
        "requests": target.requests,
        "failures": target.failures,
    }
