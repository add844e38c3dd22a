"""The target that stands for a local app, to a balancer and the forwarder like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import TargetError
from gateway.upstream.base import TargetBase
from gateway.upstream.local import LocalLink

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.upstream.address import Address
    from gateway.upstream.local import LocalApp


class LocalTarget(TargetBase):
    """local: the app; it starts and stops with its target."""

    __slots__ = ("local",)

    def __init__(
        self, address: Address, local: LocalApp, weight: int = 1, priority: int = 0, *, backup: bool = False
    ) -> None:
        super().__init__(address, weight, priority, backup=backup)
        self.local = local

    def take(self, exchange: Exchange) -> LocalLink | None:
        return LocalLink(self.local, exchange)

    async def connect(self, connect: float, pool: float) -> LocalLink:
        raise TargetError(f"{self.name} has no connections to make")

    def retire(self) -> None:
        """There are no connections to close."""

    async def start(self) -> None:
        await self.local.startup()

    async def stop(self) -> None:
        await self.local.shutdown()
