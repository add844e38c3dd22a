"""A WebSocket as a byte tunnel: after the 101 two sockets are handed to each other (RFC 6455, RFC 9110 section 7.8).

Nothing is read but the lengths of frames, so messages, pings, extensions and close codes pass as they are. A side that
does not read stops the other by the transports' own buffers. The tunnel ends with the first side that closes, or when
neither has sent a byte for `stream_idle` seconds. What is on its way then is still delivered, as long as it is taken.

When the server stops, each side gets the frame that is under way to its end, and then a close of ours, with 1012.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from gateway.deadlines import NEVER
from gateway.errors import UpgradeFailed
from gateway.exchange import ResponseHead
from gateway.outgoing import response_headers
from gateway.rfc.frames import SERVICE_RESTART, Frames, close_frame
from gateway.server.reset import reset
from gateway.upstream.websocket import accepts

if TYPE_CHECKING:
    from gateway.deadlines import Deadlines
    from gateway.deliver import Delivery
    from gateway.exchange import Exchange
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.connection import Connection
    from gateway.upstream.sink import Timeouts


CLOSE_PATIENCE: Final = 2.0  # seconds for both sides to answer our close


async def splice(
    exchange: Exchange, head: AnswerHead, rest: bytes, connection: Connection, delivery: Delivery, timeouts: Timeouts
) -> None:
    """Pass a target's 101 on, and then bytes both ways until one side closes. Raises UpgradeFailed before that."""
    stream = delivery.stream
    if stream is None or not accepts(head, exchange.header(b"sec-websocket-key")):
        connection.leave()
        raise UpgradeFailed("the target's 101 does not accept this handshake")
    response = ResponseHead(head.status, response_headers(head), 0)
    delivery.pipeline.amend(exchange, response)
    client, early = stream.switch([*response.headers, (b"connection", b"Upgrade"), (b"upgrade", b"websocket")])
    delivery.started = True
    exchange.status = 101
    tunnel = Tunnel(client, connection.transport.raw, delivery.deadlines, timeouts)
    tunnel.start(early, rest)
    try:
        await tunnel.closed
    finally:
        tunnel.close()
        exchange.bytes_in += tunnel.client.bytes_received
        exchange.bytes_out += tunnel.target.bytes_received
        connection.leave()


class Tunnel:
    """Both ends, and the deadline for silence."""

    __slots__ = ("_deadlines", "_ending", "_over", "_seen", "_timeouts", "_unsent", "bucket", "client", "closed", "deadline", "target")

    def __init__(
        self, client: asyncio.Transport, target: asyncio.Transport, deadlines: Deadlines, timeouts: Timeouts
    ) -> None:
        self.client = TunnelEnd(self, client, target)
        self.target = TunnelEnd(self, target, client)
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deadline = NEVER
        self.bucket = NEVER
        self._deadlines = deadlines
        self._timeouts = timeouts
        self._seen = -1
        self._unsent = 0
        self._over = False
        self._ending = False

    def start(self, from_client: bytes, from_target: bytes) -> None:
        for end in (self.client, self.target):  # both, before either is told to pause
            end.transport.set_protocol(end)
        for end, early in ((self.client, from_client), (self.target, from_target)):
            if early:
                end.data_received(early)
        for end in (self.client, self.target):
            if end.transport.is_closing():
                self.close()
            else:
                end.transport.resume_reading()
        self.expired(self._deadlines.now())

    def expired(self, now: float) -> None:
        """Close when nothing has come since the last look, and drop what nobody takes after that."""
        if self._over:
            self._flush(now)
            return
        if self._ending:
            self.close()
            return
        seen = self.client.bytes_received + self.target.bytes_received
        if seen == self._seen:
            self.close()
        else:
            self._seen = seen
            self._deadlines.watch(self, now + self._timeouts.stream_idle)

    def close(self) -> None:
        """Flush and close both sides."""
        if self._over:
            return
        self._over = True
        if not self.closed.done():  # cancelled with whoever awaits it
            self.closed.set_result(None)
        self.deadline = NEVER
        for end in (self.client, self.target):
            end.transport.close()
        self._flush(self._deadlines.now())

    def end_soon(self) -> None:
        """Close both sides with 1012, each behind the frame that is under way to it."""
        if self._over or self._ending:
            return
        self._ending = True
        ends = (
            Ending(self, self.client, close_frame(SERVICE_RESTART, os.urandom(4))),  # what the client side sends is masked
            Ending(self, self.target, close_frame(SERVICE_RESTART)),
        )
        for end in ends:
            end.transport.set_protocol(end)
        for end in ends:
            end.begin()
        if not self._over:
            self._deadlines.watch(self, self._deadlines.now() + CLOSE_PATIENCE)

    def answered(self) -> None:
        """One side has said its last word; over, when both have."""
        if self.client.frames.closing and self.target.frames.closing:
            self.close()

    def _flush(self, now: float) -> None:
        """A side that takes its last bytes has time; one that does not, and never closes, would hold its connection."""
        unsent = self.client.transport.get_write_buffer_size() + self.target.transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self._deadlines.watch(self, now + self._timeouts.write)
        elif unsent:
            reset(self.client.transport)
            reset(self.target.transport)


class TunnelEnd(asyncio.Protocol):
    """What comes in here goes out there."""

    __slots__ = ("_other", "_tunnel", "_write", "bytes_received", "frames", "transport")

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport, other: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self._other = other
        self._write = other.write
        self.transport = transport
        self.bytes_received = 0
        self.frames = Frames()

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self._write(data)
        self.frames.feed(data)

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.close()


class Ending(TunnelEnd):
    """An end whose frame under way still goes out there, with our close behind it; all else is dropped."""

    __slots__ = ("_close", "_closed")

    def __init__(self, tunnel: Tunnel, end: TunnelEnd, close: bytes) -> None:
        """close: the frame for the other side."""
        super().__init__(tunnel, end.transport, end._other)
        self.frames = end.frames
        self._close = close
        self._closed = False

    def begin(self) -> None:
        if self.frames.is_between:
            self._say_close()
        if self.frames.closing:
            self._tunnel.answered()

    def data_received(self, data: bytes) -> None:
        if not self._closed:
            rest = self.frames.rest_of_frame(data)
            self._write(data[:rest])
            self.frames.feed(data[:rest])
            data = data[rest:]
            if self.frames.is_between:
                self._say_close()
        self.frames.feed(data)
        if self.frames.closing:
            self._tunnel.answered()

    def _say_close(self) -> None:
        """Unless this side has said its own, which has passed already."""
        self._closed = True
        if not self.frames.closing:
            self._write(self._close)
