"""The store that a fleet shares: entries in Redis, found in one round trip.

    {url}            the mark of the URL: since when it is known, and when it was purged
    {url}:rest       a hash: one field for each variant and for each coded form, with bodies of up to INLINE bytes
    {url}:write:n    the pieces of larger bodies, each its own string

`url` and `rest` are digests of a key's two parts, so that all of a URL lies in one slot of a Cluster and one purge finds
all its keys. An entry without the mark of its URL is void: whatever Redis drops when it is full, a purge is never what
is lost. Pieces are written while the answer goes to the client; the entry comes last, so that what is incomplete is never
found. All that is written expires by itself.

Redis is never in the way. What it does not answer in time is a miss, a purge that waits, a write that did not happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.cache.codec import (
    HEAD,
    Stamp,
    decode_chunk,
    decode_entry,
    decode_form,
    encode_entry,
    encode_form,
    place_of,
)
from gateway.cache.entry import MAX_VARIANTS
from gateway.cache.purge import Purge, Scope, urls_meant
from gateway.cache.purge_log import MICROSECONDS, UNTOUCHED
from gateway.cache.redis_names import Names, field_of, read_mark
from gateway.cache.redis_scripts import ADD_FORM, DROP, PURGE_KEY, PURGE_URL, STORE
from gateway.cache.redis_writer import CHUNK, INLINE, RedisWriter
from gateway.cache.shared_purges import SharedPurges
from gateway.redis.link import Away
from gateway.redis.resp import ErrorReply, Reply, command
from gateway.rfc.ranges import cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    from gateway.cache.entry import Entry
    from gateway.redis.client import Fill, Redis

WINDOW: Final = 8  # pieces that are asked for at once
READ_AHEAD: Final = 64 << 20  # bytes of all bodies that are read whole before they are sent; those above are streamed
LONGEST: Final = 7 * 86_400  # seconds that anything is kept
PURGE_MARK: Final = 600  # seconds that a purge of a URL without entries is known; no answer takes longer
MAX_FIELDS: Final = 4 * MAX_VARIANTS  # of a hash; one that would have more begins anew
MAX_BYTES: Final = 512 * 1024  # of a hash, which comes whole with every look-up; the same
MAX_NAMES: Final = 4096  # that are remembered
LONGEST_NAMED: Final = 1024  # bytes of a key whose names are
PATIENCE: Final = 5.0  # seconds without an attempt to write, when Redis is full


log = logging.getLogger("gateway.cache")


class Usage(NamedTuple):
    """Redis' own; how much of it is ours only Redis could tell, by a search."""

    entries: int
    bytes_held: int
    bytes_limit: int
    purged: int


