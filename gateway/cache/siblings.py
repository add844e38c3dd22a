"""The other workers that serve the same file, each with a memory of its own: what one of them learns to be invalid, the others
are told before its client is. (By a shared store they are told anyhow.)

One order to purge is under way at a time, for PATIENCE at most; what is to be told meanwhile goes into the next one, which
purges everything where it would be too long. A worker that is late follows its orders when it reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from gateway.cache.purge import Purge, Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Json = dict[str, Any]

PATIENCE: Final = 0.25  # seconds that an answer waits for workers that do not answer
MAX_TOLD: Final = 1000  # URLs, and tags, of an order; as many as it may have
MAX_ORDER: Final = 60_000  # bytes, less than an order may have
_ALL: Final = {"all": True}
_WORDS: Final = {Scope.URL: "url", Scope.TAG: "tag"}


class Siblings:
    """ask: gives all of them an order to purge, with this body; None where there are none."""

    __slots__ = ("_everything", "_next", "_pending", "_telling", "ask")

    def __init__(self) -> None:
        self.ask: Callable[[Json], Awaitable[None]] | None = None
        self._pending: dict[Scope, dict[bytes, None]] = {}
        self._everything = False  # is pending: that would be too much to name
        self._next: asyncio.Future[None] | None = None  # of the order that holds what is pending
        self._telling: asyncio.Task[None] | None = None

    async def tell(self, purge: Purge) -> None:
        """Of URLs or tags. When this returns they have purged it, or do not answer."""
        if self.ask is None:
            return
        named = self._pending.setdefault(purge.scope, {})
        named.update(dict.fromkeys(purge.values))
        if len(named) > MAX_TOLD:
            self._everything = True
            self._pending.clear()
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        told = self._next
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(self.ask))
        await asyncio.wait((told,), timeout=PATIENCE)

    async def _tell(self, ask: Callable[[Json], Awaitable[None]]) -> None:
        try:
            while self._next is not None:
                told, order = self._next, self._order()
                self._next = None
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await ask(order)
                told.set_result(None)
        finally:
            self._telling = None


    def _order(self) -> Json:
        """What is pending, which is nothing from now on."""
        named = {_WORDS[scope]: [_text(value) for value in values] for scope, values in self._pending.items()}
        is_short = not self._everything and len(json.dumps(named)) <= MAX_ORDER
        self._pending.clear()
        self._everything = False
        return named if is_short else _ALL


def _text(value: bytes) -> str:
    """As JSON can carry it; `gateway.admin.purge` reads it back."""
    return value.decode("utf-8", "surrogateescape")
