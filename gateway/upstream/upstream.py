"""A named group of targets, with the balancer that picks one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from gateway.errors import NoTarget
from gateway.upstream.transport import target_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from gateway.balance import Balancer
    from gateway.upstream.local import LocalTarget
    from gateway.upstream.target import Target

    AnyTarget: TypeAlias = Target | LocalTarget

PRESERVE = b"preserve"
UPSTREAM = b"upstream"


class Upstream:
    """host_header: PRESERVE, UPSTREAM (the target's own name) or a literal value for Host."""

    __slots__ = ("_clients", "balancer", "host_header", "is_local", "name", "targets")

    def __init__(
        self,
        name: str,
        targets: Sequence[AnyTarget],
        balancer: Balancer[AnyTarget],
        host_header: bytes = PRESERVE,
    ) -> None:
        self.name = name
        self.targets = tuple(targets)
        self.balancer = balancer
        self.host_header = host_header
        self.is_local = any(target.address.app for target in targets)
        self._clients: dict[AnyTarget, httpx.AsyncClient] = {}

    def client(self) -> httpx.AsyncClient:
        """The httpx client of the target whose turn it is; each target has one, over the connections of all others."""
        target = self.balancer.pick(b"", ())
        if target is None:
            raise NoTarget(f"upstream {self.name} has no target")
        client = self._clients.get(target)
        if client is None:
            client = self._clients[target] = target_client(target)
        return client

    async def start(self) -> None:
        for target in self.targets:
            await target.start()

    async def stop(self) -> None:
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))
        await asyncio.gather(*(target.stop() for target in self.targets))
