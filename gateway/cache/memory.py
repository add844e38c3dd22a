"""The store in memory: bounded in bytes, and not to be flushed by a scan.

Keys that are new wait in a small queue, a tenth of the room, and leave it at its end unless they were asked for again
meanwhile; only then, or while there is room anyhow, do they come into the large one, which they leave when nobody asks
for them any more. A key that comes back soon after it had left goes to the large one at once. (This is S3-FIFO: Yang
and others, SOSP 2023.) So a crawler that asks for everything once displaces nothing that is in use, and a hit costs a
look-up and a count.

All variants under a key come and go together.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.cache.entry import MAX_VARIANTS
from gateway.cache.purge import Purge, Scope, url_of, urls_meant
from gateway.cache.store import each
from gateway.rfc.ranges import cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from gateway.cache.entry import Entry

WHOLE: Final = 262144  # bytes; a body up to this length is kept in one piece, which leaves in one write
PIECE: Final = 65536  # bytes; longer ones are kept in pieces of at least this
_SMALL_SHARE: Final = 10  # the small queue has one part in so many
_MAX_USES: Final = 3  # that are remembered; a key survives as many rounds of the large queue
_MAX_CHANCES: Final = 64  # keys that are spared for one that comes in, so that it never waits for a walk through all of them
_GHOST_BYTES: Final = 4096  # of room for each key that is remembered after it has left
_PURGES: Final = 1024  # purges that are remembered for writes under way; a write that began before them all is given up


class Usage(NamedTuple):
    entries: int
    bytes_held: int
    bytes_limit: int
    purged: int


class Plain:
    """The keys that have no further parts behind this route: how many there are."""

    __slots__ = ("number", "route")

    def __init__(self, route: bytes) -> None:
        self.route = route
        self.number = 0


class Shelf:
    """What lies under one key. uses: since it last went through a queue; hits: ever. queue: that it stands in, between
    `before` and `behind`. plain: that it is counted by."""

    __slots__ = ("before", "behind", "entries", "hits", "key", "plain", "queue", "size", "uses")

    def __init__(self, key: bytes, entries: tuple[Entry, ...]) -> None:
        self.key = key
        self.entries = entries
        self.size = 2 * len(key)  # with its URL, which is indexed for some
        for entry in entries:
            self.size += entry.size
        self.uses = 0
        self.hits = 0
        self.queue: Queue | None = None
        self.before: Shelf | None = None
        self.behind: Shelf | None = None
        self.plain: Plain | None = None


class Queue:
    """Shelves in the order of their coming, linked with each other: there are many, and whatever looks one up by its key
    waits for memory. limit, size: bytes."""

    __slots__ = ("first", "last", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.first: Shelf | None = None
        self.last: Shelf | None = None

    def put(self, shelf: Shelf) -> None:
        """Last; it is in no queue."""
        last = self.last
        shelf.queue = self
        shelf.before = last
        if last is None:
            self.first = shelf
        else:
            last.behind = shelf
        self.last = shelf
        self.size += shelf.size

    def take(self, shelf: Shelf) -> None:
        before, behind = shelf.before, shelf.behind
        if before is None:
            self.first = behind
        else:
            before.behind = behind
        if behind is None:
            self.last = before
        else:
            behind.before = before
        shelf.queue = shelf.before = shelf.behind = None
        self.size -= shelf.size

    def __iter__(self) -> Iterator[Shelf]:
        shelf = self.first
        while shelf is not None:
            yield shelf
            shelf = shelf.behind


class Ghosts:
    """Keys that have left, by their hashes. They are remembered in two generations, the older of which goes as a whole: between
    a half of limit and limit of the last ones."""

    __slots__ = ("_half", "_newer", "_older")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def add(self, key: bytes) -> None:
        self._newer.add(hash(key))
        if len(self._newer) >= self._half:
            self._older = self._newer
            self._newer = set()

    def has(self, key: bytes) -> bool:
        number = hash(key)
        return number in self._newer or number in self._older


class MemoryStore:
    """limit: bytes for everything, about. now: Unix seconds."""

    is_current: Final = True  # nobody shares it
    shows_all: Final = True

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._shelves: dict[bytes, Shelf] = {}
        self._small = Queue(limit // _SMALL_SHARE)
        self._large = Queue(limit - limit // _SMALL_SHARE)
        self._ghosts = Ghosts(max(limit // _GHOST_BYTES, 64))
        self._tagged: dict[bytes, set[bytes]] = {}
        self._routes: dict[bytes, Plain] = {}  # by what stands behind the URL
        self._of_url: dict[bytes, set[bytes]] = {}  # the keys that have further parts
        self._purges: deque[Purge] = deque(maxlen=_PURGES)
        self._purge_count = 0
        self._purged = 0

    # ------------------------------------------------------------ reading

    def peek(self, key: bytes) -> Sequence[Entry]:
        shelf = self._shelves.get(key)
        if shelf is None:
            return ()
        shelf.hits += 1
        if shelf.uses < _MAX_USES:
            shelf.uses += 1
        return shelf.entries

    def look(self, key: bytes) -> Sequence[Entry]:
        shelf = self._shelves.get(key)
        return () if shelf is None else shelf.entries

    async def find(self, key: bytes) -> Sequence[Entry]:
        return self.look(key)

    @property
    def max_body(self) -> int:
        """Bytes; what is longer finds no room, whatever else goes."""
        return self._large.limit

    def body(self, key: bytes, entry: Entry, first: int, end: int) -> AsyncIterator[bytes]:
        return each(cut(entry.chunks or (), first, end))

    def shelves(self) -> Iterable[tuple[bytes, Shelf]]:
        """All keys with what lies under them, for people who look into the cache."""
        return self._shelves.items()

    def usage(self) -> Usage:
        entries = sum(len(shelf.entries) for shelf in self._shelves.values())
        return Usage(entries, self._small.size + self._large.size, self._limit, self._purged)

    # ------------------------------------------------------------ writing

    def mark(self) -> int:
        return self._purge_count

    def begin(self, key: bytes, entry: Entry, mark: int) -> MemoryWriter:
        return MemoryWriter(self, key, entry, mark)

    def put(self, key: bytes, entry: Entry, mark: int) -> bool:
        """A whole entry, in the place of a variant with the same `vary`."""
        if self.was_purged(key, entry, mark):
            return False
        shelf = self._shelves.get(key)
        others = () if shelf is None else tuple(other for other in shelf.entries if other.vary != entry.vary)
        return self._lay(key, (entry, *others[: MAX_VARIANTS - 1]))

    async def renew(self, key: bytes, old: Entry, new: Entry, mark: int) -> bool:
        shelf = self._shelves.get(key)
        if shelf is None or old not in shelf.entries or self.was_purged(key, new, mark):
            return False
        if new.length == old.length:
            new.forms = old.forms.copy()
        others = tuple(other for other in shelf.entries if other is not old and other.vary != new.vary)
        return self._lay(key, (new, *others))

    def add_form(self, key: bytes, entry: Entry, coding: bytes, body: bytes) -> bool:
        shelf = self._shelves.get(key)
        if shelf is None or entry not in shelf.entries:  # gone, and its form with it
            return True
        if shelf.size + len(body) > self._small.limit:
            return False
        entry.add_form(coding, body)
        self._lay(key, shelf.entries)
        return True

    async def drop(self, key: bytes, entry: Entry) -> None:
        shelf = self._shelves.get(key)
        if shelf is not None:
            self._lay(key, tuple(other for other in shelf.entries if other is not entry))

    # ------------------------------------------------------------ purging

    async def purge(self, purge: Purge) -> int:
        self._purges.append(purge)
        self._purge_count += 1
        count = 0
        for key in self._candidates(purge):
            entries = self._shelves[key].entries
            taken = [entry for entry in entries if purge.takes(key, entry.tags)]
            count += len(taken)
            if purge.soft:
                now = self._now()
                for entry in taken:
                    entry.fresh_until = min(entry.fresh_until, now)
            elif taken:
                self._lay(key, tuple(entry for entry in entries if entry not in taken))
        self._purged += count
        return count

    def _candidates(self, purge: Purge) -> list[bytes]:
        if purge.scope is Scope.KEY:
            return [key for key in dict.fromkeys(purge.values) if key in self._shelves]
        if purge.scope is Scope.TAG:
            return list(set[bytes]().union(*(self._tagged.get(tag, ()) for tag in purge.values)))
        if purge.scope is Scope.URL and all(value[:1] != b"/" for value in purge.values):
            urls = {url for value in purge.values for url in urls_meant(value)}
            plain = [key for url in urls for route in self._routes if (key := url + route) in self._shelves]
            return plain + [key for url in urls for key in self._of_url.get(url, ())]
        return list(self._shelves)

    def was_purged(self, key: bytes, entry: Entry, mark: int) -> bool:
        """Or too many purges came to be sure."""
        since = self._purge_count - mark
        if not since:
            return False
        if since > len(self._purges):
            return True
        recent = list(self._purges)[len(self._purges) - since :]
        return any(purge.takes(key, entry.tags) for purge in recent)

    # ------------------------------------------------------------ the queues

    def _lay(self, key: bytes, entries: tuple[Entry, ...]) -> bool:
        """These entries under the key and no others, in the queue that the key is in."""
        old = self._shelves.get(key)
        queue = self._large if self._ghosts.has(key) else self._small
        if old is not None:
            assert old.queue is not None
            queue = old.queue
            queue.take(old)
            self._forget(old)
        if not entries:
            return False
        shelf = Shelf(key, entries)
        if shelf.size > queue.limit:
            queue = self._large
        while shelf.size > queue.limit and len(shelf.entries) > 1:  # the oldest variants leave for the new one
            shelf = Shelf(key, shelf.entries[:-1])
        if shelf.size > queue.limit:
            return False
        if old is not None:
            shelf.uses, shelf.hits = old.uses, old.hits
        self._shelves[key] = shelf
        self._enter(queue, shelf)
        self._index(shelf)
        return True

    def _enter(self, queue: Queue, shelf: Shelf) -> None:
        chances = _MAX_CHANCES
        while queue.size + shelf.size > queue.limit:
            self._leave(queue, spares=chances > 0)
            chances -= 1
        queue.put(shelf)

    def _leave(self, queue: Queue, *, spares: bool) -> None:
        """Its first one goes, or comes into the large queue once more if it was asked for. spares: that has not gone on for
        too long."""
        shelf = queue.first
        assert shelf is not None
        queue.take(shelf)
        if queue is self._large:
            if shelf.uses and spares:
                shelf.uses -= 1
                queue.put(shelf)
            else:
                self._forget(shelf)
        elif shelf.uses or self._large.size + shelf.size <= self._large.limit:
            shelf.uses = 0
            self._enter(self._large, shelf)
        else:
            self._ghosts.add(shelf.key)
            self._forget(shelf)

    def _index(self, shelf: Shelf) -> None:
        key = shelf.key
        end = key.find(b" ")
        route = key[end:]
        plain = self._routes.get(route)
        if plain is None and route.count(b" ") == 1:
            plain = self._routes[route] = Plain(route)
        if plain is not None:
            plain.number += 1
            shelf.plain = plain
        else:
            self._of_url.setdefault(key[:end], set()).add(key)
        for entry in shelf.entries:
            for tag in entry.tags:
                self._tagged.setdefault(tag, set()).add(key)

    def _forget(self, shelf: Shelf) -> None:
        key = shelf.key
        del self._shelves[key]
        plain = shelf.plain
        if plain is not None:
            plain.number -= 1
            if not plain.number:
                del self._routes[plain.route]  # which a reload may have taken away
        else:
            _discard(self._of_url, url_of(key), key)
        for entry in shelf.entries:
            for tag in entry.tags:
                _discard(self._tagged, tag, key)

    async def start(self) -> None:
        """Nothing has to be connected."""

    async def stop(self) -> None:
        """Nothing runs in the background."""


def _discard(index: dict[bytes, set[bytes]], name: bytes, key: bytes) -> None:
    keys = index.get(name, set())
    keys.discard(key)
    if not keys:
        index.pop(name, None)


class MemoryWriter:
    """Gathers a body, in pieces that are neither tiny nor huge."""

    __slots__ = ("_entry", "_key", "_loose", "_loose_size", "_mark", "_pieces", "_size", "_store")

    def __init__(self, store: MemoryStore, key: bytes, entry: Entry, mark: int) -> None:
        self._store: MemoryStore | None = store
        self._key = key
        self._entry = entry
        self._mark = mark
        self._pieces: list[bytes] = []
        self._loose: list[bytes] = []
        self._loose_size = 0
        self._size = 0

    def append(self, chunk: bytes) -> None:
        if self._store is None:
            return
        self._size += len(chunk)
        if self._size > self._store.max_body:
            self.abort()
            return
        self._loose.append(chunk)
        self._loose_size += len(chunk)
        if self._loose_size >= PIECE and self._size > WHOLE:
            self._tie_up()

    async def commit(self) -> Entry | None:
        return self.commit_at_once()

    def commit_at_once(self) -> Entry | None:
        store = self._store
        if store is None:
            return None
        self._tie_up()
        entry = self._entry.with_body(self._pieces)
        self._store = None
        return entry if store.put(self._key, entry, self._mark) else None

    def abort(self) -> None:
        self._store = None
        self._loose.clear()
        self._pieces.clear()

    def _tie_up(self) -> None:
        if self._loose:
            self._pieces.append(self._loose[0] if len(self._loose) == 1 else b"".join(self._loose))
            self._loose = []
            self._loose_size = 0
