"""In which order a store in memory gives up what it holds (S3-FIFO: Yang and others, SOSP 2023).

Keys that are new wait in a small queue, a tenth of the room, and leave it at its end unless they were asked for again
meanwhile; only then, or while there is room anyhow, do they come into the large one, which they leave when nobody asks
for them any more. A key that comes back soon after it had left goes to the large one at once. So a crawler that asks for
everything once displaces nothing that is in use, and a hit costs a look-up and a count.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64, mypyc_attr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.cache.entry import Entry
    from gateway.cache.memory import Plain

MAX_USES: Final = 3  # that are remembered; a key survives as many rounds of the large queue
_SMALL_SHARE: Final = 10  # the small queue has one part in so many
_MAX_CHANCES: Final = 64  # keys that are spared for one that comes in, so that it never waits for a walk through all of them
_GHOST_BYTES: Final = 4096  # of room for each key that is remembered after it has left
_MARK: Final = 0xFFFF  # two bytes


@mypyc_attr(free_list_len=1)
class Shelf:
    """What lies under one key. uses: since it last went through a queue; hits: ever. queue: that it stands in, between
    `before` and `behind`; of several that have left at once, each is behind the one before. plain: the store's own."""

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
    """Keys that have left, by marks of two bytes in a table with room for the last two that have the same place there: nearly all of
    the last `number / 2` are known, and nine in ten of the last `number`. Of all other keys one in 30,000 is taken for one of them,
    which does no harm. With four bytes a place the table stays near the processor."""

    __slots__ = ("_last", "_marks")

    def __init__(self, number: int) -> None:
        places = 1 << (number - 1).bit_length()
        self._last: i64 = places - 1
        self._marks = array("I", bytes(4 * places))  # the newer mark in the lower half

    def add(self, key: bytes) -> None:
        number: i64 = hash(key)
        place = number & self._last
        known: i64 = self._marks[place]
        self._marks[place] = (known & _MARK) << 16 | number >> 40 & _MARK

    def has(self, key: bytes) -> bool:
        number: i64 = hash(key)
        known: i64 = self._marks[number & self._last]
        mark = number >> 40 & _MARK  # of bits that are not those of the place
        return known & _MARK == mark or known >> 16 == mark


class Queues:
    """Both queues, and who has left them. limit: bytes."""

    __slots__ = ("ghosts", "large", "small")

    def __init__(self, limit: int) -> None:
        self.small = Queue(limit // _SMALL_SHARE)
        self.large = Queue(limit - limit // _SMALL_SHARE)
        self.ghosts = Ghosts(max(limit // _GHOST_BYTES, 64))

    @property
    def size(self) -> int:
        return self.small.size + self.large.size

    def queue_of(self, key: bytes) -> Queue:
        """For a key that is in none."""
        return self.large if self.ghosts.has(key) else self.small

    def enter(self, queue: Queue, shelf: Shelf) -> Shelf | None:
        """A shelf comes in, and is not larger than the queue. What has to leave for it: the first of them, each `behind`
        another."""
        gone: Shelf | None = None
        chances = _MAX_CHANCES
        while queue.size + shelf.size > queue.limit:
            left = self._move_on(queue, spares=chances > 0)
            chances -= 1
            if left is not None:
                last = left
                while last.behind is not None:
                    last = last.behind
                last.behind = gone
                gone = left
        queue.put(shelf)
        return gone

    def _move_on(self, queue: Queue, *, spares: bool) -> Shelf | None:
        """Its first one leaves, or comes into the large queue once more if it was asked for. spares: that has not gone on for
        too long. Who leaves for that, as `enter` says it."""
        shelf = queue.first
        assert shelf is not None
        queue.take(shelf)
        if queue is self.large:
            if shelf.uses and spares:
                shelf.uses -= 1
                queue.put(shelf)
                return None
            return shelf
        if shelf.uses or self.large.size + shelf.size <= self.large.limit:
            shelf.uses = 0
            return self.enter(self.large, shelf)
        self.ghosts.add(shelf.key)
        return shelf
