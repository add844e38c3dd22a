"""The cache as plain ASGI middleware: the same decisions and stores as a route's, before an app of this process.

There is no proxy here that writes the fields by which a target learns how it was asked; so those that a client may send
itself (`X-Forwarded-Host`, `X-Original-URL` and their like) are part of the key.
"""

from __future__ import annotations

import asyncio
import logging
from time import time
from typing import TYPE_CHECKING, Any, Final, cast

from gateway.body import RequestBody
from gateway.cache.invalidate import Invalidator, Spellings
from gateway.cache.key import HEADER, PARTS, Bypass, KeyRule
from gateway.cache.memory import MemoryStore
from gateway.cache.note import CacheNote
from gateway.cache.purge import Purge, as_keyed
from gateway.cache.purge import Scope as By
from gateway.cache.rules import (
    CACHEABLE_METHODS,
    DEFAULT_MAX_OBJECT,
    DEFAULT_STALE_IF_ERROR,
    DEFAULT_TAGS_HEADER,
    Rules,
)
from gateway.cache.serve import RouteCache
from gateway.cache.stores import lock_of
from gateway.cache.tasks import Tasks
from gateway.deadlines import Deadlines
from gateway.deliver import Delivery
from gateway.errors import BadResponse, ClientGone, GatewayError, IncompleteResponse, TargetError
from gateway.exchange import Reply, ResponseHead
from gateway.gone import ClientWatch
from gateway.intake import body_length, read_scope
from gateway.pipeline import Pipeline
from gateway.rfc.cache_fields import CACHE_STATUS
from gateway.rfc.forwarded import CLIENTS, FORWARDING
from gateway.rfc.headers import end_to_end
from gateway.rfc.uri import match_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.cache.key import QueryRule
    from gateway.cache.source import Edit, Observer, Taker, Tee
    from gateway.cache.store import Store
    from gateway.exchange import Exchange, Headers

log = logging.getLogger("gateway.cache")

DEFAULT_MEMORY: Final = 64 << 20  # bytes
METHODS: Final = tuple(sorted(method.decode() for method in CACHEABLE_METHODS))
NO_LIMIT: Final = 1 << 62  # of a request's body: the app has its own
_WHO: Final = CLIENTS - {b"forwarded"}  # by whom no shared response may differ
_HOW: Final = tuple(sorted(HEADER + name.decode() for name in FORWARDING - _WHO))
_WHOLE_FILES: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend", "http.response.trailers", "gateway.stream"})


class AppFailed(TargetError):
    """The app raised."""

    status = 500
    detail = "The application could not answer this request."


