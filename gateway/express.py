"""The express lane: a request decided and forwarded, or answered, from the protocol's callback, without task and ASGI.

It takes what needs no awaiting: a whole request, policies that answer at once, and an idle connection to the picked
target. How that goes on is `express_trip`; with a cache that has to fetch, `express_fetch`, or that is fetching just this,
`express_follow`.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from gateway.express_fetch import FetchingTrip
from gateway.express_follow import FollowingTrip
from gateway.express_trip import Trip
from gateway.gateway import as_error, page_for
from gateway.intake import received
from gateway.rfc.message import SAFE

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.cache.serve import RouteCache
    from gateway.exchange import Exchange
    from gateway.gateway import Gateway
    from gateway.rfc.message import RequestHead
    from gateway.server.cycle import Cycle
    from gateway.server.protocol import GatewayProtocol


class ExpressLane:
    """The lane of an app. gateway: None while it does not run, or where middleware is around it."""

    __slots__ = ("gateway",)

    def __init__(self) -> None:
        self.gateway: Gateway | None = None

    def take(self, protocol: GatewayProtocol, head: RequestHead, body: bytes) -> bool:
        """Serve this request, whose body is whole; False, with nothing done, where its route has to be awaited."""
        gateway = self.gateway
        if gateway is None:
            return False
        exchange = received(head, protocol, "express")
        snapshot = gateway.snapshot
        pipeline = snapshot.fallback
        trip: Trip | None = None
        needs_task = False
        try:
            snapshot.identify(exchange)
            route = snapshot.route(exchange)
            if route.needs_task or len(body) > route.max_body:
                return False
            pipeline = route.pipeline
            reply = pipeline.admit(exchange)
            if reply is None and route.cache is not None:
                now = time()
                reply = route.cache.ready.answer(exchange, now)
                if reply is None and exchange.cache is None:
                    trip = _missed(gateway, protocol, head, exchange, route.cache, now)
                    needs_task = trip is None
            if reply is None:
                if trip is None:
                    trip = Trip(gateway, snapshot, protocol, head, body, exchange)
                trip.pipeline = pipeline
                if needs_task or (route.invalidates is not None and exchange.method not in SAFE):
                    trip.by_task()
                else:
                    protocol.serve(trip)
                    trip.set_out(route)
                return True
        except Exception as exc:
            exchange.error = as_error(exchange, exc)
            reply = page_for(exchange, exchange.error)
        if trip is None:
            trip = Trip(gateway, snapshot, protocol, head, body, exchange)
        trip.pipeline = pipeline
        trip.reply(reply)
        return True

    def serve(self, protocol: GatewayProtocol, cycle: Cycle) -> Awaitable[None] | None:
        """A request that is not for the lane, without ASGI between: nobody else is to see it."""
        return None if self.gateway is None else self.gateway.serve_cycle(protocol, cycle)


def _missed(
    gateway: Gateway, protocol: GatewayProtocol, head: RequestHead, exchange: Exchange, cache: RouteCache, now: float
) -> Trip | None:
    """For a request that nothing is stored for; None where it takes a task. now: Unix seconds."""
    fetched = cache.fetches.by_lane(exchange, now)
    if fetched is None:
        return None
    if fetched.exchange is exchange:
        return FetchingTrip(gateway, gateway.snapshot, protocol, head, exchange, fetched)
    return FollowingTrip(gateway, gateway.snapshot, protocol, head, exchange, fetched)
