"""Who takes a target's answer: the interface between a connection and the way back to the client.

A connection calls its sink from the event loop's callbacks, in this order, and never again after `end`, `whole`,
`failed` or `switched`:

    interim*  head  data*  end            or `failed` at any point, or `switched` after a 101 that was asked for
    interim*  whole                       where head and body came at once

A sink that cannot take more calls `connection.pause_reading()`, and `resume_reading()` later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.exchange import Headers
    from gateway.rfc.message import AnswerHead


class Sink(Protocol):
    def interim(self, status: int, headers: Headers) -> None:
        """A 1xx answer other than 101; the final one follows."""

    def head(self, head: AnswerHead) -> None:
        """The final answer's head; `head.headers` still holds its hop-by-hop fields."""

    def whole(self, head: AnswerHead, body: bytes, now: float) -> None:
        """The final answer at once: `head`, `data` and `end` in one. now: when it came."""

    def data(self, chunk: bytes) -> None:
        """Body bytes, decoded from the chunked coding."""

    def end(self, trailers: Headers) -> None:
        """The answer is whole."""

    def failed(self, error: GatewayError) -> None:
        """The answer will not come, or not be whole."""

    def switched(self, head: AnswerHead, rest: bytes) -> None:
        """101: the connection is a byte stream now, `rest` are its first bytes, and the sink owns its transport."""

    def writable(self) -> None:
        """The target takes more of the request's body."""


class Link(Protocol):
    """A way to a target that carries one exchange at a time: a socket, or a local ASGI app."""

    reused: bool

    @property
    def write_paused(self) -> bool: ...

    def send(self, request: Outgoing, sink: Sink) -> None:
        """Send the head of a request; the answer goes to `sink`."""

    def send_body(self, data: bytes) -> None:
        """A piece of the request's body, not empty."""

    def end_body(self) -> None:
        """The request's body is whole."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def allow_silence(self, seconds: float) -> None:
        """This answer may pause for so long between its bytes (event streams)."""

    def give_back(self) -> None:
        """Nothing was sent, and nothing will be."""

    def abandon(self, sink: Sink) -> None:
        """Drop the exchange of `sink`, unless it is over: the target learns that nobody waits any more. The sink is not
        called after this."""


class Timeouts:
    """Seconds; see `docs/configuration.md`. Never changed."""

    __slots__ = ("connect", "first_byte", "pool", "read", "stream_idle", "total", "write")

    def __init__(
        self,
        *,
        connect: float = 3.0,
        pool: float = 5.0,
        first_byte: float = 60.0,
        read: float = 60.0,
        write: float = 60.0,
        stream_idle: float = 3600.0,
        total: float | None = None,
    ) -> None:
        self.connect = connect
        self.pool = pool
        self.first_byte = first_byte
        self.read = read
        self.write = write
        self.stream_idle = stream_idle
        self.total = total


class Sent:
    """What a connection has to know of a request whose head is made already.

    length: of the body that follows, 0 without one, -1 when it is sent chunked. upgrade: an answer of 101 is welcome.
    """

    __slots__ = ("length", "method", "timeouts", "upgrade")

    def __init__(self, method: bytes, length: int, timeouts: Timeouts, *, upgrade: bool = False) -> None:
        self.method = method
        self.length = length
        self.timeouts = timeouts
        self.upgrade = upgrade


class Outgoing(Sent):
    """A request on its way to a target."""

    __slots__ = ("headers", "target")

    def __init__(
        self, method: bytes, target: bytes, headers: Headers, length: int, timeouts: Timeouts, *, upgrade: bool = False
    ) -> None:
        super().__init__(method, length, timeouts, upgrade=upgrade)
        self.target = target
        self.headers = headers
