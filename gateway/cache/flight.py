"""One fetch, and all who wait for what it brings.

What comes in is kept in pieces, and every reader goes through them at its own pace. A flight whose answer is to be stored
keeps all of it, so that a slow reader slows nobody and a late one misses nothing; any other keeps a window, and waits
for the slowest reader when that is full. So does one that finds no more room beside all others.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.body import RequestBody
    from gateway.cache.entry import Entry
    from gateway.errors import GatewayError
    from gateway.exchange import Headers

WINDOW: Final = 65536  # bytes that wait for the reader of an answer which is not stored
KEPT: Final = 64 << 20  # bytes that all flights together keep for readers
TAKE: Final = 262144  # bytes that a reader gets at once, about


class Kind(Enum):
    """What a flight brings."""

    ANSWER = "answer"  # the target's; its body follows
    VALIDATED = "validated"  # the stored entry may be used
    BRIDGED = "bridged"  # the target failed, and the stale entry helps out
    ODD = "odd"  # a 304 that is not about what is stored: ask again without conditions


class Landing:
    """What is known once the target has answered. status: the target's, 0 where there was no answer at all: it failed, or
    another process's was found.

    entry: what is stored for an ANSWER, if it is storable; else the stored one. headers, length: of an ANSWER; of a
    VALIDATED, the fields of a 304 that are for the one alone who asked.
    """

    __slots__ = ("chunked", "entry", "headers", "kind", "length", "status")

    def __init__(
        self,
        kind: Kind,
        status: int,
        *,
        entry: Entry | None = None,
        headers: Headers | None = None,
        length: int | None = None,
        chunked: bool = False,
    ) -> None:
        self.kind = kind
        self.status = status
        self.entry = entry
        self.headers: Headers = headers or []
        self.length = length
        self.chunked = chunked


class Valve(Protocol):
    """By which the answer's arrival is held up."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Kept:
    """What flights keep whole, all together. size: bytes."""

    __slots__ = ("limit", "size")

    def __init__(self, limit: int = KEPT) -> None:
        self.limit = limit
        self.size = 0