class RedisStore:
    """See `gateway.cache.store.Store`. prefix: of all names in Redis.

    applied, distrusted, left: see `SharedPurges`; for those who keep copies.
    """

    shows_all: Final = False

    def __init__(
        self,
        redis: Redis,
        prefix: bytes,
        *,
        applied: Callable[[Purge], Awaitable[object]] | None = None,
        distrusted: Callable[[], Awaitable[object]] | None = None,
        left: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.redis = redis
        self.prefix = prefix
        self.purges = SharedPurges(
            redis, prefix, self._record, applied or _nothing, distrusted or _nothing, left or (lambda: None)
        )
        self.clock = clock
        self._names: dict[bytes, Names] = {}  # of keys that were asked for, MAX_NAMES at most
        self._purged = 0
        self._reading = 0  # bytes of READ_AHEAD that are in use
        self._full_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_current(self) -> bool:
        """What is found here has not been purged."""
        return self.purges.is_current

    async def start(self) -> None:
        await self.redis.start()
        await self.purges.start()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.purges.stop()
        await self.redis.stop()

    def usage(self) -> Usage:
        return Usage(0, 0, 0, self._purged)

    # ------------------------------------------------------------ reading

    def peek(self, key: bytes) -> Sequence[Entry]:
        return ()

    def look(self, key: bytes) -> Sequence[Entry]:
        return ()

    async def find(self, key: bytes) -> Sequence[Entry]:
        if not self.is_current:
            return ()
        names = self.names(key)
        try:
            marked, fields = await self.redis.ask(names.mark, names.look_up)
        except Away:
            return ()
        times = read_mark(marked)
        if times is None or not isinstance(fields, list):
            return ()
        return self._entries(key, times, dict(zip(fields[::2], fields[1::2], strict=False)))

    def _entries(self, key: bytes, times: tuple[int, int], fields: dict[Reply, Reply]) -> list[Entry]:
        own = read_mark(fields.get(b"p")) or (0, 0)
        hard, soft = max(times[0], own[0]), max(times[1], own[1])
        entries: dict[bytes, Entry] = {}
        size = 0
        for name, data in fields.items():
            if not isinstance(name, bytes) or not isinstance(data, bytes) or name[:1] != b"v":
                continue
            found = decode_entry(data, key)
            if found is None:
                continue
            entry, stamp = found
            limit = self.purges.log.fresh_limit(stamp.mark, key, entry.tags)
            if stamp.mark < hard or limit is None or name != field_of(entry.vary):
                self.spawn(partial(self._take_out, key, field_of(entry.vary), stamp.write))
                continue
            if stamp.mark < soft:
                limit = min(limit, soft / MICROSECONDS)
            if limit != UNTOUCHED:
                entry.fresh_until = min(entry.fresh_until, limit, self.clock())
            entry.place = stamp
            entries[stamp.write] = entry
            size += len(data)
        for write, coding, body in _forms(fields):
            if write in entries:
                entries[write].add_form(coding, body)
        if entries:
            names = self.names(key)
            names.hits += 1
            names.size = size
            names.tags = [entry.tags for entry in entries.values()]
        return sorted(entries.values(), key=lambda entry: entry.stored_at, reverse=True)

    def looked_up(self) -> Iterable[tuple[bytes, Names]]:
        """Keys that this process has found something of lately."""
        return [(key, names) for key, names in self._names.items() if names.hits]

    async def fill(self) -> Fill | None:
        """Of Redis; None while it is away."""
        try:
            return await self.redis.fill()
        except Away:
            return None

    async def body(self, key: bytes, entry: Entry, first: int, end: int) -> AsyncIterator[bytes]:
        """While there is room for it, all that is wanted is read before its first piece is given: should Redis go away
        meanwhile, it is a miss and not an answer that breaks off."""
        stamp = _stamp(entry)
        if self.purges.log.fresh_limit(stamp.mark, key, entry.tags) is None:
            raise LookupError("it was purged after it had been found")
        ahead = end - first if self._reading + end - first <= READ_AHEAD else 0
        self._reading += ahead
        try:
            held: list[bytes] = []
            at, last = first // CHUNK, min(-(-end // CHUNK), stamp.chunks)
            for index in range(at, last, WINDOW):
                pieces = await self._pieces(key, stamp, range(index, min(index + WINDOW, last)))
                wanted = cut(tuple(pieces), first - index * CHUNK, end - index * CHUNK)
                if ahead:
                    held += wanted
                else:
                    for piece in wanted:
                        yield piece
            if ahead and sum(map(len, held)) != ahead:
                raise LookupError("the body is not whole")
            for piece in held:
                yield piece
        finally:
            self._reading -= ahead

    async def _pieces(self, key: bytes, stamp: Stamp, indices: range) -> list[bytes]:
        names = self.names(key)
        try:
            replies = await self.redis.ask(
                names.mark, [command(b"GET", names.chunk(stamp.write, index)) for index in indices], bulk=True
            )
        except Away as exc:
            raise LookupError(str(exc)) from None
        pieces = []
        for index, reply in zip(indices, replies, strict=True):
            piece = decode_chunk(reply, stamp.write, index) if isinstance(reply, bytes) else None
            if piece is None:
                raise LookupError("a piece of the body is gone")
            pieces.append(piece)
        return pieces

    # ------------------------------------------------------------ writing

    def mark(self) -> int:
        return self.purges.log.last

    def was_purged(self, key: bytes, entry: Entry, mark: int) -> bool:
        return not self.purges.log.may_store(mark, key, entry.tags)

    def begin(self, key: bytes, entry: Entry, mark: int) -> RedisWriter:
        return RedisWriter(self, key, entry, mark)

    async def renew(self, key: bytes, old: Entry, new: Entry, mark: int) -> bool:
        if not isinstance(old.place, Stamp):
            return False
        stamp = Stamp(old.place.write, mark, old.place.chunks)
        names, lifetime = self.names(key), self.lifetime(new)
        if lifetime <= 0:
            return False
        try:
            for first in range(0, stamp.chunks, WINDOW):
                indices = range(first, min(first + WINDOW, stamp.chunks))
                kept = [command(b"PEXPIRE", names.chunk(stamp.write, index), lifetime) for index in indices]
                if await self.redis.ask(names.mark, kept, bulk=True) != [1] * len(indices):
                    return False
        except Away:
            return False
        if not await self.store(key, new, stamp, replaces=stamp.write):
            return False
        new.place = stamp
        return True

    async def store(self, key: bytes, entry: Entry, stamp: Stamp, *, replaces: bytes = b"") -> bool:
        """Make an entry be found, if nothing speaks against it. replaces: the write that it must take the place of."""
        if not self.is_current or self.was_purged(key, entry, stamp.mark):
            return False
        names, lifetime = self.names(key), self.lifetime(entry)
        if lifetime <= 0:
            return False
        try:
            reply = await self.redis.run(
                STORE, names.both, field_of(entry.vary), encode_entry(key, entry, stamp), stamp.mark, lifetime,
                replaces, MAX_FIELDS, HEAD, MAX_BYTES, bulk=True,
            )  # fmt: skip
        except Away:
            return False
        if not self.was_written(reply) or not isinstance(reply, bytes):
            return False
        self._remove_pieces(key, reply, unless=stamp.write)
        return True

    def was_written(self, reply: Reply) -> bool:
        """Whether Redis has taken what it was given. When it is full it is not asked again for a while."""
        if not isinstance(reply, ErrorReply):
            return True
        now = self.clock()
        if reply.code == b"OOM" and now >= self._full_until:
            self._full_until = now + PATIENCE
            log.warning("redis is full", extra={"redis": self.redis.address.name})
        return False

    def has_room(self, key: bytes) -> bool:
        return self.is_current and self.clock() >= self._full_until and self.redis.has_room(self.names(key).mark)

    def lifetime(self, entry: Entry) -> int:
        """Milliseconds from now."""
        return int(min(entry.kept_until - self.clock(), LONGEST) * 1000)

    def add_form(self, key: bytes, entry: Entry, coding: bytes, body: bytes) -> bool:
        """Forms lie with their entry, and so only small ones; a larger answer is coded again where it is found."""
        if not isinstance(entry.place, Stamp) or len(body) > INLINE or not self.has_room(key):
            return False
        self.spawn(partial(self._add_form, key, entry, entry.place.write, coding, body))
        return True

    async def _add_form(self, key: bytes, entry: Entry, write: bytes, coding: bytes, body: bytes) -> None:
        field = field_of(entry.vary)
        form = b"f" + field + coding[:16]
        self.was_written(
            await self.redis.run(
                ADD_FORM, self.names(key).both, field, write, form, encode_form(write, coding, body), MAX_BYTES, bulk=True
            )
        )

    # ------------------------------------------------------------ taking out

    async def drop(self, key: bytes, entry: Entry) -> None:
        if isinstance(entry.place, Stamp):
            try:
                await self._take_out(key, field_of(entry.vary), entry.place.write)
            except Away:
                return

    async def _take_out(self, key: bytes, field: bytes, write: bytes) -> None:
        reply = await self.redis.run(DROP, self.names(key).both, field, write, HEAD, bulk=True)
        if isinstance(reply, bytes):
            self._remove_pieces(key, reply)

    def _remove_pieces(self, key: bytes, head: bytes, *, unless: bytes = b"") -> None:
        write, chunks = place_of(head)
        if chunks and write != unless:
            self.remove_pieces(key, write, chunks)

    def remove_pieces(self, key: bytes, write: bytes, chunks: int) -> None:
        """In the background."""
        names = self.names(key)
        every = command(b"UNLINK", *(names.chunk(write, index) for index in range(chunks)))
        self.spawn(lambda: self.redis.ask(names.mark, (every,), bulk=True))

    async def purge(self, purge: Purge) -> int:
        try:
            await self.purges.send(purge)
        except Away as exc:
            log.warning("a purge waits for redis", extra={"reason": str(exc), "scope": purge.scope.value})
        self._purged += 1
        return 0

    async def _record(self, purge: Purge, at: int) -> None:
        """What the log forgets soon stands beside the entries themselves. Raises Away."""
        soft = b"1" if purge.soft else b"0"
        if purge.scope is Scope.URL:
            for url in dict.fromkeys(meant for value in purge.values for meant in urls_meant(value)):
                mark = self.names(url).mark
                await self.redis.run(PURGE_URL, (mark,), at, soft, PURGE_MARK * 1000)
        elif purge.scope is Scope.KEY:
            for key in purge.values:
                await self.redis.run(PURGE_KEY, self.names(key).both, at, soft)

    # ------------------------------------------------------------ names and work in the background

    def names(self, key: bytes) -> Names:
        names = self._names.get(key)
        if names is None:
            names = Names(self.prefix, key)
            if len(key) <= LONGEST_NAMED:
                if len(self._names) >= MAX_NAMES:
                    self._names.clear()
                self._names[key] = names
        return names

    def spawn(self, work: Callable[[], Awaitable[object]]) -> None:
        """What nobody waits for, and what may fail."""

        async def run() -> None:
            with contextlib.suppress(Away):
                await work()

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _forms(fields: dict[Reply, Reply]) -> Iterator[tuple[bytes, bytes, bytes]]:
    for name, data in fields.items():
        if isinstance(name, bytes) and name[:1] == b"f" and isinstance(data, bytes):
            found = decode_form(data)
            if found is not None:
                yield found


def _stamp(entry: Entry) -> Stamp:
    if not isinstance(entry.place, Stamp):
        raise LookupError("this entry is not of Redis")  # noqa: TRY004  # it is not there, whatever its type
    return entry.place


async def _nothing(*_: object) -> None:
    """For a store that nobody keeps copies of."""
