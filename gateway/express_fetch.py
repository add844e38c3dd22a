"""The express lane for what a cache has nothing of: the target's answer, to the client and to the store at once.

An answer that comes in one piece is served here. One that comes in several goes to its client by a task, at the client's
pace; to the store, and to all others who wait for it, it goes from here as it comes in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from gateway.cache.receive import ends_surely
from gateway.cache.status import Forward, Outcome
from gateway.errors import ClientGone, GatewayError, TargetError
from gateway.exchange import ResponseHead
from gateway.express_trip import Trip
from gateway.gateway import as_error, page_for
from gateway.outgoing import answer_fields, end_to_end_trailers, response_headers
from gateway.rfc.headers import is_event_stream
from gateway.rfc.message import CHUNKED

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.cache.fetching import Fetched
    from gateway.cache.receive import Receiver
    from gateway.exchange import Exchange, Headers
    from gateway.gateway import Gateway
    from gateway.rfc.message import AnswerHead, RequestHead
    from gateway.route import Route
    from gateway.server.cycle import Cycle
    from gateway.server.protocol import GatewayProtocol
    from gateway.snapshot import Snapshot
    from gateway.upstream.upstream import AnyTarget


@mypyc_attr(free_list_len=1)
class FetchingTrip(Trip):
    """A trip that is a fetch as well. It is over when the answer is, though its client may have left long before, or been
    served by a task."""

    __slots__ = ("_fetched",)

    def __init__(
        self, gateway: Gateway, snapshot: Snapshot, protocol: GatewayProtocol, head: RequestHead, exchange: Exchange,
        fetched: Fetched,
    ) -> None:  # fmt: skip
        super().__init__(gateway, snapshot, protocol, head, b"", exchange)
        self._fetched = fetched
        fetched.trip = self

    def set_out(self, route: Route) -> None:
        if route.cache is not None and route.cache.asks_plain:
            fields = self._snapshot.request_fields.of(self._exchange)
            self._headers = [pair for pair in fields if pair[0] != b"accept-encoding"]
        try:
            super().set_out(route)
        except Exception as exc:
            self._fetched.failed(exc if isinstance(exc, GatewayError) else GatewayError(f"internal error: {exc!r}"))
            raise

    def target(self, route: Route) -> bytes:
        target = super().target(route)
        keys = route.cache.keys if route.cache is not None else None
        return target if keys is None or keys.is_plain else keys.target(target)

    def rest(self, cycle: Cycle, first: AnyTarget | None, failure: TargetError | None) -> Awaitable[None]:
        """What is left to do, for a task: the fetch itself, or only to deliver what it brings."""
        self._fetched.shared()  # by which it reads what comes
        return self._gateway.go_on(self._exchange, cycle, self._share, first, failure, prepared=self._headers, fetched=self._fetched)

    # ------------------------------------------------------------ its answer

    def whole(self, head: AnswerHead, body: bytes, now: float) -> None:
        if self.was_declined(head):
            return
        exchange, fetched = self._exchange, self._fetched
        try:
            if fetched.flight is None:
                exchange.first_byte_at = now
                exchange.status = head.status
                fetched.whole(
                    head.status, answer_fields(head), body, lines=head.lines, took=now - exchange.started_at,
                    ends_surely=ends_surely(head, self._target),
                )  # fmt: skip
            else:
                self._whole_for_all(head, body, now)
        except Exception as exc:
            self._lose(exc)
            return
        if fetched.is_led:
            self.pass_on(head, body)
        else:
            self.over(None)

    def _whole_for_all(self, head: AnswerHead, body: bytes, now: float) -> None:
        """Others wait for it as well."""
        receiver = self._land(head, now)
        if body:
            receiver.data(body)
        receiver.end([])
        self._fetched.settle()
        if self._fetched.leader is not None:
            self._fetched.leader.leave()

    def _land(self, head: AnswerHead, now: float) -> Receiver:
        """The cache sees the head, before any policy of ours amends it."""
        exchange, fetched, link = self._exchange, self._fetched, self._link
        flight, receiver = fetched.shared(), fetched.receiver
        assert link is not None
        assert receiver is not None
        exchange.first_byte_at = now
        exchange.status = head.status
        response = ResponseHead(head.status, response_headers(head), head.length if head.length >= 0 else None)
        surely = ends_surely(head, self._target)
        receiver.head(response, link, chunked=head.length == CHUNKED, ends_surely=surely)
        assert flight.landing is not None
        exchange.cache = fetched.outcome(flight.landing, Forward.URI_MISS)
        if is_event_stream(response.headers):
            link.allow_silence(self.timeouts.stream_idle)
        return receiver

    def head(self, head: AnswerHead) -> None:
        if self.was_declined(head):
            return
        try:
            self._land(head, self._protocol.deadlines.now())
        except Exception as exc:
            if self._link is not None:
                self._link.abandon(self)
            self._lose(exc)
            return
        if self._fetched.is_led:
            self.go_on(None)

    def data(self, data: bytes) -> None:
        receiver = self._fetched.receiver
        assert receiver is not None
        receiver.data(data)

    def end(self, trailers: Headers) -> None:
        receiver = self._fetched.receiver
        assert receiver is not None
        receiver.end(end_to_end_trailers(trailers))
        self.over(None)
        try:
            self._fetched.settle()
        except Exception as exc:  # the client has its answer all the same
            as_error(self._exchange, exc)

    def writable(self) -> None:
        """Readers have their own pace, and there is no body to send."""

    # ------------------------------------------------------------ what goes wrong

    def fault(self, exc: Exception) -> None:
        error = as_error(self._exchange, exc)
        self.over(error)
        self._exchange.error = error
        self.reply(page_for(self._exchange, error))

    def _lose(self, exc: Exception) -> None:
        """The cache has failed over the answer."""
        self._fetched.lose(GatewayError(f"internal error: {exc!r}"))
        if self._fetched.is_led:
            self.fault(exc)
        else:
            self.over(as_error(self._exchange, exc))

    def failed(self, error: GatewayError) -> None:
        self.over(error)
        is_awaited = not self._fetched.has_landed
        if is_awaited and isinstance(error, TargetError):
            if self._fetched.is_led:
                self.go_on(self._target, error)
            else:  # but others wait for it
                self._fetched.shared()
                self._gateway.fetch_on(self._exchange, self._share, self._target, error, self._fetched, prepared=self._headers)
            return
        self._fetched.failed(error)
        if is_awaited and self._fetched.is_led:
            self._exchange.cache = Outcome(Forward.URI_MISS)
            self._exchange.error = error
            self.reply(page_for(self._exchange, error))

    def disconnect(self) -> None:
        """The client has gone; the fetch goes on if others want its answer."""
        if self._link is None or not self._fetched.is_led:
            return
        error = self._exchange.error = ClientGone("before its answer was whole")
        self._exchange.status = self._exchange.status or error.status
        self._fetched.leave()
        self.pipeline.finish(self._exchange)

    def stop(self) -> None:
        """Nobody wants the answer any more."""
        if self._link is not None:
            self._link.abandon(self)
            error = ClientGone("before its answer was whole")
            self.over(error)
            self._fetched.failed(error)
