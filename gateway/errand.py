"""The usual attempt of the ASGI road: a request without a body, to an idle connection of the picked target.

It sets out without awaiting anything, and its sink holds what comes until the exchange's task takes it. How it is awaited,
and what follows where it fails, is `forward`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway.departure import send_ready
from gateway.errors import ClientGone, NoTarget
from gateway.exchange import ResponseHead
from gateway.outgoing import response_headers, wants_trailers
from gateway.repeat import decline
from gateway.rfc.headers import is_event_stream
from gateway.rfc.message import CHUNKED
from gateway.upstream.answer import Answer

if TYPE_CHECKING:
    from gateway.body import RequestBody
    from gateway.deliver import Delivery
    from gateway.departure import Departure
    from gateway.exchange import Exchange
    from gateway.upstream.connection import Connection
    from gateway.upstream.upstream import AnyTarget


class Errand(Answer):
    """body: of the request, and `gone`: for who watches the client (see `gateway.gone`)."""

    __slots__ = ("_delivery", "_departure", "_exchange", "_target", "body", "sends_trailers")

    def __init__(
        self, exchange: Exchange, departure: Departure, delivery: Delivery, target: AnyTarget, link: Connection
    ) -> None:
        super().__init__(link, delivery.interim)
        self._exchange = exchange
        self._departure = departure
        self._delivery = delivery
        self._target = target
        self.body: RequestBody = departure.body
        self.sends_trailers = False

    def gone(self) -> None:
        """The client has left: the target learns it, and whoever waits for the answer."""
        self._link.abandon(self)
        self.failed(ClientGone())

    def response(self) -> ResponseHead:
        """The answer's head for the client, once there is a `final` one. Raises AnswerDeclined where another target is to
        answer instead."""
        exchange, departure, delivery, head = self._exchange, self._departure, self._delivery, self.final
        assert head is not None
        if head.status in departure.upstream.declined:
            decline(head.status, exchange, departure)
        exchange.first_byte_at = delivery.deadlines.now()
        response = ResponseHead(head.status, response_headers(head), head.length if head.length >= 0 else None)
        delivery.pipeline.amend(exchange, response)
        if head.length == CHUNKED:
            self.sends_trailers = response.transform is None and wants_trailers(exchange)
        if not self.ended and is_event_stream(response.headers):
            self._link.allow_silence(departure.timeouts.stream_idle)
        return response

    def over(self, error: BaseException | None) -> None:
        """error: what became of it, where that is not a whole answer."""
        self._delivery.watch.end(self)
        if error is not None:
            self._link.abandon(self)
        self._departure.upstream.ended(self._exchange, self._target, error)


def set_out(exchange: Exchange, departure: Departure, delivery: Delivery) -> Errand | None:
    """None where something has to be awaited first; if a target is picked by then, it is the exchange's. Raises a
    GatewayError."""
    upstream = departure.upstream
    if departure.body.length or exchange.websocket or upstream.needs_task or upstream.is_local or delivery.is_gone:
        return None
    exchange.upstream_name = upstream.name
    target = exchange.target = upstream.pick(exchange, ())
    if target is None:
        raise NoTarget(f"upstream {upstream.name} has no target")
    link = cast("Connection | None", target.take(exchange))
    if link is None:
        return None
    exchange.attempts += 1
    exchange.reused = True
    upstream.began(exchange, target)
    errand = Errand(exchange, departure, delivery, target, link)
    delivery.watch.begin(errand)
    try:
        send_ready(link, target, exchange, departure, errand, delivery.deadlines.now())
    except BaseException as exc:
        errand.over(exc)
        raise
    return errand
