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
    }


def _upstream(upstream: Upstream) -> dict[str, Any]:
    return {"targets": [_target(target) for target in upstream.targets]}


def _target(target: AnyTarget) -> dict[str, Any]:
    return {
        "name": target.name,
        "url": target.address.url,
        "weight": target.weight,
        "in_flight": target.in_flight,
        "requests": target.requests,
        "failures": target.failures,
    }
