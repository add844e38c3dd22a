"""One HTTP/1.1 connection to a target, from its socket up (RFC 9112).

It carries one exchange at a time: the request is written as it comes, the answer is parsed strictly and handed to the
exchange's sink. It goes back to its target's idle connections only when both messages are whole and nothing is left
over. Bytes that nobody asked for, on an idle connection or behind an answer, close it: they must never become the
answer to somebody else's request (RFC 9112 section 9.2).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.deadlines import NEVER
from gateway.errors import (
    BadRequest,
    BadResponse,
    BadTransferCoding,
    ConnectionTerminated,
    FirstByteTimeout,
    GatewayError,
    IncompleteResponse,
    Reach,
    ReadTimeout,
    ResponseHeaderTooLarge,
    WriteTimeout,
)
from gateway.outlet import Outlet
from gateway.rfc.chunked import BadChunk, ChunkedDecoder
from gateway.rfc.message import CHUNKED, HEAD_END, IDEMPOTENT, read_answer_head
from gateway.rfc.octets import has_break
from gateway.unsent import unsent

if TYPE_CHECKING:
    from gateway.deadlines import Deadlines
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.sink import Outgoing, Sent, Sink
    from gateway.upstream.target import Target

HEAD_LIMIT: Final = 65536  # bytes of an answer's head
INTERIM_LIMIT: Final = 32  # 1xx answers before the final one
WRITE_HIGH_WATER: Final = 65536  # bytes of request body that wait for the target

# What the next bytes from the target are. _UNTIL_CLOSE is body without a known end, _SWITCHED is what follows a 101.
_IDLE: Final = 0
_HEAD: Final = 1
_LENGTH: Final = 2
_CHUNKED: Final = 3
_UNTIL_CLOSE: Final = 4
_SWITCHED: Final = 5
_CLOSED: Final = 6


class Connection:
    """See `gateway.upstream.sink` for what it calls and how it is driven."""

    __slots__ = (
        "_before", "_chunks", "_deadlines", "_endless", "_ends", "_interims", "_left", "_outgoing", "_read_paused", "_read_timeout",
        "_received", "_request_done", "_sink", "_state", "_unsent", "bucket", "deadline", "idle_since", "reused", "target", "transport",
        "write_paused",
    )  # fmt: skip

    def __init__(self, target: Target, deadlines: Deadlines) -> None:
        self.target = target
        self._deadlines = deadlines
        self.deadline = NEVER
        self.bucket = NEVER
        self.reused = False
        self.idle_since = 0.0
        self.write_paused = False
        self.transport: Outlet = None  # type: ignore[assignment]  # set by connection_made
        self._state = _IDLE
        self._sink: Sink | None = None
        self._outgoing: Sent = None  # type: ignore[assignment]  # set by send
        self._before: AnswerHead | None = None  # the last answer's, where it is remembered
        self._received = b""
        self._chunks: ChunkedDecoder | None = None
        self._left = 0
        self._interims = 0
        self._request_done = True
        self._read_timeout = 0.0
        self._ends = False  # this exchange is the connection's last
        self._endless = False  # its answer is an event stream
        self._read_paused = False
        self._unsent = 0

    @property
    def is_open(self) -> bool:
        return self._state != _CLOSED and not self.transport.is_closing()

    # ------------------------------------------------------------ the request

    def send(self, request: Outgoing, sink: Sink) -> None:
        """Write the head; a body follows by `send_body` and `end_body` when `request.length` is not 0."""
        self._sink = sink  # first: whoever sends may abandon it when this fails
        self.send_made(serialize_head(request), request, sink, whole=request.length == 0, now=self._deadlines.now())

    def send_made(self, data: bytes, request: Sent, sink: Sink, *, whole: bool, now: float) -> None:
        """The same for a head that is made already. whole: `data` is all of the request, its body too."""
        self._sink = sink
        self._outgoing = request
        self._state = _HEAD
        self._interims = 0
        self._read_timeout = request.timeouts.read
        self._ends = self._endless = False
        self._request_done = whole
        if whole and request.method not in IDEMPOTENT:
            self.transport.write(data)  # the later it is sent, the likelier the target has closed meanwhile, and it can not be repeated
        else:
            self.transport.write_soon(data)
        self._watch_request(now)

    def send_body(self, data: bytes) -> None:
        if self._outgoing.length == CHUNKED:
            self.transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            self.transport.write(data)
        self._watch_request(self._deadlines.now())

    def end_body(self) -> None:
        self._request_done = True
        if self._outgoing.length == CHUNKED:
            self.transport.write(b"0\r\n\r\n")
        self._watch_request(self._deadlines.now())

    def _watch_request(self, now: float) -> None:
        """While the body goes out only a write that stalls is a fault; then the answer is due."""
        if self._state == _HEAD:
            timeouts = self._outgoing.timeouts
            if self._request_done:
                self.deadline = at = now + timeouts.first_byte
                if at < self.bucket:  # else it is looked at before that anyway
                    self._deadlines.watch(self, at)
            elif self.write_paused:
                self._deadlines.watch(self, now + timeouts.write)
            else:
                self.deadline = NEVER  # the client's turn, and its own deadline

    # ------------------------------------------------------------ the answer

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == _LENGTH:
            self._body(data)
        elif state == _HEAD:
            if self.transport.waits:
                self._fail(ConnectionTerminated("bytes before the request was sent"))
            else:
                self._read_head(self._received + data if self._received else data)
        elif state == _CHUNKED:
            self._body_chunked(data)
        elif state == _UNTIL_CLOSE:
            self._watch_body()
            cast("Sink", self._sink).data(data)
        elif state == _IDLE:
            self.close()  # unasked bytes

    def _read_head(self, data: bytes) -> None:
        before = self._before
        if before is not None and data.startswith(before.text) and self._outgoing.method != b"HEAD":
            self._received = b""
            self._final(before, data[len(before.text) :])
            return
        block, mark, rest = data.partition(HEAD_END)
        if not mark or len(block) > HEAD_LIMIT:
            self._received = data
            if len(data) > HEAD_LIMIT:
                self._fail(ResponseHeaderTooLarge(f"over {HEAD_LIMIT} bytes"))
            elif not data.startswith(b"HTTP/1."[: len(data)]):
                self._fail(BadResponse("the answer is not HTTP/1.x"))
            return
        self._received = b""
        try:
            head = read_answer_head(block, self._outgoing.method)
        except GatewayError as exc:
            self._fail(exc)
            return
        if head.status < 200:
            self._interim(head, rest)
            return
        if head.text:
            self._before = head
        self._final(head, rest)

    def _interim(self, head: AnswerHead, rest: bytes) -> None:
        sink = cast("Sink", self._sink)
        if head.status == 101:
            if not self._outgoing.upgrade:
                self._fail(BadResponse("an unasked 101"))
                return
            self._detach()
            sink.switched(head, rest)
            return
        self._interims += 1
        if self._interims > INTERIM_LIMIT:
            self._fail(BadResponse(f"over {INTERIM_LIMIT} interim answers"))
            return
        sink.interim(head.status, head.headers)
        if rest and self._state == _HEAD:
            self._read_head(rest)

    def _final(self, head: AnswerHead, rest: bytes) -> None:
        self._ends = not head.keep_alive
        length = head.length
        if 0 <= length <= len(rest):
            self._whole(head, rest)
            return
        if length > 0:
            self._state = _LENGTH
            self._left = length
        elif length == CHUNKED:
            self._state = _CHUNKED
            self._chunks = ChunkedDecoder()
        else:
            self._state = _UNTIL_CLOSE
        self._watch_body()
        sink = cast("Sink", self._sink)
        sink.head(head)
        if self._sink is not sink:  # given up meanwhile
            return
        if rest:
            self.data_received(rest)

    def _whole(self, head: AnswerHead, rest: bytes) -> None:
        """Head and body have come at once, as most answers do."""
        if len(rest) > head.length:  # more than an answer
            self._ends = True
            rest = rest[: head.length]
        sink = cast("Sink", self._sink)
        now = self._deadlines.now()
        self._free(now)
        sink.whole(head, rest, now)

    def _body(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left > 0:
            self._watch_body()
            cast("Sink", self._sink).data(data)
            return
        if self._left < 0:  # more than an answer
            self._ends = True
            data = data[: self._left]
        self._finish(data)

    def _body_chunked(self, data: bytes) -> None:
        chunks = cast("ChunkedDecoder", self._chunks)
        try:
            payload = chunks.feed(data)
        except BadChunk as exc:
            self._fail(BadTransferCoding(str(exc)))
            return
        if not chunks.done:
            self._watch_body()
            if payload:
                cast("Sink", self._sink).data(payload)
            return
        if chunks.rest:
            self._ends = True
        self._finish(payload, chunks)

    def _finish(self, last: bytes, chunks: ChunkedDecoder | None = None) -> None:
        """Give the connection back before the sink is told, so that its next request may use it again."""
        sink = cast("Sink", self._sink)
        if last:
            sink.data(last)
            if self._sink is not sink:
                return
        self._free(self._deadlines.now())
        sink.end(chunks.trailers if chunks is not None else [])

    def _free(self, now: float) -> None:
        self._sink = None
        self._chunks = None
        self._state = _IDLE
        self.deadline = NEVER
        if self._read_paused:
            self.resume_reading()
        if not self._request_done or (self._outgoing.length and self.transport.get_write_buffer_size()):
            self.abort()  # a target that reads no more would keep what is still to be sent, and the connection, for ever
        elif self._ends:
            self.close()
        else:
            self.target.release(self, now)

    # ------------------------------------------------------------ flow control and deadlines

    def _watch_body(self) -> None:
        if not self._read_paused:
            self._deadlines.watch(self, self._deadlines.now() + self._read_timeout)

    def allow_silence(self, seconds: float) -> None:
        """This answer may pause for so long between its bytes (event streams)."""
        if self._sink is not None:
            self._read_timeout = seconds
            self._endless = True
            self._watch_body()

    def pause_reading(self) -> None:
        """Nothing once the answer has been read whole: whoever still holds its bytes must not make the next one wait."""
        if self._sink is not None and not self._read_paused and self.is_open:
            self._read_paused = True
            self.deadline = NEVER  # the client's turn
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._read_paused and self.is_open:
            self._read_paused = False
            if self._sink is not None:
                self._watch_body()
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._unsent = unsent(self.transport.raw)
        if self._sink is not None:
            self._watch_request(self._deadlines.now())

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._sink is not None:
            self._watch_request(self._deadlines.now())
            self._sink.writable()

    def expired(self, now: float) -> None:
        if self._sink is None:
            return
        if self._state != _HEAD:
            self._fail(ReadTimeout())
        elif self._request_done:
            self._fail(FirstByteTimeout())
        elif (left := unsent(self.transport.raw)) < self._unsent:
            self._unsent = left
            self._watch_request(now)
        else:
            self._fail(WriteTimeout())

    # ------------------------------------------------------------ the end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw = cast("asyncio.Transport", transport)
        raw.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.transport = Outlet(raw, self._deadlines.turn)

    def eof_received(self) -> bool:
        return False  # the transport closes, and connection_lost decides what that means

    def connection_lost(self, exc: Exception | None) -> None:
        state, self._state = self._state, _CLOSED
        self.deadline = NEVER
        self.target.lost(self)
        sink, self._sink = self._sink, None
        if sink is None or state == _SWITCHED:
            return
        if state == _UNTIL_CLOSE and exc is None:
            sink.end([])
        elif state == _HEAD and not self._received:
            begun = Reach.ANSWERED if self._interims else None
            sink.failed(ConnectionTerminated(str(exc or "closed"), reach=begun))
        elif state == _HEAD:
            sink.failed(BadResponse("closed inside the head of an answer"))
        else:
            sink.failed(IncompleteResponse(str(exc or "closed inside an answer")))

    def _fail(self, error: GatewayError) -> None:
        if self._interims and self._state == _HEAD:
            error.reach = Reach.ANSWERED
        sink, self._sink = self._sink, None
        self.abort()
        if sink is not None:
            sink.failed(error)

    def close(self) -> None:
        self.transport.close()

    def give_back(self) -> None:
        """Nothing was sent: the connection waits for another exchange."""
        self.target.release(self, self._deadlines.now())

    def abandon(self, sink: Sink) -> None:
        """Drop the exchange of `sink`; nothing, when it is over and the connection may be another's already."""
        if self._sink is sink:
            self.abort()

    def abort(self) -> None:
        self._sink = None
        self.deadline = NEVER
        self._state = _CLOSED
        self.transport.abort()

    def stop(self) -> None:
        """Close at once; whoever waits for an answer learns it."""
        self._fail(ConnectionTerminated("the gateway stops"))

    def end_soon(self) -> None:
        """The gateway stops: an event stream ends here, well-formed, and its client comes again."""
        sink = self._sink
        if sink is not None and self._endless and self._state in (_CHUNKED, _UNTIL_CLOSE):
            self.abort()
            sink.end([])

    def leave(self) -> None:
        """After a 101: the transport is closed, and the connection no longer counts."""
        self._sink = None
        self._state = _CLOSED
        self.transport.close()
        self.target.lost(self)

    def _detach(self) -> None:
        """The bytes are no longer HTTP's; they wait until whoever takes over resumes the transport. Until it leaves, the
        sink may still abandon it."""
        self._state = _SWITCHED
        self.deadline = NEVER
        self._received = b""
        if not self.transport.is_closing():
            self.transport.pause_reading()


def serialize_head(request: Outgoing) -> bytes:
    """The head as it is sent. Raises BadRequest where a line break in a field would make it say more than it should."""
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target)]
    for name, value in request.headers:
        lines.append(b"%b: %b" % (name, value))
    if has_break(b"".join(lines)):
        raise BadRequest("a line break or NUL in a request's field")
    lines += (b"", b"")
    return b"\r\n".join(lines)
