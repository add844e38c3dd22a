"""The store in memory: bounded in bytes. What leaves when room is wanted is said in `queues.py`; all variants under a key come
and go together."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.cache.entry import MAX_VARIANTS
from gateway.cache.purge import Purge, Scope, url_of, urls_meant
from gateway.cache.queues import MAX_USES, Queues, Shelf
from gateway.cache.store import each
from gateway.rfc.ranges import cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from gateway.cache.entry import Entry

WHOLE: Final = 262144  # bytes; a body up to this length is kept in one piece, which leaves in one write
PIECE: Final = 65536  # bytes; longer ones are kept in pieces of at least this
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


class MemoryStore:
    """limit: bytes for everything, about. now: Unix seconds."""

    is_current: Final = True  # nobody shares it
    shows_all: Final = True

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._shelves: dict[bytes, Shelf] = {}
        self._queues = Queues(limit)
        self._tagged: dict[bytes, set[bytes]] = {}
        self._routes: dict[bytes, Plain] = {}  # by what stands behind the URL
        self._last_plain: Plain | None = None
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
        if shelf.uses < MAX_USES:
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
        return self._queues.large.limit

    def body(self, key: bytes, entry: Entry, first: int, end: int) -> AsyncIterator[bytes]:
        return each(cut(entry.chunks or (), first, end))

    def shelves(self) -> Iterable[tuple[bytes, Shelf]]:
        """All keys with what lies under them, for people who look into the cache."""
        return self._shelves.items()

    def usage(self) -> Usage:
        entries = sum(len(shelf.entries) for shelf in self._shelves.values())
        return Usage(entries, self._queues.size, self._limit, self._purged)

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
        if shelf is None:
            return self._lay(key, None, (entry,))
        others = tuple(other for other in shelf.entries if other.vary != entry.vary)
        return self._lay(key, shelf, (entry, *others[: MAX_VARIANTS - 1]))

    async def renew(self, key: bytes, old: Entry, new: Entry, mark: int) -> bool:
        shelf = self._shelves.get(key)
        if shelf is None or old not in shelf.entries or self.was_purged(key, new, mark):
            return False
        if new.length == old.length:
            new.forms = old.forms.copy()
        others = tuple(other for other in shelf.entries if other is not old and other.vary != new.vary)
        return self._lay(key, shelf, (new, *others))

    def add_form(self, key: bytes, entry: Entry, coding: bytes, body: bytes) -> bool:
        shelf = self._shelves.get(key)
        if shelf is None or entry not in shelf.entries:  # gone, and its form with it
            return True
        if shelf.size + len(body) > self._queues.small.limit:
            return False
        entry.add_form(coding, body)
        self._lay(key, shelf, shelf.entries)
        return True

    async def drop(self, key: bytes, entry: Entry) -> None:
        shelf = self._shelves.get(key)
        if shelf is not None:
            self._lay(key, shelf, tuple(other for other in shelf.entries if other is not entry))

    # ------------------------------------------------------------ purging

    async def purge(self, purge: Purge) -> int:
        self._purges.append(purge)
        self._purge_count += 1
        count = 0
        for key in self._candidates(purge):
            shelf = self._shelves[key]
            entries = shelf.entries
            taken = [entry for entry in entries if purge.takes(key, entry.tags)]
            count += len(taken)
            if purge.soft:
                now = self._now()
                for entry in taken:
                    entry.fresh_until = min(entry.fresh_until, now)
            elif taken:
                self._lay(key, shelf, tuple(entry for entry in entries if entry not in taken))
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

    # ------------------------------------------------------------ shelves

    def _lay(self, key: bytes, old: Shelf | None, entries: tuple[Entry, ...]) -> bool:
        """These entries under the key and no others, in the queue that the key is in. old: what lies there."""
        queues = self._queues
        if old is None:
            queue = queues.queue_of(key)
        else:
            assert old.queue is not None
            queue = old.queue
            queue.take(old)
            self._forget(old)
        if not entries:
            return False
        shelf = Shelf(key, entries)
        if shelf.size > queue.limit:
            queue = queues.large
        while shelf.size > queue.limit and len(shelf.entries) > 1:  # the oldest variants leave for the new one
            shelf = Shelf(key, shelf.entries[:-1])
        if shelf.size > queue.limit:
            return False
        if old is not None:
            shelf.uses, shelf.hits = old.uses, old.hits
        self._shelves[key] = shelf
        gone = queues.enter(queue, shelf)
        while gone is not None:
            self._forget(gone)
            gone = gone.behind
        self._index(shelf)
        return True

    def _index(self, shelf: Shelf) -> None:
        key = shelf.key
        plain = self._last_plain  # most have the route of the one before
        if plain is None or not key.endswith(plain.route):  # as no further part ends: each holds a colon, and no route does
            plain = self._plain_of(key)
        if plain is not None:
            plain.number += 1
            shelf.plain = plain
        else:
            self._of_url.setdefault(url_of(key), set()).add(key)
        for entry in shelf.entries:
            for tag in entry.tags:
                self._tagged.setdefault(tag, set()).add(key)

    def _plain_of(self, key: bytes) -> Plain | None:
        """None for a key with further parts."""
        route = key[len(url_of(key)) :]
        if route.count(b" ") > 1:
            return None
        self._last_plain = plain = self._routes.get(route) or Plain(route)
        self._routes[route] = plain
        return plain

    def _forget(self, shelf: Shelf) -> None:
        key = shelf.key
        del self._shelves[key]
        plain = shelf.plain
        if plain is not None:
            plain.number -= 1
            if not plain.number:
                del self._routes[plain.route]  # which a reload may have taken away
                self._last_plain = None
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
