"""A request as it leaves us, once the route is known: what is the same in every attempt, and what each one sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.outgoing import EXPECT, framing, host_for
from gateway.upstream.sink import Outgoing

if TYPE_CHECKING:
    from gateway.body import RequestBody
    from gateway.deliver import Delivery
    from gateway.exchange import Exchange, Headers
    from gateway.route import Route, Share
    from gateway.snapshot import Snapshot
    from gateway.upstream.sink import Timeouts
    from gateway.upstream.upstream import AnyTarget, Upstream

BODY_METHODS: Final = frozenset({b"POST", b"PUT", b"PATCH"})


class Departure:
    """What is the same in every attempt: the request but for Host, and where it may go. tried, retries: the targets that
    the next attempt passes over, and what was spent of `retry.retries`. timeouts: of the next attempt; patience: of the
    last one."""

    __slots__ = (
        "body", "expects_continue", "headers", "host_header", "patience", "retries", "target", "timeouts", "tried", "upstream",
    )  # fmt: skip

    def __init__(
        self, upstream: Upstream, target: bytes, headers: Headers, body: RequestBody, timeouts: Timeouts,
        host_header: bytes, *, expects_continue: bool = False,
    ) -> None:  # fmt: skip
        self.upstream = upstream
        self.target = target
        self.headers = headers
        self.body = body
        self.timeouts = self.patience = timeouts
        self.host_header = host_header
        self.expects_continue = expects_continue
        self.tried: tuple[AnyTarget, ...] = ()
        self.retries = 0


def depart(
    exchange: Exchange, route: Route, body: RequestBody, snapshot: Snapshot, delivery: Delivery | None,
    share: Share | None = None, *, prepared: Headers | None = None,
) -> Departure:  # fmt: skip
    """The request as it leaves us. share, prepared: where that is chosen, and its fields are edited, already."""
    share = share or route.choose(exchange)
    headers = prepared
    if headers is None:
        headers = snapshot.request_fields.of(exchange)
        route.pipeline.prepare(exchange, headers)
    expects = delivery is not None and body.length != 0 and bool(exchange.special_values(b"expect"))
    departure = Departure(
        share.upstream, route.target(exchange), headers, body, share.timeouts, route.header_upstream(share),
        expects_continue=expects,
    )  # fmt: skip
    if route.mirror is not None:
        route.mirror.departs(exchange, departure)
    return departure


def outgoing(exchange: Exchange, departure: Departure, target: AnyTarget | None = None) -> Outgoing:
    """target: where it is not the one of the exchange."""
    body = departure.body
    target = target or exchange.target
    assert target is not None
    exchange.host_sent = host_for(exchange, target, departure.host_header)
    headers = [(b"host", exchange.host_sent), *departure.headers]
    if body.length or exchange.method in BODY_METHODS:
        headers.append(framing(body.length))
        if departure.expects_continue:
            headers.append(EXPECT)
    return Outgoing(
        exchange.method, departure.target, headers, body.length, departure.timeouts, upgrade=exchange.websocket
    )
