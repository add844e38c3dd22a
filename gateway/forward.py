"""Forwarding over the ASGI road: attempts on targets, the body up, the answer down.

An attempt fails with how far it got (`Reach`), and that decides whether there is another: nothing sent means the next
target; a reused connection that died without a byte of an answer means once more on a fresh one, if the method is
idempotent and the body can be sent again. What a target may have processed, or answered badly, goes to another one as
far as the upstream's `retry` lets it (`gateway.limits.retry`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway.departure import Departure, outgoing
from gateway.errand import set_out
from gateway.errors import ClientGone, GatewayError, NoTarget, TargetError, TotalTimeout
from gateway.exchange import ResponseHead
from gateway.hedge import hedge_delay, hedged, second_attempt
from gateway.outgoing import end_to_end_trailers, response_headers, wants_trailers
from gateway.repeat import decline, pause_after, timeouts_of
from gateway.rfc.headers import is_event_stream
from gateway.rfc.message import CHUNKED
from gateway.tunnel import splice
from gateway.upstream.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.body import RequestBody
    from gateway.deliver import Delivery
    from gateway.errand import Errand
    from gateway.exchange import Exchange, Headers
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.connection import Connection
    from gateway.upstream.local import LocalLink
    from gateway.upstream.upstream import AnyTarget

    AnyLink = Connection | LocalLink
    OnInterim = Callable[[int, Headers], None] | None

CONTINUE_WAIT: Final = 1.0  # seconds to wait for a 100 before the body is sent all the same (RFC 9110 section 10.1.1)


def forward(
    exchange: Exchange, departure: Departure, delivery: Delivery, first: AnyTarget | None = None,
    failure: TargetError | None = None,
) -> Awaitable[None]:  # fmt: skip
    """Try targets until one has answered. Raises the GatewayError of the last attempt.

    first: picked already; failure: how an attempt on it ended, and what was sent to the client is nothing.
    """
    if first is None and failure is None:
        errand = set_out(exchange, departure, delivery)
        if errand is not None:
            return accomplish(errand, exchange, departure, delivery)
        first = exchange.target
    return attempt(exchange, departure, Trip(exchange, departure, delivery), first, failure)


async def accomplish(errand: Errand, exchange: Exchange, departure: Departure, delivery: Delivery) -> None:
    """The rest of what has set out: in one coroutine, as most exchanges are of this kind."""
    try:
        while errand.final is None:
            await errand.news()
        response = errand.response()
        transform = response.transform
        await delivery.start(response, errand.final, trailers=errand.sends_trailers)
        more = True
        while more:
            data = errand.take() if errand.has_chunk else await errand.next_chunk()
            more = errand.has_more
            if transform is not None:
                data = transform.feed(data) if more else transform.feed(data) + transform.finish()
            await delivery.chunk(data, more=more)
        if errand.sends_trailers:
            await delivery.end(end_to_end_trailers(errand.trailers))
    except TargetError as exc:
        errand.over(exc)
        if delivery.started:
            raise
        failure = exc
    except BaseException as exc:
        errand.over(exc)
        raise
    else:
        errand.over(None)
        return
    await attempt(exchange, departure, Trip(exchange, departure, delivery), exchange.target, failure)


async def within(total: float | None, work: Awaitable[None], spent: float = 0.0) -> None:
    """Wait for it, `total` seconds at most, of which so many are `spent` already. Raises TotalTimeout."""
    if total is None:
        await work
        return
    try:
        async with asyncio.timeout(total - spent):
            await work
    except TimeoutError:
        raise TotalTimeout(f"over {total:g} s") from None


class Traveller(Protocol):
    """Who wants to go to a target, with one attempt after the other."""

    def has_started(self) -> bool:
        """The client has seen something of an answer, so that nothing may be repeated."""

    async def connect(self, target: AnyTarget) -> AnyLink:
        """A new link, as far as the client waits for it."""

    async def over(self, link: AnyLink) -> None:
        """The exchange on one link, whole."""


async def attempt(
    exchange: Exchange, departure: Departure, traveller: Traveller, first: AnyTarget | None = None,
    failure: TargetError | None = None,
) -> None:  # fmt: skip
    """Go to one target after the other, as far as failures may be repeated. Whoever goes to another one on the way has
    said so by `exchange.target`."""
    error: GatewayError | None = failure
    upstream = departure.upstream
    exchange.upstream_name = upstream.name
    if first is not None and failure is not None:
        exchange.target, first = first, None
        if pause := pause_after(failure, exchange, departure):
            await asyncio.sleep(pause)
    while True:
        target = first or upstream.pick(exchange, departure.tried)
        first = None
        if target is None:
            raise error or NoTarget(f"upstream {upstream.name} has no target")
        exchange.target = target
        exchange.attempts += 1
        if upstream.is_hasty:
            departure.timeouts = timeouts_of(exchange, departure, target)
        upstream.began(exchange, target)
        try:
            link = None if exchange.reused else target.take(exchange)  # after a stale connection only a fresh one
            if link is None:
                link = await traveller.connect(target)
            exchange.reused = link.reused
            await traveller.over(link)
        except TargetError as exc:
            upstream.ended(exchange, exchange.target, exc)
            if traveller.has_started():
                raise
            error = exc
            if pause := pause_after(exc, exchange, departure):
                await asyncio.sleep(pause)
            if departure.body.length:
                departure.body.rewind()
        except BaseException as exc:
            upstream.ended(exchange, exchange.target, exc)
            raise
        else:
            upstream.ended(exchange, exchange.target, None)
            return


class Trip:
    """One exchange on its way to a target and back, over one link after the other until a target has answered."""

    __slots__ = ("_answer", "_connecting", "_delivery", "_departure", "_exchange", "_has_left", "_link", "_second")
    may_hedge = True

    def __init__(self, exchange: Exchange, departure: Departure, delivery: Delivery) -> None:
        self._exchange = exchange
        self._departure = departure
        self._delivery = delivery
        self._has_left = False
        self._connecting: asyncio.Task[AnyLink] | None = None
        self._link: AnyLink | None = None
        self._answer: Answer | None = None
        self._second: asyncio.Task[object] | None = None

    @property
    def body(self) -> RequestBody:
        return self._departure.body

    def make_answer(self, link: AnyLink, on_interim: OnInterim) -> Answer:
        """What the answer comes in by."""
        return Answer(link, on_interim)

    def has_started(self) -> bool:
        return self._delivery.started

    def gone(self) -> None:
        """The client has left: the target learns it, and whoever waits for the answer."""
        self._has_left = True
        if self._link is not None and self._answer is not None:
            self._link.abandon(self._answer)
            self._answer.failed(ClientGone())
            if self._second is not None:
                self._second.cancel()
        elif self._connecting is not None:
            self._connecting.cancel()

    async def connect(self, target: AnyTarget) -> AnyLink:
        if self._delivery.is_gone:
            raise ClientGone("before a connection was made for it")
        self._link = None
        timeouts = self._departure.timeouts
        connecting: asyncio.Task[AnyLink] = asyncio.get_running_loop().create_task(
            target.connect(timeouts.connect, timeouts.pool)
        )
        self._connecting = connecting
        self._delivery.watch.begin(self)
        try:
            link = await connecting
        except asyncio.CancelledError:
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().give_back()  # it came in the very moment that nobody wanted it any more
            if self._has_left:
                raise ClientGone("while it waited for a connection") from None
            raise
        finally:
            self._connecting = None
            self._delivery.watch.end(self)
        return link

    async def over(self, link: AnyLink) -> None:
        """One request and its answer. The link is given back, or dropped, by the time this ends."""
        departure = self._departure
        delivery = self._delivery
        gate = Gate(delivery) if departure.expects_continue else None
        answer = self.make_answer(link, delivery.interim if gate is None else gate.interim)
        if self._has_left or delivery.is_gone:
            link.give_back()
            raise ClientGone("before its request was sent")
        self._link, self._answer = link, answer
        pump: asyncio.Task[None] | None = None
        delivery.watch.begin(self)
        try:
            link.send(outgoing(self._exchange, departure), answer)
            if departure.body.length:
                pump = asyncio.get_running_loop().create_task(_send_up(departure.body, link, answer, gate))
            if departure.upstream.hedges and self.may_hedge and (delay := hedge_delay(self._exchange, departure)) is not None:
                self._link, self._answer = link, answer = await self._hedge(link, answer, delay)
            while answer.final is None:
                await answer.news()
            head = answer.final
            if head.status in departure.upstream.declined:
                decline(head.status, self._exchange, departure)
            self._exchange.first_byte_at = delivery.deadlines.now()
            if answer.rest is None:
                await self.deliver(head, link, answer)
            else:
                delivery.watch.end(self)
                await splice(
                    self._exchange, head, answer.rest, cast("Connection", link), delivery, departure.timeouts
                )
        except BaseException:
            link.abandon(answer)
            raise
        finally:
            delivery.watch.end(self)
            if pump is not None and not pump.done():
                pump.cancel()
                await asyncio.wait((pump,))

    async def _hedge(self, link: AnyLink, answer: Answer, delay: float) -> tuple[AnyLink, Answer]:
        """The link and the answer that the client is to have, when this one has not begun within `delay` seconds."""
        exchange, departure = self._exchange, self._departure
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await answer.wait_head()
        if answer.final is not None or (second := second_attempt(exchange, departure)) is None:
            return link, answer
        request = outgoing(exchange, departure, second.target)
        return await hedged(exchange, departure, link, answer, second, request=request, watch=self._beside)

    def _beside(self, task: asyncio.Task[object]) -> None:
        """The task of a second attempt, which ends when the client leaves."""
        self._second = task

    async def deliver(self, head: AnswerHead, link: AnyLink, answer: Answer) -> None:
        """The final answer to the client."""
        exchange, delivery = self._exchange, self._delivery
        response = ResponseHead(head.status, response_headers(head), head.length if head.length >= 0 else None)
        delivery.pipeline.amend(exchange, response)
        transform = response.transform
        trailers = head.length == CHUNKED and transform is None and wants_trailers(exchange)
        if answer.has_more and is_event_stream(response.headers):
            link.allow_silence(self._departure.timeouts.stream_idle)
        await delivery.start(response, head, trailers=trailers)
        more = True
        while more:
            data = answer.take() if answer.has_chunk else await answer.next_chunk()
            more = answer.has_more
            if transform is not None:
                data = transform.feed(data) if more else transform.feed(data) + transform.finish()
            await delivery.chunk(data, more=more)
        if trailers:
            await delivery.end(end_to_end_trailers(answer.trailers))


# ---------------------------------------------------------------- up


class Gate:
    """Where the client waits for a 100: the target's lets the body go (the server then says 100 itself), and all other
    interim answers are passed on."""

    __slots__ = ("_delivery", "_opened")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._opened = asyncio.Event()

    def interim(self, status: int, headers: Headers) -> None:
        if status == 100:
            self._opened.set()
        else:
            self._delivery.interim(status, headers)

    async def wait(self) -> None:
        """Until the target wants the body, or has had its time to say so."""
        try:
            await asyncio.wait_for(self._opened.wait(), CONTINUE_WAIT)
        except TimeoutError:
            return


async def _send_up(body: RequestBody, link: AnyLink, answer: Answer, gate: Gate | None) -> None:
    """The request's body to the target, as fast as that takes it. A fault ends the answer with it."""
    try:
        if gate is not None:
            await gate.wait()
        while data := await body.read():
            if answer.is_over:
                return
            link.send_body(data)
            if link.write_paused:
                await answer.room()
        if not answer.is_over:
            link.end_body()
    except Exception as exc:
        link.abandon(answer)
        answer.failed(exc if isinstance(exc, GatewayError) else GatewayError(f"reading the request failed: {exc!r}"))
