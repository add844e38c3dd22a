"""Forwarding over the ASGI road: attempts on targets, the body up, the answer down.

An attempt fails with how far it got (`Reach`), and that decides whether there is another: nothing sent means the next
target; a reused connection that died without a byte of an answer means once more on a fresh one, if the method is
idempotent and the body can be sent again. Nothing else is repeated here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.errors import ConnectionTerminated, GatewayError, NoTarget, Reach, TargetError
from gateway.exchange import ResponseHead
from gateway.gone import watch_client
from gateway.outgoing import EXPECT, end_to_end_trailers, framing, host_for, response_headers, wants_trailers
from gateway.rfc.message import CHUNKED
from gateway.tunnel import splice
from gateway.upstream.answer import Answer
from gateway.upstream.sink import Outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.body import RequestBody
    from gateway.deliver import Delivery
    from gateway.exchange import Exchange, Headers
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.connection import Connection
    from gateway.upstream.local import LocalLink
    from gateway.upstream.sink import Timeouts
    from gateway.upstream.upstream import AnyTarget, Upstream

    AnyLink = Connection | LocalLink

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})  # RFC 9110 section 9.2.2
BODY_METHODS: Final = frozenset({b"POST", b"PUT", b"PATCH"})
CONTINUE_WAIT: Final = 1.0  # seconds to wait for a 100 before the body is sent all the same (RFC 9110 section 10.1.1)


class Departure:
    """What is the same in every attempt: the request as it leaves us, but for Host, and where it may go."""

    __slots__ = ("body", "expects_continue", "headers", "host_header", "key", "target", "timeouts", "upstream")

    def __init__(
        self, upstream: Upstream, target: bytes, headers: Headers, body: RequestBody, timeouts: Timeouts,
        host_header: bytes, *, expects_continue: bool = False,
    ) -> None:  # fmt: skip
        self.upstream = upstream
        self.target = target
        self.headers = headers
        self.body = body
        self.timeouts = timeouts
        self.host_header = host_header
        self.key = b""
        self.expects_continue = expects_continue


async def forward(exchange: Exchange, departure: Departure, delivery: Delivery) -> None:
    """Try targets until one has answered. Raises the GatewayError of the last attempt."""

    async def send(link: AnyLink) -> None:
        await _exchange(exchange, departure, link, delivery)

    await attempt(exchange, departure, send, lambda: delivery.started)


async def attempt(
    exchange: Exchange,
    departure: Departure,
    send: Callable[[AnyLink], Awaitable[None]],
    has_started: Callable[[], bool],
) -> None:
    """Call `send` with a link to one target after the other, as far as failures may be repeated.

    has_started: the client has seen something of an answer already, so that nothing may be repeated.
    """
    tried: tuple[AnyTarget, ...] = ()
    error: GatewayError | None = None
    upstream = departure.upstream
    exchange.upstream_name = upstream.name
    while True:
        target = upstream.balancer.pick(departure.key, tried)
        if target is None:
            raise error or NoTarget(f"upstream {upstream.name} has no target")
        exchange.target = target
        exchange.attempts += 1
        target.requests += 1
        target.in_flight += 1
        try:
            await send(await _link(exchange, departure.timeouts, target))
        except TargetError as exc:
            target.failures += 1
            if has_started():
                raise
            error = exc
            tried = _tried_after(exc, exchange, departure, target, tried)
            if departure.body.length:
                departure.body.rewind()
        else:
            return
        finally:
            target.in_flight -= 1


async def _link(exchange: Exchange, timeouts: Timeouts, target: AnyTarget) -> AnyLink:
    link = None if exchange.reused else target.take(exchange)  # after a stale connection only a fresh one
    if link is None:
        link = await target.connect(timeouts.connect, timeouts.pool)
    exchange.reused = link.reused
    return link


def _tried_after(
    error: TargetError, exchange: Exchange, departure: Departure, target: AnyTarget, tried: tuple[AnyTarget, ...]
) -> tuple[AnyTarget, ...]:
    """Which targets the next attempt passes over; raises `error` where there must be none."""
    if error.reach is Reach.UNSENT:
        return (*tried, target)
    stale = isinstance(error, ConnectionTerminated) and exchange.reused
    if stale and exchange.method in IDEMPOTENT and departure.body.replayable:
        return tried  # its other connections may be as stale, but a fresh one is made when they run out
    raise error


async def _exchange(exchange: Exchange, departure: Departure, link: AnyLink, delivery: Delivery) -> None:
    """One request and its answer on one link. The link is given back, or dropped, by the time this ends."""
    body = departure.body
    gate = Gate(delivery, asked=departure.expects_continue)
    answer = Answer(link, gate.interim)
    watch = watch_client(answer, link, body, delivery)
    pump: asyncio.Task[None] | None = None
    try:
        link.send(outgoing(exchange, departure), answer)
        if body.length:
            pump = asyncio.get_running_loop().create_task(_send_up(body, link, answer, gate))
        head = await answer.wait_head()
        exchange.first_byte_at = asyncio.get_running_loop().time()
        if answer.rest is not None:
            watch.stop()
            await splice(exchange, head, answer.rest, cast("Connection", link), delivery, departure.timeouts)
        else:
            await _send_down(exchange, head, answer, link, delivery, departure.timeouts)
    except BaseException:
        link.abandon(answer)
        raise
    finally:
        watch.stop()
        if pump is not None and not pump.done():
            pump.cancel()
            await asyncio.wait((pump,))


def outgoing(exchange: Exchange, departure: Departure) -> Outgoing:
    body = departure.body
    target = exchange.target
    assert target is not None
    exchange.host_sent = host_for(exchange, target, departure.host_header)
    headers = [
        (b"host", exchange.host_sent),
        *departure.headers,
        *framing(body.length, sends_body=exchange.method in BODY_METHODS),
    ]
    if departure.expects_continue:
        headers.append(EXPECT)
    return Outgoing(
        exchange.method, departure.target, headers, body.length, departure.timeouts, upgrade=exchange.websocket
    )


# ---------------------------------------------------------------- up


class Gate:
    """Interim answers: 100 lets a waiting body go (the server then says 100 itself), all others are passed on."""

    __slots__ = ("_asked", "_delivery", "opened")

    def __init__(self, delivery: Delivery, *, asked: bool) -> None:
        self._delivery = delivery
        self._asked = asked
        self.opened: asyncio.Event | None = asyncio.Event() if asked else None

    def interim(self, status: int, headers: Headers) -> None:
        if status == 100 and self.opened is not None:
            self.opened.set()
        else:
            self._delivery.interim(status, headers)

    async def wait(self) -> None:
        """Until the target wants the body, or has had its time to say so."""
        if self.opened is not None:
            try:
                await asyncio.wait_for(self.opened.wait(), CONTINUE_WAIT)
            except TimeoutError:
                return


async def _send_up(body: RequestBody, link: AnyLink, answer: Answer, gate: Gate) -> None:
    """The request's body to the target, as fast as that takes it. A fault ends the answer with it."""
    try:
        await gate.wait()
        while data := await body.read():
            if answer.ended:
                return
            link.send_body(data)
            if link.write_paused:
                await answer.room()
        if not answer.ended:
            link.end_body()
    except GatewayError as exc:
        link.abandon(answer)
        answer.failed(exc)


# ---------------------------------------------------------------- down


async def _send_down(
    exchange: Exchange, head: AnswerHead, answer: Answer, link: AnyLink, delivery: Delivery, timeouts: Timeouts
) -> None:
    response = ResponseHead(head.status, response_headers(head), head.length if head.length >= 0 else None)
    delivery.pipeline.amend(exchange, response)
    if is_event_stream(response):
        link.allow_silence(timeouts.stream_idle)
    trailers = head.length == CHUNKED and response.transform is None and wants_trailers(exchange)
    await delivery.start(response, trailers=trailers)
    transform = response.transform
    more = True
    while more:
        data = await answer.next_chunk()
        more = answer.has_more
        if transform is not None:
            data = transform.feed(data) if more else transform.feed(data) + transform.finish()
        await delivery.chunk(data, more=more)
    if trailers:
        await delivery.end(end_to_end_trailers(answer.trailers))


def is_event_stream(response: ResponseHead) -> bool:
    kind = response.header(b"content-type")
    return kind is not None and kind[:17].lower() == b"text/event-stream"
