"""Our HTTP/1.1 protocol class for uvicorn (its `http=` setting): lean, strict and patient only within limits.

It runs ASGI apps as uvicorn's own classes do, and closes what they leave open: one strict parser (`rfc/message.py`),
limits on the head's size and count, deadlines for slow clients, no chunked coding and no 1xx to HTTP/1.0 clients,
interim answers, trailers, half-closed clients, bodies left unread, and a byte tunnel for WebSocket.

A connection reads one request at a time. What is pipelined behind it waits unparsed, at most `PIPELINE_LIMIT` bytes,
until the answer before it is whole; so answers are in order and one client gets no more than one request at once.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final, cast

from gateway.deadlines import NEVER
from gateway.errors import (
    BadRequest,
    GatewayError,
    HeaderTooLarge,
    RequestTimeout,
    TargetTooLong,
)
from gateway.outlet import Outlet
from gateway.rfc.chunked import BadChunk, ChunkedDecoder
from gateway.rfc.forwarded import unmapped
from gateway.rfc.message import HEAD_END, VARIED, RequestHead, read_request_head, usual_head
from gateway.server.cycle import Cycle
from gateway.server.refusal import refusal
from gateway.server.reset import reset
from gateway.server.shared import shared
from gateway.unsent import unsent

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from gateway.rfc.message import HeadFields
    from gateway.server.stream import Served

log = logging.getLogger("gateway.server")

PIPELINE_LIMIT: Final = 65536  # bytes read ahead of the request that is being answered
LINGER_BYTES: Final = 1 << 20  # bytes of an unread body that are thrown away before the connection closes
LINGER_SECONDS: Final = 2.0
LAST_CALL_SECONDS: Final = 1.0  # for a client that has its request on its way while the server stops
WRITE_HIGH_WATER: Final = 65536

CR_LF: Final = (0x0D, 0x0A)
BARE_LF: Final = re.compile(rb"(?<!\r)\n").search

# Where the connection is. _LINGER: the answer is out, and the rest of the body is thrown away. _GONE: not ours any more.
_HEAD: Final = 0
_BODY: Final = 1
_ANSWER: Final = 2
_LINGER: Final = 3
_GONE: Final = 4


class GatewayProtocol:
    """One client connection. Its settings are the app's `server_settings`, and its express lane is the app's `lane`, where
    it has them."""

    __slots__ = (
        "_before", "_buffer", "_chunks", "_cycle", "_eof", "_heard_at", "_last_call", "_left", "_lingered", "_owed", "_owed_at", "_paused",
        "_scanned", "_state", "_unsent", "app", "bucket", "client", "config", "connections", "deadline", "deadlines", "lane",
        "loop", "scheme", "server", "server_state", "settings", "shared", "state", "transport", "write_paused",
    )  # fmt: skip

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.app = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.server_state = server_state
        self.connections = server_state.connections
        self.state = app_state
        self.shared = shared(config, server_state, self.loop)
        self.settings = self.shared.settings
        self.deadlines = self.shared.deadlines
        self.deadline = NEVER
        self.bucket = NEVER
        self.transport: Outlet = None  # type: ignore[assignment]  # set by connection_made
        self.lane = self.shared.lane
        self.write_paused = False
        self._state = _HEAD
        self._cycle: Served | None = None
        self._before: HeadFields | None = None  # of the last request; VARIED where they were not remembered
        self._buffer = b""
        self._scanned = 0
        self._chunks: ChunkedDecoder | None = None
        self._left = 0
        self._lingered = 0
        self._owed = 0  # bytes of the body that are still to come until `_owed_at`
        self._owed_at = 0.0
        self._heard_at = 0.0
        self._paused = False
        self._unsent = 0
        self._eof = False
        self._last_call = False

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw = cast("asyncio.Transport", transport)
        self.transport = Outlet(raw, self.deadlines.turn)
        raw.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        peer = raw.get_extra_info("peername")
        self.client = (unmapped(str(peer[0])), int(peer[1])) if isinstance(peer, tuple) else None
        local = raw.get_extra_info("sockname")
        self.server = (str(local[0]), int(local[1])) if isinstance(local, tuple) else (str(local or ""), None)
        self.scheme = "https" if raw.get_extra_info("sslcontext") is not None else "http"
        if len(self.connections) >= self.settings.max_connections:
            self._state = _GONE
            self.transport.write(refusal(503, "Too many connections."))
            self.transport.close()
            return
        self.connections.add(self)  # type: ignore[arg-type]
        self._watch(self.settings.header)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        self._state = _GONE
        self.deadline = NEVER
        self._buffer = b""
        self.write_paused = False
        if self._cycle is not None:
            self._cycle.disconnect()

    def eof_received(self) -> bool:
        """A half-closed client still gets its answer if it said that it would ask no more; else it has left."""
        self._eof = True
        self.transport.flush()  # which may be closed behind our back
        cycle = self._cycle
        if self._state == _ANSWER and cycle is not None and cycle.closes and self.scheme == "http":
            return True
        if self._state == _BODY:
            self.transport.abort()
        elif self.transport.get_write_buffer_size():
            self._watch_reader()  # the transport flushes and closes
        return False

    def shutdown(self) -> None:
        """The server stops. Its connections close behind the answer to what they have sent already; one that is idle
        has a moment for a request that is on its way."""
        self._last_call = True
        if self._cycle is None:
            if self._state == _HEAD and not self._buffer:
                self._watch(LAST_CALL_SECONDS)
        elif self._state != _GONE and not self._buffer:
            self._cycle.keep_alive = False

    # ------------------------------------------------------------ reading

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == _HEAD:
            self._read_head(self._buffer + data if self._buffer else data)
        elif state == _BODY:
            self._read_body(data)
        elif state == _ANSWER:
            self._buffer += data
            if len(self._buffer) > PIPELINE_LIMIT:
                self.pause_reading()
        elif state == _LINGER:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.close()

    def _read_head(self, data: bytes) -> None:
        if not self._scanned and data[0] in CR_LF:
            data = data.lstrip(b"\r\n")  # RFC 9112 section 2.2
        settings = self.settings
        head: RequestHead | GatewayError | None = None
        if data.endswith(HEAD_END) and len(data) <= settings.max_header_size and not self._scanned:
            # A head alone, as most are. Where there is more than one, an empty line is found in it.
            head = self._repeated(data) or self._parsed(data[:-4])
            if isinstance(head, RequestHead):
                self._buffer = b""
                self._start(head, b"")
                return
        end = data.find(HEAD_END, self._scanned)
        if end < 0 or end > settings.max_header_size:
            if len(data) > settings.max_header_size:
                self._refuse(self._too_large(data))
                return
            if BARE_LF(data, self._scanned) is not None:  # else it would be waited for until the deadline
                self._refuse(BadRequest("a bare LF in the head"))
                return
            if not self._buffer and data:
                self._watch(settings.header)
            self._buffer = data
            self._scanned = max(0, len(data) - 3)
            if self._scanned and b"\n" not in data and len(data) > settings.max_target_size + 64:
                self._refuse(TargetTooLong())
            return
        self._buffer = b""
        self._scanned = 0
        if head is None or end != len(data) - 4:
            head = self._parsed(data[:end])
        if isinstance(head, RequestHead):
            self._start(head, data[end + 4 :])
        else:
            self._refuse(head)

    def _repeated(self, data: bytes) -> RequestHead | None:
        """A head with the same lines as the last one, as many have that one client sends."""
        before = self._before
        if before is None or before is VARIED or not data.endswith(before.text):
            return None
        head = usual_head(data[: -len(before.text)], before)
        return None if head is None or self._is_too_long(head) else head

    def _is_too_long(self, head: RequestHead) -> bool:
        return len(head.path) + len(head.query or b"") > self.settings.max_target_size

    def _parsed(self, block: bytes) -> RequestHead | GatewayError:
        """A head without its empty line; or what is wrong with it."""
        try:
            head = read_request_head(block, is_new=self._before is VARIED)
        except GatewayError as exc:
            return exc
        self._before = head.fields if head.fields.text else VARIED
        if len(head.fields.headers) > self.settings.max_headers:
            return HeaderTooLarge(f"over {self.settings.max_headers} fields")
        return TargetTooLong() if self._is_too_long(head) else head

    def _too_large(self, data: bytes) -> GatewayError:
        """414 when it is the target that takes the room, 431 otherwise."""
        line_end = data.find(b"\r\n")
        return TargetTooLong() if line_end < 0 or line_end > self.settings.max_target_size else HeaderTooLarge()

    def _start(self, head: RequestHead, rest: bytes) -> None:
        """A request has begun. What is whole and alone may take the express lane, which awaits nothing: no client either
        that has not taken the answers before. All else is the app's."""
        fields = head.fields
        if self.lane is not None and fields.is_usual and len(rest) == fields.length and not (self._last_call or self.write_paused):
            self._state = _ANSWER
            self._rest()
            if self.lane.take(self, head, rest):
                return
        self._give_to_app(head, rest)

    def _give_to_app(self, head: RequestHead, rest: bytes) -> None:
        fields = head.fields
        cycle = self._cycle = Cycle(self, head)
        self._rest()
        if self._last_call and not rest:
            cycle.keep_alive = False
        if fields.length == 0:
            self._state = _ANSWER
            self._buffer = rest
            if fields.upgrade == b"websocket" and not self.settings.tunnels and self.config.ws_protocol_class:
                cycle.hand_over()
                return
            cycle.start()
            return
        self._state = _BODY
        if fields.length < 0:
            self._chunks = ChunkedDecoder()
        else:
            self._left = fields.length
        cycle.start()
        if rest:
            self._read_body(rest)
        self.watch_body()

    def serve(self, served: Served) -> None:
        """The express lane has taken the request."""
        self._cycle = served

    def go_on_with_task(self, head: RequestHead, body: bytes) -> Cycle:
        """The request that the express lane had taken, whose answer has not begun, needs a task after all."""
        cycle = self._cycle = Cycle(self, head)
        if body:
            cycle.feed(body, whole=True)
        return cycle

    def _read_body(self, data: bytes) -> None:
        cycle = cast("Cycle", self._cycle)
        if self._chunks is not None:
            try:
                payload = self._chunks.feed(data)
            except BadChunk as exc:
                self._refuse(BadRequest(str(exc)))
                return
            done, rest = self._chunks.done, self._chunks.rest
        else:
            payload = data[: self._left]
            self._left -= len(payload)
            done, rest = not self._left, data[len(payload) :]
        self._owed -= len(payload)
        if done:
            self._state = _ANSWER
            self._chunks = None
            self._buffer = rest
            self._rest()
        cycle.feed(payload, whole=done)
        if not done:
            self._heard_at = self.deadlines.now()

    def watch_body(self) -> None:
        """While we wait for the client's body, and not while the app leaves it unread."""
        if self._state == _BODY:
            if self._paused:
                self._rest()
            else:
                self._heard_at = self.deadlines.now()
                self._expect_body(self._heard_at)

    def _expect_body(self, now: float) -> None:
        """So much of it, from `now` on and for as long as it may be silent."""
        settings = self.settings
        self._owed = int(settings.min_body_rate * settings.body_idle)
        self._owed_at = now + settings.body_idle
        self._watch(self._heard_at + settings.body_idle - now)

    def _look_at_body(self, now: float) -> None:
        """408 for a client that was silent, or that trickles; with each piece it has only told when it came."""
        silent = self._heard_at + self.settings.body_idle <= now
        if silent or (self._owed > 0 and self._owed_at <= now):
            self._refuse(RequestTimeout())
        elif self._owed_at <= now:
            self._expect_body(now)
        else:
            self._watch(min(self._heard_at + self.settings.body_idle, self._owed_at) - now)

    def _refuse(self, error: GatewayError) -> None:
        """Answer a request that can not be read, and close; nothing behind it can be trusted."""
        cycle = self._cycle
        self._buffer = b""
        if cycle is not None and self._state == _BODY:
            cycle.disconnect()
            if cast("Cycle", cycle).started:
                self._state = _GONE
                self.transport.abort()
                return
        log.info("request refused", extra={"client": self.client, "status": error.status, "reason": str(error)})
        self.transport.write(refusal(error.status, error.detail))
        self._linger()

    # ------------------------------------------------------------ between two requests

    def answered(self, now: float, *, keep_alive: bool) -> None:
        """The answer is out, whole. keep_alive: another request may follow."""
        self.server_state.total_requests += 1
        if not keep_alive or self._eof or self._state == _BODY:
            self._cycle = None
            if (self._state == _BODY or self._buffer) and not self._eof:  # a reset for what is not read would destroy it
                self._buffer = b""
                self._linger()
            else:
                self._state = _GONE
                self.close()
            return
        self._cycle = None
        if self._buffer:  # still _ANSWER, so that what comes before its turn goes behind it
            self.loop.call_soon(self._next)  # not deeper into the stack with every pipelined request
            return
        self._state = _HEAD
        self.resume_reading()
        self._watch_until(now + self.settings.keepalive)

    def _next(self) -> None:
        if self._state == _ANSWER and not self.transport.is_closing():
            self._state = _HEAD
            data, self._buffer = self._buffer, b""
            self._watch(self.settings.header)
            self.resume_reading()
            self._read_head(data)

    def _linger(self) -> None:
        """Close without a reset that would destroy the answer on its way: throw away what the client still sends."""
        self._state = _LINGER
        self._cycle = None
        self.resume_reading()
        if not self.transport.can_write_eof():
            self.close()
            return
        self.transport.flush()
        if self.transport.get_write_buffer_size():  # the answer itself has its own time
            self._watch_reader()
        else:
            self._watch(LINGER_SECONDS)
        self.transport.write_eof()

    def close(self) -> None:
        """Flush and close; a client that does not take what is left is cut off."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_reader()

    def break_off(self, *, shown: bool) -> None:
        """The answer that has begun will not be whole. shown: its framing tells the client so, and what there is of it is
        flushed; else only a reset tells."""
        self.give_up()
        self.connections.discard(self)
        if shown:
            self.close()
        else:
            reset(self.transport.raw)

    def give_up(self) -> None:
        """The connection is another protocol's from now on; it counts until its cycle is over."""
        self._state = _GONE
        self.deadline = NEVER

    def released(self, cycle: Cycle) -> None:
        """The app's task has ended."""
        if self._state == _GONE and self._cycle is cycle:
            self._cycle = None
            self.connections.discard(self)

    def take_buffer(self) -> bytes:
        data, self._buffer = self._buffer, b""
        return data

    # ------------------------------------------------------------ flow control and deadlines

    def _watch(self, seconds: float) -> None:
        """For what the client is to send. While it takes nothing itself, only that counts."""
        self._watch_until(self.deadlines.now() + seconds)

    def _watch_until(self, at: float) -> None:
        if not self.write_paused:
            self.deadline = at
            if at < self.bucket:  # else it is looked at before that anyway
                self.deadlines.watch(self, at)

    def _rest(self) -> None:
        """The client has to send nothing."""
        if not self.write_paused:
            self.deadline = NEVER

    def expired(self, now: float) -> None:
        unflushed = self._state == _LINGER and self.transport.get_write_buffer_size()
        if self.write_paused or unflushed or self.transport.is_closing():
            self._look_at_reader()
        elif self._state == _HEAD and not self._buffer:
            self.close()
        elif self._state == _HEAD:
            self._refuse(RequestTimeout())
        elif self._state == _BODY:
            self._look_at_body(now)
        else:
            self.transport.abort()

    def pause_reading(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()
            self.watch_body()

    def resume_reading(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
            self.watch_body()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._watch_reader()

    def _watch_reader(self) -> None:
        self._unsent = unsent(self.transport.raw)
        self.deadlines.watch(self, self.deadlines.now() + self.settings.write_idle)

    def _look_at_reader(self) -> None:
        """Only a client that took nothing at all since the last look is cut off."""
        if unsent(self.transport.raw) < self._unsent:
            self._watch_reader()
        else:
            self.transport.abort()

    def resume_writing(self) -> None:
        if self.write_paused:
            self.write_paused = False
            self._watch_sender()
            if self._cycle is not None:
                self._cycle.writable()

    def _watch_sender(self) -> None:
        """The client takes its answer again: what it owes us counts now."""
        state = self._state
        if self.transport.is_closing() or (state == _LINGER and self.transport.get_write_buffer_size()):
            self._watch_reader()
        elif state == _HEAD:
            self._watch(self.settings.header if self._buffer else self.settings.keepalive)
        elif state == _LINGER:
            self._watch(LINGER_SECONDS)
        else:
            self.deadline = NEVER
            self.watch_body()
