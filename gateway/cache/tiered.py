"""Memory before Redis: what this process holds is served at once, and never after it was purged anywhere.

Every purge of the fleet is applied to the memory as it is told. While this process is not told of purges, since it has
lost Redis, nothing that it held then is served. What it fetches meanwhile is, for a few seconds each, so that the
targets are not asked for everything by everyone; and before it serves the rest again it has caught up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.cache.purge import Purge, Scope
from gateway.cache.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.cache.entry import Entry
    from gateway.cache.memory import MemoryStore
    from gateway.cache.store import Usage, Writer
    from gateway.redis.client import Redis

ALONE: Final = 5.0  # seconds that an entry is used which was stored while purges could not be heard of
_MEMORY_BITS: Final = 64  # of a mark, for that of the memory


class TieredStore:
    """See `gateway.cache.store.Store`."""

    shows_all: Final = False

    def __init__(
        self,
        memory: MemoryStore,
        redis: Redis,
        prefix: bytes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.memory = memory
        self.shared = RedisStore(
            redis, prefix, applied=memory.purge, distrusted=self._distrust, left=self._left, clock=clock
        )
        self._subscriber = self.shared.purges.subscriber
        self._clock = clock
        self._left_at = 0.0

    async def start(self) -> None:
        self._left_at = self._clock()
        await self.shared.start()

    async def stop(self) -> None:
        await self.shared.stop()

    def usage(self) -> Usage:
        return self.memory.usage()

    @property
    def is_current(self) -> bool:
        return self.shared.is_current

    # ------------------------------------------------------------ reading

    def peek(self, key: bytes) -> Sequence[Entry]:
        return self._current(self.memory.peek(key))

    def look(self, key: bytes) -> Sequence[Entry]:
        return self._current(self.memory.look(key))

    def _current(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Of what memory holds, that which may be used."""
        if not entries or self._subscriber.is_listening:
            return entries
        since = max(self._left_at, self._clock() - ALONE)
        return [entry for entry in entries if entry.stored_at > since]

    async def find(self, key: bytes) -> Sequence[Entry]:
        """The newest of each variant; what only Redis had is held in memory from now on."""
        mark = self.memory.mark()
        found = await self.shared.find(key)
        held = {entry.vary: entry for entry in self.look(key)}
        for entry in found:
            ours = held.get(entry.vary)
            if ours is not None and ours.stored_at >= entry.stored_at:
                continue
            held[entry.vary] = entry
            if entry.chunks is not None:
                self.memory.put(key, entry, mark)
        return sorted(held.values(), key=lambda entry: entry.stored_at, reverse=True)

    async def body(self, key: bytes, entry: Entry, first: int, end: int) -> AsyncIterator[bytes]:
        """What is read whole is held in memory from then on."""
        if entry.chunks is not None or (first, end) != (0, entry.length):
            owner = self.shared if entry.chunks is None else self.memory
            async for piece in owner.body(key, entry, first, end):
                yield piece
            return
        writer = self.memory.begin(key, entry, self.memory.mark())
        async for piece in self.shared.body(key, entry, first, end):
            writer.append(piece)
            yield piece
        held = await writer.commit()
        if held is not None:
            held.place = entry.place

    # ------------------------------------------------------------ writing

    def mark(self) -> int:
        return self.shared.mark() << _MEMORY_BITS | self.memory.mark()

    def was_purged(self, key: bytes, entry: Entry, mark: int) -> bool:
        ours, theirs = _both(mark)
        return self.memory.was_purged(key, entry, ours) or self.shared.was_purged(key, entry, theirs)

    def begin(self, key: bytes, entry: Entry, mark: int) -> TieredWriter:
        ours, theirs = _both(mark)
        return TieredWriter(self.memory.begin(key, entry, ours), self.shared.begin(key, entry, theirs))

    async def renew(self, key: bytes, old: Entry, new: Entry, mark: int) -> bool:
        ours, theirs = _both(mark)
        is_held = await self.memory.renew(key, old, new, ours)
        return await self.shared.renew(key, old, new, theirs) or is_held

    def add_form(self, key: bytes, entry: Entry, coding: bytes, body: bytes) -> bool:
        is_held = self.memory.add_form(key, entry, coding, body)
        return self.shared.add_form(key, entry, coding, body) or is_held

    # ------------------------------------------------------------ taking out

    async def drop(self, key: bytes, entry: Entry) -> None:
        await self.memory.drop(key, entry)
        await self.shared.drop(key, entry)

    async def purge(self, purge: Purge) -> int:
        count = await self.memory.purge(purge)
        await self.shared.purge(purge)
        return count

    async def _distrust(self) -> None:
        await self.memory.purge(Purge(Scope.ALL))

    def _left(self) -> None:
        self._left_at = self._clock()


class TieredWriter:
    """Into both. What is found from then on is what lies in memory, if it does."""

    __slots__ = ("_memory", "_shared")

    def __init__(self, memory: Writer, shared: Writer) -> None:
        self._memory = memory
        self._shared = shared

    def append(self, chunk: bytes) -> None:
        self._memory.append(chunk)
        self._shared.append(chunk)

    async def commit(self) -> Entry | None:
        held = await self._memory.commit()
        shared = await self._shared.commit()
        if held is not None and shared is not None:
            held.place = shared.place
        return held or shared

    def abort(self) -> None:
        self._memory.abort()
        self._shared.abort()


def _both(mark: int) -> tuple[int, int]:
    """The memory's mark and Redis'."""
    return mark & ((1 << _MEMORY_BITS) - 1), mark >> _MEMORY_BITS
