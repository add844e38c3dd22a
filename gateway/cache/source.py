"""Where a route's cache gets its answers: the interface, and the targets of an upstream behind it.

`fetch` brings one answer for the cache, in a task of its own; `pass_on` lets a whole exchange by, as if there were no
cache, but for a look at the head of its answer.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Protocol, cast

from gateway.cache.observed import Observed
from gateway.cache.receive import ends_surely
from gateway.departure import Departure, outgoing, send_ready
from gateway.errors import AnswerDeclined, GatewayError
from gateway.exchange import ResponseHead
from gateway.forward import Trip, attempt, within
from gateway.outgoing import end_to_end_trailers, response_headers
from gateway.repeat import decline
from gateway.rfc.headers import is_event_stream
from gateway.rfc.message import CHUNKED
from gateway.upstream.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.cache.flight import Valve
    from gateway.deliver import Delivery
    from gateway.errors import TargetError
    from gateway.exchange import Exchange, Headers
    from gateway.forward import AnyLink, OnInterim
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.connection import Connection
    from gateway.upstream.upstream import AnyTarget

log = logging.getLogger("gateway.cache")


class Taker(Protocol):
    """Who takes the answer of a fetch, in this order: interim* head data* end."""

    def interim(self, status: int, headers: Headers) -> None: ...

    def head(self, head: ResponseHead, valve: Valve, *, chunked: bool, ends_surely: bool = True) -> bool:
        """The final head, with end-to-end fields. False: the rest is not wanted. ends_surely: the end of the body can be told
        from a connection that broke."""

    def data(self, chunk: bytes) -> None: ...

    def end(self, trailers: Headers) -> None: ...


class Observer(Protocol):
    """Who looks at an answer that goes by."""

    def seen(self, head: ResponseHead) -> Tee | None:
        """The final head has come; a Tee where the body is wanted as well."""

    async def before(self, head: ResponseHead) -> None:
        """What has to be done before the client gets it."""


class Tee(Protocol):
    """A second taker of a body that goes by."""

    def append(self, chunk: bytes) -> None: ...

    async def close(self, *, whole: bool) -> None:
        """No more will come; whole: that was all of it."""


class Source(Protocol):
    async def fetch(self, exchange: Exchange, edit: Edit, taker: Taker) -> None:
        """Ask once more or for the first time; returns when the answer has ended or is not wanted. Raises the GatewayError
        that came instead of it, or cut it off."""

    async def pass_on(self, observer: Observer) -> None:
        """The exchange that this source was made for, with its client."""


class Edit(Protocol):
    """How a request is changed to become a fetch."""

    def target(self, target: bytes) -> bytes:
        """The request target, without what the key does not have."""

    def keeps(self, exchange: Exchange) -> bool:
        """It is known that `headers` would change nothing about this one's."""

    def headers(self, headers: Headers) -> Headers:
        """The fields, without the client's own conditions and with ours. A new list."""


