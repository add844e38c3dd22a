"""A request as it leaves us, once the route is known: what is the same in every attempt, and what each one sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.outgoing import BODY_METHODS, EXPECT, framing, host_for, ready_head
from gateway.upstream.sink import Outgoing, Sent

if TYPE_CHECKING:
    from gateway.body import RequestBody
    from gateway.deliver import Delivery
    from gateway.exchange import Exchange, Headers
    from gateway.outgoing import RequestFields
    from gateway.route import Route, Share
    from gateway.snapshot import Snapshot
    from gateway.upstream.connection import Connection
    from gateway.upstream.sink import Sink, Timeouts
    from gateway.upstream.upstream import AnyTarget, Upstream


class Departure:
    """What is the same in every attempt: the request but for Host, and where it may go. made: its fields, None while nobody
    has edited or asked for them; fields: what makes them then. tried, retries: the targets that the next attempt passes over,
    and what was spent of `retry.retries`. timeouts: of the next attempt; patience: of the last one."""

    __slots__ = (
        "body", "expects_continue", "fields", "host_header", "made", "patience", "retries", "target", "timeouts", "tried", "upstream",
    )  # fmt: skip

    def __init__(
        self, upstream: Upstream, target: bytes, made: Headers | None, body: RequestBody, timeouts: Timeouts,
        host_header: bytes, *, expects_continue: bool = False, fields: RequestFields | None = None,
    ) -> None:  # fmt: skip
        self.fields = fields
        self.upstream = upstream
        self.target = target
        self.made = made
        self.body = body
        self.timeouts = self.patience = timeouts
        self.host_header = host_header
        self.expects_continue = expects_continue
        self.tried: tuple[AnyTarget, ...] = ()
        self.retries = 0

    def headers(self, exchange: Exchange) -> Headers:
        """The fields but for Host and framing."""
        if self.made is None:
            assert self.fields is not None
            self.made = self.fields.of(exchange)
        return self.made

    def block(self, exchange: Exchange) -> tuple[bytes, bytes] | None:
        """The same as they are sent, where they are ready (`RequestFields.block`)."""
        return None if self.made is not None or self.fields is None else self.fields.block(exchange)


def depart(
    exchange: Exchange, route: Route, body: RequestBody, snapshot: Snapshot, delivery: Delivery | None,
    share: Share | None = None, *, prepared: Headers | None = None,
) -> Departure:  # fmt: skip
    """The request as it leaves us. share, prepared: where that is chosen, and its fields are edited, already."""
    share = share or route.choose(exchange)
    if prepared is None and route.pipeline.prepares:
        prepared = snapshot.request_fields.of(exchange)
        route.pipeline.prepare(exchange, prepared)
    expects = delivery is not None and body.length != 0 and bool(exchange.special_values(b"expect"))
    departure = Departure(
        share.upstream, route.target(exchange), prepared, body, share.timeouts, route.header_upstream(share),
        expects_continue=expects, fields=snapshot.request_fields,
    )  # fmt: skip
    if route.mirror is not None:
        route.mirror.departs(exchange, departure)
    return departure


def send_ready(link: Connection, target: AnyTarget, exchange: Exchange, departure: Departure, sink: Sink, now: float) -> None:
    """Send a request without a body over this link to the target, whichever way is short."""
    block = departure.block(exchange)
    if block is None:
        link.send(outgoing(exchange, departure), sink)
        return
    exchange.host_sent = host_for(exchange, target, departure.host_header)
    head = ready_head(exchange, departure.target, block, 0)
    link.send_made(head, Sent(exchange.method, 0, departure.timeouts), sink, whole=True, now=now)


def outgoing(exchange: Exchange, departure: Departure, target: AnyTarget | None = None) -> Outgoing:
    """target: where it is not the one of the exchange."""
    body = departure.body
    target = target or exchange.target
    assert target is not None
    exchange.host_sent = host_for(exchange, target, departure.host_header)
    headers = [(b"host", exchange.host_sent), *departure.headers(exchange)]
    if body.length or exchange.method in BODY_METHODS:
        headers.append(framing(body.length))
        if departure.expects_continue:
            headers.append(EXPECT)
    return Outgoing(
        exchange.method, departure.target, headers, body.length, departure.timeouts, upgrade=exchange.websocket
    )
