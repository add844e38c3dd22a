"""The gateway itself: takes the snapshot, finds the route, runs its pipeline, forwards or answers.

This is the ASGI road. Client and route are found without awaiting anything.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from gateway.body import RequestBody
from gateway.cache.invalidate import Invalidation
from gateway.cache.source import TargetSource
from gateway.deadlines import Deadlines
from gateway.deliver import Delivery
from gateway.departure import depart
from gateway.error_page import error_reply
from gateway.errors import ClientGone, GatewayError, MethodNotAllowed
from gateway.forward import forward, within
from gateway.gone import ClientWatch
from gateway.intake import body_length, read_scope, received, screen
from gateway.lasting import Lasting, begin, end
from gateway.relay import Handshake, relay, serve_local
from gateway.rfc.message import SAFE
from gateway.server.stream import STREAM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.cache.fetching import Fetched
    from gateway.departure import Departure
    from gateway.errors import TargetError
    from gateway.exchange import Exchange, Headers, Reply
    from gateway.lasting import Draft
    from gateway.pipeline import Pipeline
    from gateway.reload import Reloading
    from gateway.route import Route, Share
    from gateway.server.cycle import Cycle
    from gateway.server.protocol import GatewayProtocol
    from gateway.snapshot import Snapshot
    from gateway.upstream.tally import Tally
    from gateway.upstream.upstream import AnyTarget

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger("gateway")


class Gateway:
    """Serves with one snapshot at a time, on one event loop, between `start` and `stop`.

    reloading: puts another snapshot in its place; None where there is no file to read again. keep_drained: writes down
    the names of the targets that are out by hand, where there is a place for it.
    """

    def __init__(self, build: Callable[[Deadlines, Draft], Snapshot], tally: Tally | None = None) -> None:
        self.deadlines = Deadlines(asyncio.get_running_loop())
        self.lasting = Lasting(tally)
        self._draft = self.lasting.draft()
        self.snapshot = build(self.deadlines, self._draft)
        self.reloading: Reloading | None = None
        self.keep_drained: Callable[[list[str]], None] = lambda _names: None
        self._client_watch = ClientWatch(self.deadlines)

    async def start(self) -> None:
        await begin(self._draft)
        self._draft.accept()
        self.snapshot.readiness.ready()

    def drain(self) -> None:
        """The server stops: new requests should go elsewhere, and what never ends by itself is told to end."""
        self.snapshot.readiness.draining()
        self.deadlines.end_endless()

    async def stop(self) -> None:
        self.snapshot.readiness.draining()
        if self.reloading is not None:
            await self.reloading.stop()
        await end(self.lasting.running())
        self.snapshot.close()
        self.deadlines.close()

    # ------------------------------------------------------------ HTTP

    def serve_http(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Await it: a request by ASGI."""
        extensions = scope.get("extensions") or {}
        stream: Cycle | None = extensions.get(STREAM)
        exchange = read_scope(scope, stream, self.deadlines.now())
        delivery = Delivery(
            exchange, send, self.snapshot.fallback, stream, self.deadlines, self._client_watch,
            carries_trailers="http.response.trailers" in extensions,
        )  # fmt: skip
        return self._serve(exchange, delivery, receive)

    def serve_cycle(self, protocol: GatewayProtocol, cycle: Cycle) -> Awaitable[None]:
        """The same for one that our own protocol class has read, with nobody between."""
        exchange = received(cycle.head, protocol, "http1")
        return self._serve(exchange, self._delivery(exchange, cycle, self.snapshot.fallback), cycle.receive)

    def _delivery(self, exchange: Exchange, cycle: Cycle, pipeline: Pipeline) -> Delivery:
        return Delivery(exchange, None, pipeline, cycle, self.deadlines, self._client_watch)

    async def _serve(self, exchange: Exchange, delivery: Delivery, receive: Receive) -> None:
        snapshot, stream = self.snapshot, delivery.stream
        try:
            snapshot.identify(exchange)
            if stream is None:
                screen(exchange, snapshot.server_settings)
            route = snapshot.route(exchange)
            if exchange.websocket and stream is not None and route.is_local:
                stream.hand_over()
                return
            delivery.pipeline = pipeline = route.pipeline
            reply = await pipeline.admit_awaiting(exchange) if pipeline.awaits else pipeline.admit(exchange)
            if reply is None and route.cache is not None:
                reply = route.cache.ready.answer(exchange, time())
            if reply is None:
                body = RequestBody(receive, body_length(exchange), route.max_body, exchange)
                await self._to_targets(exchange, delivery, route, body, partial(depart, exchange, route, body, snapshot, delivery))
            elif reply.error is not None and not reply.body:
                await fail(exchange, reply.error, delivery)
            else:  # as `delivery.reply`, without a coroutine between
                head, content = pipeline.complete(exchange, reply)
                await delivery.start(head, reply)
                await delivery.chunk(b"" if exchange.method == b"HEAD" else content, more=False)
        except Exception as exc:
            await fail(exchange, as_error(exchange, exc), delivery)
        except asyncio.CancelledError:
            exchange.error = exchange.error or ClientGone("cancelled")
            raise
        finally:
            delivery.pipeline.finish(exchange)

    def _to_targets(
        self, exchange: Exchange, delivery: Delivery, route: Route, body: RequestBody, departs: Callable[[], Departure], *,
        first: AnyTarget | None = None, failure: TargetError | None = None, spent: float = 0.0,
    ) -> Awaitable[None]:  # fmt: skip
        """Await it: the exchange by way of its route's cache, or forwarded. departs, first, failure, spent: see `TargetSource`."""
        if route.cache is not None and exchange.cache is None:
            source = TargetSource(exchange, delivery, departs, first, failure, spent)
            return route.cache.serve(exchange, delivery, source, body)
        if route.invalidates is not None and exchange.method not in SAFE and not exchange.websocket:
            source = TargetSource(exchange, delivery, departs, first, failure, spent)
            return source.pass_on(Invalidation(route.invalidates, exchange))
        departure = departs()
        work = forward(exchange, departure, delivery, first, failure)
        return work if departure.timeouts.total is None else within(departure.timeouts.total, work, spent)

    async def go_on(
        self, exchange: Exchange, cycle: Cycle, share: Share | None = None, first: AnyTarget | None = None,
        failure: TargetError | None = None, *, prepared: Headers | None = None, fetched: Fetched | None = None,
    ) -> None:  # fmt: skip
        """The rest of an exchange that the express lane has admitted: through the route's cache, or where a share was
        chosen to that, on this target first or after this failure of it. prepared: the request's fields, where the
        pipeline has edited them already. fetched: where it is a fetch of the cache by now."""
        route = exchange.route
        assert route is not None
        delivery = self._delivery(exchange, cycle, route.pipeline)
        try:
            body = RequestBody(cycle.receive, body_length(exchange), route.max_body, exchange)
            spent = self.deadlines.now() - exchange.started_at
            departs = partial(depart, exchange, route, body, self.snapshot, delivery, share, prepared=prepared)
            if fetched is None:
                await self._to_targets(exchange, delivery, route, body, departs, first=first, failure=failure, spent=spent)
                return
            assert route.cache is not None
            source = TargetSource(exchange, delivery, departs, first, failure, spent)
            await route.cache.go_on(exchange, delivery, source, body, fetched)
        except Exception as exc:
            await fail(exchange, as_error(exchange, exc), delivery)
        except asyncio.CancelledError:
            exchange.error = exchange.error or ClientGone("cancelled")
            raise
        finally:
            delivery.pipeline.finish(exchange)

    def fetch_on(
        self, exchange: Exchange, share: Share, first: AnyTarget, failure: TargetError, fetched: Fetched, *,
        prepared: Headers | None,
    ) -> None:  # fmt: skip
        """The rest of a fetch of the express lane whose own client has left, for the others who wait for it."""
        route = exchange.route
        assert route is not None
        assert route.cache is not None
        body = RequestBody.of(b"", exchange)
        departs = partial(depart, exchange, route, body, self.snapshot, None, share, prepared=prepared)
        spent = self.deadlines.now() - exchange.started_at
        route.cache.carry_on(fetched, TargetSource(exchange, None, departs, first, failure, spent))

    # ------------------------------------------------------------ WebSocket, message by message

    async def serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Where the server speaks WebSocket itself and ASGI carries the messages."""
        snapshot = self.snapshot
        exchange = read_scope(scope, None, self.deadlines.now())
        handshake = Handshake(exchange, scope, send, snapshot.fallback, self.deadlines)
        try:
            await receive()  # websocket.connect
            await self._relay(exchange, scope, receive, send, handshake)
        except Exception as exc:
            exchange.error = as_error(exchange, exc)
            await handshake.fail(page_for(exchange, exchange.error))
        except asyncio.CancelledError:
            exchange.error = exchange.error or ClientGone("cancelled")
            raise
        finally:
            handshake.pipeline.finish(exchange)

    async def _relay(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send, handshake: Handshake
    ) -> None:
        snapshot = self.snapshot
        snapshot.identify(exchange)
        screen(exchange, snapshot.server_settings)
        route = snapshot.route(exchange)
        handshake.pipeline = pipeline = route.pipeline
        reply = await pipeline.admit_awaiting(exchange) if pipeline.awaits else pipeline.admit(exchange)
        if reply is not None:
            if reply.error is not None and not reply.body:
                raise reply.error
            await handshake.refuse(reply)
            return
        departure = depart(exchange, route, RequestBody(receive, 0, 0, exchange), snapshot, None)
        if departure.upstream.is_local:
            work = serve_local(exchange, departure, handshake, scope, receive)
        else:
            work = relay(exchange, departure, handshake, receive, send)
        await within(departure.timeouts.total, work)


def as_error(exchange: Exchange, exc: Exception) -> GatewayError:
    """What the client is told of it; what is no GatewayError is a fault of ours, and logged."""
    if isinstance(exc, GatewayError):
        return exc
    log.error("internal error", exc_info=exc, extra={"request_id": exchange.request_id.decode("latin-1")})
    return GatewayError(f"internal error: {exc!r}")


async def fail(exchange: Exchange, error: GatewayError, delivery: Delivery) -> None:
    """Tell the client, if an answer has not begun; else break it off."""
    exchange.error = error
    if isinstance(error, ClientGone):
        exchange.status = exchange.status or error.status
        delivery.abort()
        return
    if delivery.started:
        log.warning(
            "answer broken off",
            extra={"request_id": exchange.request_id.decode("latin-1"), "reason": str(error)},
        )
        delivery.abort()
        return
    await delivery.reply(page_for(exchange, error))


def page_for(exchange: Exchange, error: GatewayError) -> Reply:
    allow = str(error) if isinstance(error, MethodNotAllowed) else None
    return error_reply(error, exchange.header(b"accept"), exchange.request_id, allow=allow)