class CacheMiddleware:
    """Stores the app's responses as they allow it, and answers later requests with them (RFC 9111).

    ttl, negative, stale_while_revalidate, stale_if_error: seconds, as `Rules` has them. key: `host`, `path`, `query`,
    `header:NAME`, `cookie:NAME`. query: which parameters count. bypass: requests with one of these go past the cache:
    `header:NAME`, `cookie:NAME`, `query:NAME`. memory, max_object: bytes.

    store: instead of the memory of this process; who gives one starts and stops it. Or a function that makes one, such as
    `gateway.middleware.redis_store` gives: that is called, and its store started, when the app starts or with the first
    request. coalesce: concurrent requests share a call of the app, in all processes that share the store.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ttl: float = 0.0,
        negative: Mapping[int, float] | None = None,
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = DEFAULT_STALE_IF_ERROR,
        key: Sequence[str] = PARTS,
        query: QueryRule | None = None,
        bypass: Iterable[str] = (),
        methods: Iterable[str] = METHODS,
        memory: int = DEFAULT_MEMORY,
        max_object: int = DEFAULT_MAX_OBJECT,
        tags_header: str = DEFAULT_TAGS_HEADER.decode(),
        heed_requests: bool = True,
        coalesce: bool = True,
        store: Store | Callable[[], Store] | None = None,
    ) -> None:
        self.app = app
        self._tasks = Tasks()
        self._pipeline = Pipeline([CacheNote()])
        self._watch: tuple[asyncio.AbstractEventLoop, Deadlines, ClientWatch] | None = None
        rules = Rules(
            ttl=ttl,
            negative=negative or {},
            stale_while_revalidate=stale_while_revalidate,
            stale_if_error=stale_if_error,
            max_object=max_object,
            methods=frozenset(method.encode() for method in methods),
            tags_header=tags_header.lower().encode(),
            heed_requests=heed_requests,
        )
        passing = tuple(bypass)
        keys = KeyRule("app", [*key, *_HOW], query)
        spellings = Spellings()
        spellings.add(keys, None)

        def over(store: Store) -> RouteCache:
            return RouteCache(
                keys, rules, store, self._tasks, Invalidator(store, spellings), bypass=Bypass(passing) if passing else None,
                collapses=coalesce, lock=lock_of(store) if coalesce else None,
            )  # fmt: skip

        self._over = over
        self._opening: asyncio.Task[None] | None = None
        self._make_store: Callable[[], Store] | None = None
        if callable(store):  # on the loop that serves, which is not here yet
            self._make_store = store
        else:
            self._cache = over(MemoryStore(memory, time) if store is None else store)

    @property
    def store(self) -> Store:
        """Where responses lie; if it was to be made, once the app has started."""
        return self._cache.store

    async def purge(
        self, *, url: Sequence[str] = (), prefix: Sequence[str] = (), tag: Sequence[str] = (), everything: bool = False,
        soft: bool = False,
    ) -> None:  # fmt: skip
        """Take out what these name, or only make it stale. url: `https://host/path?query` as clients ask for it, or
        `/path?query` for every host. prefix: the beginning of one. tag: of `Surrogate-Key` or `Cache-Tag`, or a group of
        `Cache-Groups` behind its origin and a space. ValueError for what is no URL."""
        named = {
            By.URL: tuple(as_keyed(one.encode()) for one in url),
            By.PREFIX: tuple(as_keyed(one.encode()) for one in prefix),
            By.TAG: tuple(one.encode() for one in tag),
        }
        await self._opened()
        purges = [Purge(scope, values, soft) for scope, values in named.items() if values]
        for purge in [*purges, Purge(By.ALL, (), soft)] if everything else purges:
            await self._cache.invalidator.purge(purge)

    async def _opened(self) -> None:
        """The store is there."""
        if self._make_store is not None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open(self._make_store()))
            await asyncio.shield(self._opening)

    async def _open(self, store: Store) -> None:
        await store.start()
        self._cache = self._over(store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self._tasks.stop()
                if self._opening is not None:
                    await self.store.stop()
            await send(message)

        await self._opened()
        await self.app(scope, receive, told)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._make_store is not None:
            await self._opened()
        deadlines, watch = self._watching()
        exchange = read_scope(dict(scope), None, deadlines.now())
        exchange.host = exchange.header(b"host") or b""
        exchange.match_path = match_path(exchange.path)
        delivery = Delivery(exchange, send, self._pipeline, None, deadlines, watch)
        try:
            reply = self._cache.ready.answer(exchange, time())
            if reply is not None:
                await delivery.reply(reply)
                return
            reading = cast("Callable[[], Awaitable[dict[str, Any]]]", receive)
            body = RequestBody(reading, body_length(exchange), NO_LIMIT, exchange)
            await self._cache.serve(exchange, delivery, AppSource(self.app, scope, receive, send, exchange), body)
        except ClientGone:
            return
        except GatewayError as error:
            if delivery.started:
                raise
            await delivery.reply(Reply(error.status, [(b"content-type", b"text/plain")], error.detail.encode()))

    def _watching(self) -> tuple[Deadlines, ClientWatch]:
        """Of the running loop."""
        loop = asyncio.get_running_loop()
        if self._watch is None or self._watch[0] is not loop:
            deadlines = Deadlines(loop)
            self._watch = (loop, deadlines, ClientWatch(deadlines))
        return self._watch[1:]


class AppSource:
    """The app as what answers: see `gateway.cache.source.Source`."""

    __slots__ = ("_app", "_exchange", "_receive", "_scope", "_send")

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._exchange = exchange

    async def fetch(self, exchange: Exchange, edit: Edit, taker: Taker) -> None:
        call = Call(taker)
        scope = self._fetching(exchange, edit)
        try:
            await self._app(scope, call.receive, call.send)
        except Exception as exc:
            log.exception("exception in the ASGI app")
            raise AppFailed(repr(exc)) from exc
        finally:
            call.done.set()
        if not call.started:
            raise BadResponse("the ASGI app returned without an answer")
        if not call.ended and call.wanted:
            raise IncompleteResponse("the ASGI app returned before its answer was whole")

    def _fetching(self, exchange: Exchange, edit: Edit) -> dict[str, Any]:
        scope = self._scope
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        _, _, query = edit.target(raw_path + b"?" + scope.get("query_string", b"")).partition(b"?")
        extensions = {name: offer for name, offer in (scope.get("extensions") or {}).items() if name not in _WHOLE_FILES}
        return {
            **scope,
            "method": "GET",
            "headers": edit.headers(exchange.headers),
            "query_string": query,
            "extensions": extensions,
        }

    async def pass_on(self, observer: Observer) -> None:
        seen = Seen(self._send, self._exchange, observer)
        try:
            await self._app(self._scope, self._receive, seen.send)
        finally:
            await seen.close()


def _head(message: Message) -> ResponseHead:
    headers: Headers = end_to_end([(name.lower(), value) for name, value in message.get("headers", ())])
    lengths = [value for name, value in headers if name == b"content-length"]
    length = int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else None
    return ResponseHead(message["status"], headers, length)


class Call:
    """One fetch as the app sees it: a request without a body, whose client never leaves."""

    __slots__ = ("_flowing", "_has_asked", "_left", "_taker", "done", "ended", "started", "wanted")

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._left: int | None = None  # bytes that its Content-Length has promised yet
        self._has_asked = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.done = asyncio.Event()
        self.started = False
        self.ended = False
        self.wanted = True

    async def receive(self) -> Message:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.done.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            head = _head(message)
            self._left = head.length
            self.wanted = self._taker.head(head, self, chunked=False)
        elif message["type"] == "http.response.body" and self.wanted and not self.ended:
            data: bytes = message.get("body", b"")
            if self._left is not None:
                self._left -= len(data)
            if data:
                self._taker.data(data)
            if not message.get("more_body", False) and not self._left:
                self.ended = True
                self._taker.end([])
            await self._flowing.wait()

    def pause_reading(self) -> None:
        self._flowing.clear()

    def resume_reading(self) -> None:
        self._flowing.set()


class Seen:
    """The app's answer on its way to a client whose request passes."""

    __slots__ = ("_exchange", "_is_whole", "_left", "_observer", "_send", "_tee")

    def __init__(self, send: Send, exchange: Exchange, observer: Observer) -> None:
        self._send = send
        self._exchange = exchange
        self._observer = observer
        self._tee: Tee | None = None
        self._is_whole = False
        self._left: int | None = None  # as of `Call`

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            head = _head(message)
            self._left = head.length
            self._tee = self._observer.seen(head)
            await self._observer.before(head)
            outcome = self._exchange.cache
            if outcome is not None:
                message = {**message, "headers": [*message.get("headers", ()), (CACHE_STATUS, outcome.value())]}
        elif message["type"] == "http.response.body" and self._tee is not None:
            data: bytes = message.get("body", b"")
            self._tee.append(data)
            if self._left is not None:
                self._left -= len(data)
            self._is_whole = not message.get("more_body", False) and not self._left
        await self._send(message)

    async def close(self) -> None:
        if self._tee is not None:
            await self._tee.close(whole=self._is_whole)
