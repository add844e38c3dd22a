"""Where entries live: the interface of all stores, and that of the lock by which processes share one fetch.

A store is a help and never a hindrance. No method raises for a fault of the store: what is away, slow, full or not to
be understood is a miss, nothing purged, or a write that did not happen, and the store logs it. How long an awaited
method may take at most is the store's own bound (tens of milliseconds), after which it gives the answer of a fault.

Several tasks of one event loop use a store at the same time. Keys are those of `gateway.cache.key`: readable bytes of any
length up to the longest request target, the URL first and then a space. A store may hash them, and must then compare the
whole key in what it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from gateway.cache.entry import Entry
    from gateway.cache.purge import Purge


class Store(Protocol):
    """The order of a write: `mark` before the target is asked, `begin` with the head of its answer, `append` for every
    piece of the body, then `commit` or `abort`."""

    @property
    def is_current(self) -> bool:
        """A purge reaches all processes that share the store, and theirs reach this one, now and not only later."""

    @property
    def shows_all(self) -> bool:
        """`peek` gives all that there is, and writers are of the ready kind."""

    def peek(self, key: bytes) -> Sequence[Entry]:
        """The variants that can be had without waiting, the newest first, with their bodies (`chunks` is not None).

        Called for every request of a cached route, so it must be as cheap as a look-up in a dictionary. It says nothing
        about what is not in memory: an empty answer may be a hit for `find`. Counts as a use of the key, once a request.
        Entries past `kept_until` may be among them. The sequence is not kept and not changed by the caller.
        """

    def look(self, key: bytes) -> Sequence[Entry]:
        """`peek` without a use: for a request that has peeked before."""

    async def find(self, key: bytes) -> Sequence[Entry]:
        """All variants, the newest first, wherever they are. Bodies may be left behind (`chunks` is None). No use of what
        `peek` gives."""

    def body(self, key: bytes, entry: Entry, first: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `first` to `end` of the body of an entry that `find` gave without it, piece by piece, none of them
        empty.

        Raises LookupError where it is gone or not whole: before the first piece it then counts as a miss, later the answer
        is broken off.
        """

    def mark(self) -> int:
        """A point in the order of purges, taken before the target is asked. What was purged after it must not come back
        with an answer that was under way meanwhile."""

    def was_purged(self, key: bytes, entry: Entry, mark: int) -> bool:
        """Whether a purge after `mark` takes this entry."""

    def begin(self, key: bytes, entry: Entry, mark: int) -> Writer:
        """Start to write a response whose body is to come; `entry` has no chunks yet."""

    async def renew(self, key: bytes, old: Entry, new: Entry, mark: int) -> bool:
        """After a validation: `new` has the body of `old` and takes its place. False where it was not done, as when `old` is
        not there any more or a purge that takes it came after `mark`."""

    def add_form(self, key: bytes, entry: Entry, coding: bytes, body: bytes) -> bool:
        """Keep a content-coded form of the entry's body beside it (`entry.forms`), without waiting. False where there is no
        room for it, so that it need not be made again.

        entry: one that this store gave, or holds by now.
        """

    async def drop(self, key: bytes, entry: Entry) -> None:
        """Take one variant out."""

    async def purge(self, purge: Purge) -> int:
        """Take out, or make stale (`soft`: `fresh_until` becomes now, if it is later), all that a purge takes; how many
        entries that were, as far as it is known. When this returns, `peek` and `find` of this process give none of them, and
        no write that began before it brings one back."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """End background work. What is not written by then is lost."""

    def usage(self) -> Usage:
        """How full it is, for people and metrics."""


class Writer(Protocol):
    """One response on its way into a store. Until `commit` nobody finds it; without one it never existed."""

    def append(self, chunk: bytes) -> None:
        """The next piece of the body. Never waits and never fails: a store that can not keep up, or has no room, gives the
        response up by itself, and `commit` says so."""

    async def commit(self) -> Entry | None:
        """The body was whole. The entry as it is found from now on; it takes the place of a variant with the same
        `vary`. None where it was not stored: given up, not admitted, or purged meanwhile."""

    def abort(self) -> None:
        """The body was cut off, or is not wanted any more. Also allowed after `commit` has failed; not after it succeeded."""


class ReadyWriter(Writer, Protocol):
    """One that never has to wait."""

    def commit_at_once(self) -> Entry | None:
        """`commit`."""


class Usage(Protocol):
    """Counts and bytes; bytes_limit is 0 where the store does not know its own."""

    @property
    def entries(self) -> int: ...
    @property
    def bytes_held(self) -> int: ...
    @property
    def bytes_limit(self) -> int: ...
    @property
    def purged(self) -> int: ...


class FetchLock(Protocol):
    """By which all processes that share a store send one request for a key where many want its answer."""

    async def lead(self, key: bytes, patience: float) -> Lease | None:
        """Whether this process is the one that asks the target for the answer under `key`.

        A Lease at once where nobody else holds one, or where that can not be known (the lock is away): the caller fetches.
        None after somebody else's fetch is over, stored or not, or after `patience` seconds: the caller looks the key up
        again, and fetches for itself if there is nothing, without asking a second time.
        """


class Lease(Protocol):
    """The right to fetch for all others. It expires by itself if its holder dies, and is kept alive while it lives."""

    async def release(self) -> None:
        """The fetch is over: stored, failed or found not to be storable. All who wait for it go on at once. Never raises;
        calling it twice does no harm."""


async def each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """What is there already, for those who would wait."""
    for piece in pieces:
        yield piece
