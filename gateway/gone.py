"""Noticing that the client has left, so that its work stops at once.

Our own protocol class calls back. Elsewhere ASGI tells it only to whoever awaits `receive()`, which takes a task; most
answers are there before one is worth its price, so it is started when an exchange has lasted `PATIENCE`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from gateway.deadlines import NEVER

if TYPE_CHECKING:
    from gateway.body import RequestBody
    from gateway.deadlines import Deadlines

PATIENCE: Final = 0.05  # seconds


class Watchable(Protocol):
    """An exchange under way, whose request's body is `body`."""

    @property
    def body(self) -> RequestBody: ...

    def gone(self) -> None:
        """The client has left."""


class ClientWatch:
    """The exchanges of one event loop whose clients are watched by `receive()`.

    The young ones only stand in a table, in the order of their beginning, and are looked at together.
    """

    __slots__ = ("_deadlines", "_tasks", "_young", "bucket", "deadline")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._young: dict[Watchable, float] = {}
        self._tasks: dict[Watchable, asyncio.Task[None]] = {}
        self.deadline = NEVER
        self.bucket = NEVER

    def begin(self, exchange: Watchable) -> None:
        now = self._deadlines.now()
        self._young[exchange] = now
        if self.deadline == NEVER:
            self._deadlines.watch(self, now + PATIENCE)

    def end(self, exchange: Watchable) -> None:
        """Nobody has to be told any more."""
        if self._young.pop(exchange, None) is None:
            task = self._tasks.pop(exchange, None)
            if task is not None:
                task.cancel()

    def expired(self, now: float) -> None:
        for exchange, since in list(self._young.items()):
            if now - since < PATIENCE:
                break
            del self._young[exchange]
            if exchange.body.complete:
                self._tasks[exchange] = asyncio.get_running_loop().create_task(self._wait(exchange))
            else:  # whoever reads the body sees the client leave
                self._young[exchange] = now
        if self._young:
            self._deadlines.watch(self, now + PATIENCE)

    async def _wait(self, exchange: Watchable) -> None:
        await exchange.body.disconnected()
        exchange.gone()
