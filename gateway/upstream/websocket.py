"""A WebSocket connection to a target, message by message (RFC 6455); the framing is the `websockets` package's.

Used where the client's side is ASGI, which knows whole messages only. It takes over the transport of a connection
whose handshake was answered with 101.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from gateway.deadlines import NEVER

if TYPE_CHECKING:
    from gateway.deadlines import Deadlines
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.connection import Connection
    from gateway.upstream.sink import Timeouts

MESSAGE_LIMIT: Final = 16 * 1024 * 1024  # bytes of one message, as uvicorn has it
QUEUE_LIMIT: Final = 16  # messages that wait for a slow client
QUEUE_BYTES: Final = 262144  # and their size
IDLE: Final = 1001, "idle for too long"  # going away (RFC 6455 section 7.4.1)
KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class Closed(Exception):
    """The target closed. code: 1006 where it vanished without a close frame, 1005 where that had no code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class TargetSocket(asyncio.Protocol):
    """`receive` is awaited by one task; `send` by another. It closes when no byte has passed for `stream_idle`."""

    def __init__(self, connection: Connection, rest: bytes, timeouts: Timeouts, deadlines: Deadlines) -> None:
        self._transport = connection.transport.raw
        self._connection = connection
        self._timeouts = timeouts
        self._deadlines = deadlines
        self.deadline = NEVER
        self.bucket = NEVER
        self._used = False  # since the last look
        self._idle = False
        self._dropped = False
        self._protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=MESSAGE_LIMIT)
        self._messages: deque[str | bytes] = deque()
        self._size = 0
        self._parts: list[bytes] = []
        self._opcode = Opcode.TEXT
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._lost = False
        self._paused = False
        self._transport.set_protocol(self)
        if rest:
            self.data_received(rest)
        if self._transport.is_closing():
            self._lost = True
        elif not self._paused:
            self._transport.resume_reading()
        deadlines.watch(self, deadlines.now() + timeouts.stream_idle)

    async def receive(self) -> str | bytes:
        """The next message. Raises Closed."""
        while not self._messages:
            if self._lost or self._protocol.close_sent is not None:  # which is also the answer to the target's
                raise self._closed()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message = self._messages.popleft()
        self._size -= len(message)
        if self._paused and self._has_room() and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return message

    async def send(self, message: str | bytes) -> None:
        if self._protocol.state is not State.OPEN:
            return
        self._used = True
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._flush()
        if self._writable is not None:
            await self._writable

    def close(self, code: int | None, reason: str = "") -> None:
        """Send a close frame, if the connection is open still; the target's own ends it."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()

    def drop(self) -> None:
        """The connection is over, whatever its state; what the target does not take in time is lost."""
        self._dropped = True
        self._connection.leave()
        if not self._lost:
            self._deadlines.watch(self, self._deadlines.now() + self._timeouts.write)

    def expired(self, now: float) -> None:
        if self._dropped:
            self._transport.abort()
        elif self._used:
            self._used = False
            self._deadlines.watch(self, now + self._timeouts.stream_idle)
        else:
            self._idle = True
            self.close(*IDLE)
            self._wake()

    def _closed(self) -> Closed:
        received = self._protocol.close_rcvd
        if received is None:
            return Closed(*IDLE) if self._idle else Closed(1006, "")
        return Closed(received.code, received.reason)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    # ------------------------------------------------------------ asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._used = True
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._take(cast("Frame", event))
        self._flush()  # pongs and the answer to a close are made by the protocol
        if not self._paused and not self._has_room() and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode = frame.opcode
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole = b"".join(self._parts)
            self._parts.clear()
            try:
                message = whole if self._opcode is Opcode.BINARY else whole.decode()
            except UnicodeDecodeError:
                self._protocol.fail(1007, "invalid UTF-8")
                return
            self._messages.append(message)
            self._size += len(message)

    def _has_room(self) -> bool:
        return len(self._messages) < QUEUE_LIMIT and self._size < QUEUE_BYTES

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.deadline = NEVER
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def accepts(head: AnswerHead, key: bytes | None) -> bool:
    """Whether a 101 switches to WebSocket and answers the client's Sec-WebSocket-Key (RFC 6455 section 4.1)."""
    upgrades = [value.lower() for name, value in head.headers if name == b"upgrade"]
    answers = [value for name, value in head.headers if name == b"sec-websocket-accept"]
    return key is not None and upgrades == [b"websocket"] and answers == [accept_value(key)]


def accept_value(key: bytes) -> bytes:
    """What Sec-WebSocket-Accept must say to a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + KEY_SUFFIX, usedforsecurity=False).digest())


