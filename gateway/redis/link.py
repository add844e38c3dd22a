"""One connection to a Redis: the commands of one turn of the event loop go out in one write, replies come back in order.

There is no lock and no pool: whoever has a command appends it and gets a future. An answer has a bound, and a Redis that
keeps the oldest command waiting beyond it is given up with all that waits: replies come in order, so nothing behind it
could be earlier. A bound that is over because our own loop stood still is not held against it: what has arrived
meanwhile is read first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from gateway.redis.resp import NotResp, Reply, ReplyReader

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE: Final = 0.005  # seconds in which a late loop reads what has arrived
MAX_GRACES: Final = 40  # in a row, while replies do come: it is we who are slow


class Away(Exception):
    """There is no Redis that answers in time."""


class Link(asyncio.Protocol):
    """bound: seconds in which a command is to be answered. pushed: takes what was not asked for, which only a subscriber
    gets; for any other connection that is a fault. lost: called once, when no more commands can be sent."""

    __slots__ = (
        "_bound", "_graces", "_heard", "_loop", "_lost", "_outgoing", "_pushed", "_reader", "_sent", "_timer", "is_open",
        "transport", "unanswered", "why",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bound: float,
        lost: Callable[[Link], None],
        pushed: Callable[[Reply], None] | None = None,
    ) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made
        self.is_open = False
        self.unanswered = 0  # bytes of commands
        self.why = ""  # it is not open any more
        self._loop = loop
        self._bound = bound
        self._lost = lost
        self._pushed = pushed
        self._reader = ReplyReader()
        self._outgoing: list[bytes] = []
        self._sent: deque[_Sent] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._graces = 0
        self._heard = True  # since the last grace began

    def send(self, data: bytes, count: int) -> asyncio.Future[list[Reply]]:
        """`count` commands, written out; the future has as many replies. It fails with Away and nothing else."""
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        if not self.is_open:
            _fail(future, Away("not connected"))
            return future
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)
        self.unanswered += len(data)
        self._sent.append(_Sent(future, count, len(data), self._loop.time() + self._bound))
        if self._timer is None:
            self._timer = self._loop.call_later(self._bound, self._look)
        return future

    def say(self, data: bytes) -> None:
        """Commands that a subscriber has no reply to wait for: what comes of them is pushed."""
        if self.is_open:
            if not self._outgoing:
                self._loop.call_soon(self._flush)
            self._outgoing.append(data)

    def close(self) -> None:
        self._end("closed")

    # ------------------------------------------------------------ asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            replies = self._reader.feed(data)
        except NotResp as exc:
            self._end(f"this is no Redis: {exc}")
            return
        for reply in replies:
            if not self._sent:
                if self._pushed is None:
                    self._end("a reply that nobody asked for")
                    return
                self._pushed(reply)
            elif self._sent[0].add(reply):
                self.unanswered -= self._sent.popleft().size

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "closed by Redis"))

    # ------------------------------------------------------------ inside

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self.is_open and outgoing:
            self.transport.write(b"".join(outgoing) if len(outgoing) > 1 else outgoing[0])

    def _look(self) -> None:
        """Is the oldest command answered in time? One timer serves all of them."""
        self._timer = None
        if not self._sent:
            return
        left = self._sent[0].until - self._loop.time()
        if left > 0:
            self._graces = 0
            self._timer = self._loop.call_later(left, self._look)
        elif self._graces and (not self._heard or self._graces == MAX_GRACES):
            self._end(f"no answer within {self._bound * 1000:g} ms")
        else:
            self._graces += 1
            self._heard = False
            self._timer = self._loop.call_later(GRACE, self._look)

    def _end(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.is_open:
            return
        self.is_open = False
        self.why = why
        self.transport.abort()
        self._outgoing.clear()
        sent, self._sent = self._sent, deque()
        self.unanswered = 0
        for one in sent:
            one.fail(Away(why))
        self._lost(self)


class _Sent:
    """Commands that wait for their replies. until: loop time."""

    __slots__ = ("_count", "_future", "_replies", "size", "until")

    def __init__(self, future: asyncio.Future[list[Reply]], count: int, size: int, until: float) -> None:
        self._future = future
        self._count = count
        self._replies: list[Reply] = []
        self.size = size
        self.until = until

    def add(self, reply: Reply) -> bool:
        """Whether that was the last one."""
        self._replies.append(reply)
        if len(self._replies) < self._count:
            return False
        if not self._future.done():  # whoever asked may have gone
            self._future.set_result(self._replies)
        return True

    def fail(self, error: Away) -> None:
        _fail(self._future, error)


def _fail(future: asyncio.Future[list[Reply]], error: Away) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # looked at: many do not wait for what they have sent
