"""One exchange in the express lane: from an idle connection to its client, in callbacks alone.

Everything is decided and written by the same functions as on the ASGI road; and where something has to be awaited after all
(a new connection, another attempt), the exchange goes on there, as far as it has come.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, cast

from mypy_extensions import mypyc_attr

from gateway.deadlines import NEVER
from gateway.errors import AnswerDeclined, ClientGone, GatewayError, NoTarget, TargetError, TotalTimeout
from gateway.exchange import ResponseHead
from gateway.gateway import as_error, page_for
from gateway.outgoing import BODY_METHODS, framing, host_for, ready_head, response_headers
from gateway.outlet import COPIED
from gateway.repeat import declines
from gateway.rfc.headers import end_to_end, is_event_stream
from gateway.server.framing import LAST_CHUNK, chunk, interim_lines, passed_on, with_id
from gateway.server.refusal import refusal
from gateway.upstream.connection import serialize_head
from gateway.upstream.sink import Outgoing, Sent, Timeouts

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.compress import BodyTransform
    from gateway.exchange import Exchange, Headers, Reply
    from gateway.gateway import Gateway
    from gateway.rfc.message import AnswerHead, RequestHead
    from gateway.route import Route, Share
    from gateway.server.cycle import Cycle
    from gateway.server.protocol import GatewayProtocol
    from gateway.snapshot import Snapshot
    from gateway.upstream.connection import Connection
    from gateway.upstream.upstream import AnyTarget

log = logging.getLogger("gateway")

CLOSES: Final = b"connection: close\r\n\r\n"
NO_TIMES: Final = Timeouts()  # before the request has a target


@mypyc_attr(free_list_len=1)
class Trip(Sent):
    """One exchange and its answer. To the client's connection it is what that serves (`server.stream.Served`); to a
    target's, the request (`upstream.sink.Sent`) and the sink of its answer.

    _link: the connection that the answer is to come by; None before and after. _headers: the request's fields where a
    policy has edited them. _limit: None where the exchange has no total time. _lines: of the answer's head, and whether
    they say its length.
    """

    __slots__ = (
        "_body", "_chunked", "_exchange", "_gateway", "_headers", "_limit", "_lines", "_link", "_protocol", "_request",
        "_share", "_snapshot", "_started", "_target", "_transform", "keep_alive", "pipeline",
    )  # fmt: skip

    closes: Final = False  # a request that says so does not come by this lane

    def __init__(
        self, gateway: Gateway, snapshot: Snapshot, protocol: GatewayProtocol, head: RequestHead, body: bytes, exchange: Exchange
    ) -> None:
        super().__init__(head.method, len(body), NO_TIMES)
        self._gateway = gateway
        self._protocol = protocol
        self._body = body
        self._exchange = exchange
        self._request = head
        self._snapshot = snapshot
        self.keep_alive = True
        self.pipeline = snapshot.fallback
        self._started = False
        self._link: Connection | None = None
        self._headers: Headers | None = None
        self._limit: TotalTime | None = None

    # ------------------------------------------------------------ an answer of our own

    def reply(self, reply: Reply) -> None:
        exchange = self._exchange
        if reply.error is not None and not reply.body:
            reply = page_for(exchange, reply.error)
        try:
            body = self._write_down(reply)
        except Exception as exc:  # of a policy over our own answer: it is not asked again
            exchange.error = error = as_error(exchange, exc)
            exchange.status = error.status
            self._send(refusal(error.status, error.detail))
            self._answered(keep_alive=False)
        else:
            self._write_whole(body)
        self.pipeline.finish(exchange)

    def _write_down(self, reply: Reply) -> bytes:
        """The head of a reply in `_lines`; its body as it goes out."""
        exchange, stamps = self._exchange, self._protocol.shared.stamps
        outcome, field = exchange.cache, self.pipeline.id_of_hits
        if outcome is not None and outcome.hit and field and reply.error is None:
            lines = with_id(reply, field, exchange.request_id, stamps)
            if lines is not None:
                self._lines = lines
                exchange.status = reply.status
                return reply.body
        response, body = self.pipeline.complete(exchange, reply)
        self._lines = passed_on(reply, response.status, response.headers, stamps)
        exchange.status = response.status
        return body

    def by_task(self) -> None:
        """Something has to be awaited: what is not ready in a cache's memory, or what this request makes invalid."""
        cycle = self._protocol.go_on_with_task(self._request, self._body)
        cycle.keep_alive = self.keep_alive
        cycle.start(self._gateway.go_on(self._exchange, cycle))

    # ------------------------------------------------------------ to the target

    def set_out(self, route: Route) -> None:
        """To an idle connection of the picked target; without one, with a task that makes one. Raises a GatewayError."""
        exchange = self._exchange
        share = self._share = route.choose(exchange)
        upstream = share.upstream
        exchange.upstream_name = upstream.name
        if route.pipeline.prepares:
            if self._headers is None:
                self._headers = self._snapshot.request_fields.of(exchange)
            route.pipeline.prepare(exchange, self._headers)
        target = upstream.pick(exchange, ())
        if target is None:
            raise NoTarget(f"upstream {upstream.name} has no target")
        # local apps are no business of this lane
        link = None if upstream.needs_task else cast("Connection | None", target.take(exchange))
        if link is None:
            self.go_on(target)
            return
        exchange.target = self._target = target
        exchange.attempts = 1
        exchange.reused = True
        exchange.bytes_in = self.length
        self._transform: BodyTransform | None = None
        self._chunked = False
        self._link = link
        self.timeouts = share.timeouts
        if share.timeouts.total is not None:
            self._limit = limit = TotalTime(self)
            self._gateway.deadlines.watch(limit, exchange.started_at + share.timeouts.total)
        upstream.began(exchange, target)
        try:
            data = self._made(route, share, target)
        except Exception as exc:
            link.give_back()
            self.over(exc)
            raise
        link.send_made(data, self, self, whole=True, now=exchange.started_at)

    def _made(self, route: Route, share: Share, target: AnyTarget) -> bytes:
        """The request as it is sent: what `outgoing` and `serialize_head` say, put together from ready pieces where no
        policy edits the fields."""
        exchange, body = self._exchange, self._body
        exchange.host_sent = host_for(exchange, target, route.header_upstream(share))
        fields = self._snapshot.request_fields
        prepared = self._headers
        block = None if prepared is not None else fields.block(exchange)
        if block is not None:
            head = ready_head(exchange, self.target(route), block, self.length)
            return head + body if body else head
        headers = [(b"host", exchange.host_sent), *(fields.of(exchange) if prepared is None else prepared)]
        if body or exchange.method in BODY_METHODS:
            headers.append(framing(self.length))
        return serialize_head(Outgoing(exchange.method, self.target(route), headers, self.length, share.timeouts)) + body

    def target(self, route: Route) -> bytes:
        """The request target."""
        return route.target(self._exchange)

    def go_on(self, first: AnyTarget | None, failure: TargetError | None = None) -> None:
        """On the ASGI road, with this target or after this failure of its."""
        self._exchange.bytes_in = 0
        cycle = self._protocol.go_on_with_task(self._request, self._body)
        cycle.keep_alive = self.keep_alive
        cycle.start(self.rest(cycle, first, failure))

    def rest(self, cycle: Cycle, first: AnyTarget | None, failure: TargetError | None) -> Awaitable[None]:
        """What is left to do, for a task."""
        return self._gateway.go_on(self._exchange, cycle, self._share, first, failure, prepared=self._headers)

    # ------------------------------------------------------------ its answer

    def interim(self, status: int, headers: Headers) -> None:
        self._send(interim_lines(status, end_to_end(headers)))

    def whole(self, head: AnswerHead, body: bytes, now: float) -> None:
        if not self.was_declined(head):
            self._exchange.first_byte_at = now
            self.pass_on(head, body)

    def pass_on(self, head: AnswerHead, body: bytes) -> None:
        """The whole answer to the client."""
        response = self._response(head)
        if response is None:
            return
        if response.transform is not None:
            try:
                body = response.transform.feed(body) + response.transform.finish()
            except Exception as exc:
                self.fault(exc)
                return
        self.over(None)
        self._write_whole(body)
        self.pipeline.finish(self._exchange)

    def was_declined(self, head: AnswerHead) -> bool:
        """Another target is to answer instead."""
        exchange, upstream = self._exchange, self._share.upstream
        if head.status not in upstream.declined or not declines(head.status, exchange, upstream, (self._target,)):
            return False
        if self._link is not None:
            self._link.abandon(self)
        self.failed(AnswerDeclined(f"answered {head.status}", status=head.status))
        return True

    def _response(self, head: AnswerHead) -> ResponseHead | None:
        """The answer's head as the client gets it, written down in `_lines`; None where a policy of ours failed over it."""
        exchange = self._exchange
        response = ResponseHead(head.status, response_headers(head), head.length if head.length >= 0 else None)
        try:
            self.pipeline.amend(exchange, response)
            stamps = self._protocol.shared.stamps
            self._lines = passed_on(head, response.status, response.headers, stamps)
        except Exception as exc:
            self.fault(exc)
            return None
        exchange.status = response.status
        return response

    def _write_whole(self, body: bytes) -> None:
        exchange = self._exchange
        lines, says_length = self._lines
        if exchange.method == b"HEAD" or exchange.status in (204, 304):
            body = b""
        elif not says_length:
            lines += b"content-length: %d\r\n" % len(body)
        exchange.bytes_out += len(body)
        end = b"\r\n" if self.keep_alive else CLOSES
        if len(body) < COPIED:
            self._protocol.transport.write_soon(b"%b%b%b" % (lines, end, body))
        else:
            self._protocol.transport.write_soon(lines + end)
            if exchange.target is None:
                self._protocol.transport.write_soon(body)
            else:
                self._send(body)  # just read: it would be out of the processor's cache at the end of the turn
        self._answered(keep_alive=self.keep_alive)

    def _answered(self, *, keep_alive: bool) -> None:
        """The answer is out."""
        protocol = self._protocol
        self._exchange.ended_at = now = protocol.deadlines.now()
        protocol.answered(now, keep_alive=keep_alive)

    # ------------------------------------------------------------ piece by piece

    def head(self, head: AnswerHead) -> None:
        if self.was_declined(head):
            return
        self._exchange.first_byte_at = self._protocol.deadlines.now()
        response = self._response(head)
        if response is None:
            return
        self._started = True
        self._transform = response.transform
        lines, says_length = self._lines
        self._chunked = not says_length
        coding = b"" if says_length else b"transfer-encoding: chunked\r\n"
        self._protocol.transport.write_soon(b"".join((lines, coding, b"\r\n" if self.keep_alive else CLOSES)))
        if is_event_stream(response.headers):
            assert self._link is not None
            self._link.allow_silence(self.timeouts.stream_idle)

    def data(self, data: bytes) -> None:
        if self._transform is not None:
            try:
                data = self._transform.feed(data)
            except Exception as exc:
                self.fault(exc)
                return
        self._write(data)
        if self._protocol.write_paused and self._link is not None:
            self._link.pause_reading()

    def end(self, trailers: Headers) -> None:
        """The target's trailers end here: a client that takes any does not come by this lane."""
        last = b""
        if self._transform is not None:
            try:
                last = self._transform.finish()
            except Exception as exc:
                self.fault(exc)
                return
        self.over(None)
        self._write(last, last=True)
        self._answered(keep_alive=self.keep_alive)
        self.pipeline.finish(self._exchange)

    def _write(self, data: bytes, *, last: bool = False) -> None:
        self._exchange.bytes_out += len(data)
        if self._chunked:
            data = chunk(data) + LAST_CHUNK if last else chunk(data)
        if data:
            self._send(data)

    def writable(self) -> None:
        """The client takes more. (Or the target does, of a request that it was sent whole.)"""
        if self._link is not None and not self._protocol.write_paused:
            self._link.resume_reading()

    def switched(self, head: AnswerHead, rest: bytes) -> None:
        raise AssertionError("no upgrade was asked for")

    def _send(self, data: bytes) -> None:
        """Nothing in the moment between a client's leaving and our being told."""
        transport = self._protocol.transport
        if not transport.is_closing():
            transport.write(data)

    # ------------------------------------------------------------ what goes wrong

    def fault(self, exc: Exception) -> None:
        """A policy of ours has failed over the answer."""
        if self._link is not None:
            self._link.abandon(self)
        self.failed(as_error(self._exchange, exc))

    def failed(self, error: GatewayError) -> None:
        self.over(error)
        exchange = self._exchange
        if not self._started and isinstance(error, TargetError):
            self.go_on(self._target, error)
            return
        exchange.error = error
        if not self._started:
            self.reply(page_for(exchange, error))
            return
        log.warning(
            "answer broken off", extra={"request_id": exchange.request_id.decode("latin-1"), "reason": str(error)}
        )
        self._protocol.break_off(shown=True)
        self.pipeline.finish(exchange)

    def disconnect(self) -> None:
        """The client has gone: the target learns it at once."""
        link = self._link
        if link is None:
            return
        link.abandon(self)
        error = self._exchange.error = ClientGone("before its answer was whole")
        self._exchange.status = self._exchange.status or error.status
        self.over(error)
        self.pipeline.finish(self._exchange)

    def overdue(self) -> None:
        link = self._link
        if link is not None:
            link.abandon(self)
            self.failed(TotalTimeout(f"over {self.timeouts.total:g} s"))

    def over(self, error: Exception | None) -> None:
        """The target's part is."""
        self._link = None
        if self._limit is not None:
            self._limit.end()
        self._share.upstream.ended(self._exchange, self._target, error)


class TotalTime:
    """The deadline of a whole trip. It lies with all deadlines until its time, which may be long after the trip is over:
    so it lets that go, with all that the trip holds."""

    __slots__ = ("_trip", "bucket", "deadline")

    def __init__(self, trip: Trip) -> None:
        self._trip: Trip | None = trip
        self.bucket = NEVER
        self.deadline = NEVER

    def end(self) -> None:
        """The trip is over."""
        self._trip = None
        self.deadline = NEVER

    def expired(self, now: float) -> None:
        if self._trip is not None:
            self._trip.overdue()
