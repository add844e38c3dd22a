"""A named group of targets, with the balancer that picks one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balancer
    from gateway.upstream.local import LocalTarget
    from gateway.upstream.target import Target

    AnyTarget: TypeAlias = Target | LocalTarget

PRESERVE = b"preserve"
UPSTREAM = b"upstream"


class Upstream:
    """host_header: PRESERVE, UPSTREAM (the target's own name) or a literal value for Host."""

    __slots__ = ("balancer", "host_header", "is_local", "name", "targets")

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

    async def start(self) -> None:
        for target in self.targets:
            await target.start()

    async def stop(self) -> None:
        await asyncio.gather(*(target.stop() for target in self.targets))
