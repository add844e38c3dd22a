"""Take a target out by hand, and in again: it gets no new requests, and what is under way on it ends.

That is kept: over reloads with the upstream, and over restarts in the control directory; where gateways share a Redis it
is for all of them, and kept there (`shared_drains.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gateway.admin.guard import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.admin.api import Order
    from gateway.gateway import Gateway
    from gateway.upstream.upstream import AnyTarget, Upstream

log = logging.getLogger("gateway.admin")


async def drain(gateway: Gateway, order: Order) -> dict[str, Any]:
    """Raises Refused where there is no such target."""
    upstream, target = find(gateway.snapshot.upstreams.values(), order.text("target"))
    upstream.drain(target)
    return await _told(gateway, upstream, target, "target drained")


async def enable(gateway: Gateway, order: Order) -> dict[str, Any]:
    """Raises Refused where there is no such target."""
    upstream, target = find(gateway.snapshot.upstreams.values(), order.text("target"))
    upstream.enable(target)
    return await _told(gateway, upstream, target, "target enabled")


def find(upstreams: Iterable[Upstream], name: str) -> tuple[Upstream, AnyTarget]:
    """`api/api-1:9000`, with the target's host alone, its address or its URL; of an upstream with one target its name
    is enough. Raises Refused."""
    known = list(upstreams)
    for upstream in known:
        if name == upstream.name and len(upstream.targets) == 1:
            return upstream, upstream.targets[0]
        rest = name.removeprefix(f"{upstream.name}/")
        if rest != name:
            found = [target for target in upstream.targets if rest in (target.address.url, target.name)]
            found = found or [target for target in upstream.targets if rest == target.address.host]
            if len(found) == 1:
                return upstream, found[0]
    names = ", ".join(f"{upstream.name}/{target.name}" for upstream in known for target in upstream.targets)
    raise Refused(404, f'there is no one target "{name}"; there are {names}')


def drained(upstreams: Iterable[Upstream]) -> list[str]:
    """The names of all that are out by hand."""
    return [f"{upstream.name}/{url}" for upstream in upstreams for url in sorted(upstream.drained)]


def restore(upstreams: Iterable[Upstream], names: Iterable[str]) -> None:
    """Out as they were in an earlier process, also those that are yet to be discovered."""
    known = list(names)
    for upstream in upstreams:
        prefix = f"{upstream.name}/"
        urls = {name.removeprefix(prefix) for name in known if name.startswith(prefix)}
        if urls:
            upstream.drained.update(urls)
            upstream.set_targets(upstream.targets)
            log.warning("targets are drained still", extra={"upstream": upstream.name, "targets": sorted(urls)})


async def _told(gateway: Gateway, upstream: Upstream, target: AnyTarget, event: str) -> dict[str, Any]:
    log.info(event, extra={"upstream": upstream.name, "target": target.name, "in_flight": target.in_flight})
    gateway.keep_drained(drained(gateway.snapshot.upstreams.values()))
    if (shared := gateway.snapshot.shared_drains) is not None:
        await shared.change(f"{upstream.name}/{target.address.url}", out=target.drained)
    return {"target": f"{upstream.name}/{target.name}", "drained": target.drained, "in_flight": target.in_flight}
