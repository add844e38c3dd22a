"""Stored answers in content codings: encoded once, beside the requests, and then kept with the entry.

Until a form is there the answer is encoded on its way out, as any other would be.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from gateway.policies.compression import encoded_form
from gateway.rfc.encoding import add_vary

if TYPE_CHECKING:
    from gateway.cache.entry import Entry
    from gateway.cache.store import Store
    from gateway.cache.tasks import Tasks
    from gateway.exchange import Exchange, Headers
    from gateway.policies.compression import Compression

MAX_UNDER_WAY: Final = 16  # forms being made; what is wanted beyond them is asked for again by a later hit
NOT_AGAIN: Final = 60.0  # seconds in which a form is not made again that the store has no room for
MAX_REFUSED: Final = 1024  # such forms that are remembered


class Forms:
    """compression: the policy of the route."""

    __slots__ = ("_compression", "_refused", "_store", "_tasks", "_under_way")

    def __init__(self, compression: Compression, store: Store, tasks: Tasks) -> None:
        self._compression = compression
        self._store = store
        self._tasks = tasks
        self._under_way: set[tuple[bytes, int, bytes]] = set()
        self._refused: TTLCache[tuple[bytes, bytes], bool] = TTLCache(MAX_REFUSED, NOT_AGAIN)

    def coding(self, exchange: Exchange, key: bytes, entry: Entry) -> bytes | None:
        """The coding in which the answer goes out from `entry.forms`; None where it goes out plain, or is encoded on its way."""
        coding = self._compression.choose(exchange)
        if coding is None or entry.part is not None or not entry.length:
            return None
        if coding in entry.forms:
            return coding
        if self._compression.suits(entry.status, entry.headers, entry.length):
            self._make(key, entry, coding)
        return None

    def headers(self, headers: Headers, coding: bytes) -> Headers:
        """The fields of the plain answer as those of a form."""
        coded = encoded_form(headers, coding)
        add_vary(coded, b"accept-encoding")
        return coded

    def _make(self, key: bytes, entry: Entry, coding: bytes) -> None:
        mark = (key, id(entry), coding)
        if (key, coding) in self._refused:
            return
        if mark not in self._under_way and len(self._under_way) < MAX_UNDER_WAY:
            self._under_way.add(mark)
            self._tasks.spawn(self._encode(key, entry, coding, mark))

    async def _encode(self, key: bytes, entry: Entry, coding: bytes, mark: tuple[bytes, int, bytes]) -> None:
        try:
            body = b"".join(entry.chunks if entry.chunks is not None else await self._read(key, entry))
            encoded = await asyncio.get_running_loop().run_in_executor(None, self._compression.encode, coding, body)
            if not self._store.add_form(key, entry, coding, encoded):
                self._refused[key, coding] = True
        except LookupError:  # the body is gone meanwhile
            return
        finally:
            self._under_way.discard(mark)

    async def _read(self, key: bytes, entry: Entry) -> list[bytes]:
        return [piece async for piece in self._store.body(key, entry, 0, entry.length)]