class Flight:
    """deserted: called when nobody reads it before its end. is_lone: for as long as all of it is kept it goes on without
    readers. kept: of all flights."""

    __slots__ = (
        "_counted", "_deserted", "_first", "_held", "_kept", "_paused", "_readers", "_valve", "_window", "chunks", "ended", "error",
        "is_lone", "landing", "trailers",
    )  # fmt: skip

    def __init__(self, deserted: Callable[[], None], kept: Kept, *, is_lone: bool = False) -> None:
        self.is_lone = is_lone
        self._kept = kept
        self._counted = 0  # bytes of `kept`
        self.landing: Landing | None = None
        self.error: GatewayError | None = None
        self.ended = False
        self.trailers: Headers = []
        self.chunks: list[bytes] = []
        self._first = 0  # the number of the piece that `chunks` begins with
        self._held = 0
        self._window = 0  # 0: everything is kept
        self._valve: Valve | None = None
        self._paused = False
        self._readers: set[Reader] = set()
        self._deserted: Callable[[], None] | None = deserted

    # ------------------------------------------------------------ who brings the answer

    def land(self, landing: Landing, valve: Valve | None = None, *, window: int = 0) -> None:
        """window: bytes that are kept at most, 0 for all that comes."""
        self.landing = landing
        self._valve = valve
        self._window = window
        self._wake()
        self._look_around()

    def narrow(self, window: int) -> None:
        """It is too much to be kept whole."""
        self._release()
        self._window = window
        self._trim()
        self._look_around()

    def data(self, chunk: bytes) -> None:
        size = len(chunk)
        self.chunks.append(chunk)
        self._held += size
        if not self._window:
            self._counted += size
            self._kept.size += size
            if self._kept.size > self._kept.limit:
                self.narrow(WINDOW)
        if self._window and self._held >= self._window and not self._paused and self._valve is not None:
            self._paused = True
            self._valve.pause_reading()
        self._wake()

    def end(self, trailers: Headers) -> None:
        self.ended = True
        self._paused = False  # the way to the target may serve another by now
        self._valve = None
        self._deserted = None  # whoever made it may hold it
        self.trailers = trailers
        if not self._readers:
            self._release()
        self._wake()

    def fail(self, error: GatewayError) -> None:
        if not self.ended and self.error is None:
            self.error = error
            self._deserted = None
            if not self._readers:
                self._release()
            self._wake()

    def _release(self) -> None:
        self._kept.size -= self._counted
        self._counted = 0

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()

    # ------------------------------------------------------------ readers

    @property
    def keeps_all(self) -> bool:
        """Who joins now misses nothing."""
        return not self._window and self.error is None

    def join(self, body: RequestBody) -> Reader:
        """From the first piece on; only while all of them are kept, or nothing has been taken. body: of the request."""
        reader = Reader(self, body)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        self._readers.discard(reader)
        if not self._readers and (self.ended or self.error is not None):
            self._release()
        self._look_around()
        if self._window:
            self._trim()

    def _look_around(self) -> None:
        """Is there anybody whom it is for?"""
        is_wanted = self._readers or (self.is_lone and not self._window)
        if not is_wanted and self._deserted is not None:
            self._deserted()

    def pieces(self, number: int) -> list[bytes]:
        """What is there from the piece of that number on, up to about TAKE bytes."""
        found: list[bytes] = []
        size = 0
        for chunk in self.chunks[number - self._first :]:
            found.append(chunk)
            size += len(chunk)
            if size >= TAKE:
                break
        return found

    def has(self, number: int) -> bool:
        return number < self._first + len(self.chunks)

    def taken(self) -> None:
        """A reader has gone on."""
        if self._window:
            self._trim()

    def _trim(self) -> None:
        slowest = min((reader.number for reader in self._readers), default=self._first)
        gone = slowest - self._first
        if gone > 0:
            self._held -= sum(map(len, self.chunks[:gone]))
            del self.chunks[:gone]
            self._first = slowest
        if self._paused and self._held < self._window:
            self._paused = False
            if self._valve is not None:
                self._valve.resume_reading()


class Reader:
    """One request's way through a flight. number: of the piece that it takes next. `body` and `gone` are for who watches
    the client (see `gateway.gone`)."""

    __slots__ = ("_flight", "_gone", "_waiter", "body", "number")

    def __init__(self, flight: Flight, body: RequestBody) -> None:
        self._flight = flight
        self.body = body
        self.number = 0
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None

    async def landing(self) -> Landing:
        """Raises the GatewayError that came instead."""
        flight = self._flight
        while flight.landing is None:
            await self._news()
        return flight.landing

    async def chunk(self) -> bytes:
        """The next bytes; empty at the end. Raises what cut it off."""
        flight = self._flight
        while not flight.has(self.number):
            if flight.ended:
                return b""
            await self._news()
        if self._gone:
            raise ClientGone
        found = flight.pieces(self.number)
        self.number += len(found)
        flight.taken()
        return found[0] if len(found) == 1 else b"".join(found)

    @property
    def has_more(self) -> bool:
        """There are bytes to take, or will be."""
        return not self._flight.ended or self._flight.has(self.number)

    @property
    def trailers(self) -> Headers:
        return self._flight.trailers

    def gone(self) -> None:
        self._gone = True
        self.wake()

    def leave(self) -> None:
        self._flight.leave(self)

    def let_go_on(self) -> None:
        """This reader has what it came for; the answer is still wanted, if it is to be stored."""
        self._flight.is_lone = True

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _news(self) -> None:
        if self._gone:
            raise ClientGone
        if self._flight.error is not None:
            raise self._flight.error
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter
        if self._gone:
            raise ClientGone