class TargetSource:
    """delivery: None where there is no client any more. depart: makes the request as it leaves us, once.
    first, failure: as in `forward.attempt`, for what begins with them. spent: seconds of the total time that are over."""

    __slots__ = ("_delivery", "_depart", "_departure", "_exchange", "_failure", "_first", "_spent")

    def __init__(
        self, exchange: Exchange, delivery: Delivery | None, depart: Callable[[], Departure], first: AnyTarget | None = None,
        failure: TargetError | None = None, spent: float = 0.0,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._delivery = delivery
        self._depart = depart
        self._first = first
        self._failure = failure
        self._spent = spent
        self._departure: Departure | None = None

    def _departing(self) -> Departure:
        if self._departure is None:
            self._departure = self._depart()
        return self._departure

    async def fetch(self, exchange: Exchange, edit: Edit, taker: Taker) -> None:
        own = self._departing()
        target = edit.target(own.target)
        if own.made is None and edit.keeps(exchange):
            departure = Departure(own.upstream, target, None, own.body, own.timeouts, own.host_header, fields=own.fields)
        else:
            headers = edit.headers(own.headers(self._exchange))
            departure = Departure(own.upstream, target, headers, own.body, own.timeouts, own.host_header)
        fetch = Fetch(exchange, departure, taker)
        await within(own.timeouts.total, attempt(exchange, departure, fetch, self._first, self._failure), self._spent)

    async def pass_on(self, observer: Observer) -> None:
        departure = self._departing()
        assert self._delivery is not None
        passage = Passage(self._exchange, departure, self._delivery, observer)
        await within(departure.timeouts.total, attempt(self._exchange, departure, passage), self._spent)


# ---------------------------------------------------------------- for the cache


class Fetch:
    """A request without a body and without a client on its way to a target: the traveller of its attempts, and the sink of
    its answer."""

    __slots__ = ("_departure", "_done", "_exchange", "_has_ended", "_link", "_taker", "_wants")

    def __init__(self, exchange: Exchange, departure: Departure, taker: Taker) -> None:
        self._exchange = exchange
        self._departure = departure
        self._taker = taker
        self._link: AnyLink | None = None
        self._done: asyncio.Future[None] | None = None
        self._wants = True
        self._has_ended = False

    # ------------------------------------------------------------ the traveller

    def has_started(self) -> bool:
        return self._exchange.first_byte_at > 0

    async def connect(self, target: AnyTarget) -> AnyLink:
        timeouts = self._departure.timeouts
        return await target.connect(timeouts.connect, timeouts.pool)

    async def over(self, link: AnyLink) -> None:
        self._link = link
        self._wants, self._has_ended = True, False  # whatever became of an attempt before
        self._done = asyncio.get_running_loop().create_future()
        try:
            self._send(link)
            await self._done
        finally:
            if not self._has_ended:
                self._wants = False
                link.abandon(self)

    def _send(self, link: AnyLink) -> None:
        exchange, departure = self._exchange, self._departure
        if departure.upstream.is_local:
            link.send(outgoing(exchange, departure), self)
        else:
            assert exchange.target is not None
            send_ready(cast("Connection", link), exchange.target, exchange, departure, self, monotonic())

    # ------------------------------------------------------------ the sink

    def interim(self, status: int, headers: Headers) -> None:
        self._taker.interim(status, headers)

    def head(self, head: AnswerHead) -> None:
        assert self._link is not None
        if self._was_declined(head):
            return
        self._exchange.first_byte_at = monotonic()
        response = ResponseHead(head.status, response_headers(head), head.length if head.length >= 0 else None)
        if is_event_stream(response.headers):
            self._link.allow_silence(self._departure.timeouts.stream_idle)
        try:
            surely = ends_surely(head, self._exchange.target)
            self._wants = self._taker.head(response, self._link, chunked=head.length == CHUNKED, ends_surely=surely)
        except Exception as exc:
            self._wants = False
            log.exception("the cache failed over an answer")
            self._settle(GatewayError(f"internal error: {exc!r}"))
            return
        if not self._wants:
            self._settle(None)

    def _was_declined(self, head: AnswerHead) -> bool:
        """Another target is to answer instead."""
        exchange, departure = self._exchange, self._departure
        exchange.status = head.status
        if head.status not in departure.upstream.declined:
            return False
        try:
            decline(head.status, exchange, departure)
        except AnswerDeclined as declined:
            self._wants = False
            self._settle(declined)
            return True
        return False

    def whole(self, head: AnswerHead, body: bytes, now: float) -> None:
        self.head(head)
        if body:
            self.data(body)
        self.end([])

    def data(self, chunk: bytes) -> None:
        if self._wants:
            self._taker.data(chunk)

    def end(self, trailers: Headers) -> None:
        self._has_ended = True
        if self._wants:
            self._taker.end(end_to_end_trailers(trailers))
        self._settle(None)

    def failed(self, error: GatewayError) -> None:
        self._has_ended = True
        self._settle(error)

    def switched(self, head: AnswerHead, rest: bytes) -> None:
        self._settle(GatewayError("a 101 that nobody asked for"))

    def writable(self) -> None:
        """There is no body to send."""

    def _settle(self, error: GatewayError | None) -> None:
        if self._done is None or self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)


# ---------------------------------------------------------------- past the cache


class Passage(Trip):
    """A client's exchange that the cache only looks at. One answer is looked at, so there is none beside it."""

    may_hedge = False

    __slots__ = ("_observer", "_observing")

    def __init__(self, exchange: Exchange, departure: Departure, delivery: Delivery, observer: Observer) -> None:
        super().__init__(exchange, departure, delivery)
        self._observer = observer
        self._observing: Observed | None = None

    def make_answer(self, link: AnyLink, on_interim: OnInterim) -> Answer:
        self._observing = Observed(link, on_interim, self._observer)
        return self._observing

    async def deliver(self, head: AnswerHead, link: AnyLink, answer: Answer) -> None:
        observed = self._observing
        assert observed is not None
        assert observed.seen is not None
        try:
            await self._observer.before(observed.seen)
            await super().deliver(head, link, answer)
        finally:
            if observed.tee is not None:
                await observed.tee.close(whole=answer.ended)
