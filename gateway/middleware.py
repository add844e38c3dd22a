"""The gateway's pieces as plain ASGI middleware, each usable alone in any ASGI application.

They are thin adapters: what is decided is decided by the same policies that the gateway's routes use.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

from gateway.cache.middleware import DEFAULT_MEMORY, CacheMiddleware
from gateway.cache.stores import make_store
from gateway.compress import Encoder
from gateway.errors import Denied
from gateway.exchange import Exchange, ResponseHead
from gateway.policies.access import AccessRules
from gateway.policies.compression import DEFAULT_MIN_SIZE, DEFAULT_TYPES, Compression
from gateway.rfc.encoding import add_vary
from gateway.rfc.forwarded import Networks, client_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.cache.store import Store
    from gateway.exchange import Headers

__all__ = ["CacheMiddleware", "CompressionMiddleware", "IPAllowlistMiddleware", "redis_store"]

_PATHSEND = "http.response.pathsend"
_ZEROCOPYSEND = "http.response.zerocopysend"
_DENIAL_RESPONSE = "websocket.http.response"
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


def redis_store(url: str, *, prefix: str = "gw:", timeout: float = 0.05, memory: int = DEFAULT_MEMORY) -> Callable[[], Store]:
    """For `CacheMiddleware(store=...)`: a Redis that processes share, with the memory of each before it. Purges reach all.

    url, prefix: as in `[redis]` of `routes.toml`. timeout: seconds for an answer. memory: bytes; 0 for none. ValueError says
    what is wrong with them.
    """
    from gateway.config import CacheOptions, RedisOptions  # noqa: PLC0415 - the other middleware need not wait for it

    options = RedisOptions.model_validate({"url": url, "prefix": prefix, "timeout": timeout})
    if options.address is None:
        raise ValueError("the URL of Redis is empty")
    where = CacheOptions.model_validate({"store": "tiered", "memory": memory} if memory else {"store": "redis"})
    return partial(make_store, where, options)


class IPAllowlistMiddleware:
    """Lets in HTTP requests and WebSockets by client address; others get 403 as `application/problem+json`.

    allow, deny, trusted_proxies: addresses and networks, IPv4 and IPv6. Deny wins; where `allow` is not empty nobody
    else comes in, and no client without an address. X-Forwarded-For counts only when it comes from a trusted proxy; let
    the server leave the peer's address alone then (uvicorn: `--no-proxy-headers`).
    """

    def __init__(
        self,
        app: ASGIApp,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        self.app = app
        self._rules = AccessRules(allow, deny)
        proxies = tuple(trusted_proxies)
        self._trusted = Networks(proxies) if proxies else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket") or self._rules.allows(self._client(scope)):
            await self.app(scope, receive, send)
        elif kind == "http":
            await _send_refusal(send, "http.response", scope["method"] == "HEAD")
        else:
            await _refuse_websocket(scope, receive, send)

    def _client(self, scope: Scope) -> str:
        client = scope.get("client")
        peer: str = client[0] if client else ""
        if self._trusted is None:
            return peer
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(peer, values, self._trusted)


_REFUSAL = json.dumps(
    {"type": "about:blank", "title": "Forbidden", "status": Denied.status, "detail": Denied.detail}
).encode()


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    if _DENIAL_RESPONSE in (scope.get("extensions") or ()):
        await _send_refusal(send, _DENIAL_RESPONSE, without_body=False)
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})


async def _send_refusal(send: Send, kind: str, without_body: bool) -> None:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(_REFUSAL)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": f"{kind}.start", "status": Denied.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if without_body else _REFUSAL})


class CompressionMiddleware(GZipMiddleware):
    """Starlette's GZipMiddleware put right, with zstd and br beside gzip (see `gateway.policies.compression`).

    minimum_size: bytes. compresslevel: gzip's, 1..9. thread_minimum_size: chunks of as many bytes are compressed in a
    worker thread. types, exclude_content_types: media types, `text/*` as a wildcard. encodings: the preferred one
    first; None is all that is installed.
    """

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int = DEFAULT_MIN_SIZE,
        compresslevel: int = 5,
        thread_minimum_size: int = 128 * 1024,
        *,
        exclude_content_types: Iterable[str] = (),
        types: Iterable[str] = DEFAULT_TYPES,
        encodings: Iterable[str] | None = None,
    ) -> None:
        excluded = tuple(exclude_content_types)
        super().__init__(app, minimum_size, compresslevel, thread_minimum_size, exclude_content_types=excluded)
        names = None if encodings is None else tuple(encodings)
        self._policy = Compression(
            types=types,
            exclude=excluded,
            min_size=minimum_size,
            encodings=names,
            levels={"gzip": compresslevel} if names is None or "gzip" in names else {},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        extensions = scope.get("extensions") or {}
        if _ZEROCOPYSEND in extensions:
            # It may be mixed with body chunks, which could then not be encoded any more.
            scope = {
                **scope,
                "extensions": {name: offer for name, offer in extensions.items() if name != _ZEROCOPYSEND},
            }
        response = _CompressedResponse(
            self._policy, scope, send, hold=_PATHSEND in extensions, thread_size=self.thread_minimum_size
        )
        await self.app(scope, receive, response.send)


class _CompressedResponse:
    """One response's messages, encoded where the policy says so.

    The head of a body whose length is known is held until its first chunk, since a body in one piece is encoded in one
    piece and keeps a Content-Length. It is also held where the server takes files (`hold`): those are not encoded.
    Any other head goes at once.
    """

    __slots__ = ("_encoder", "_exchange", "_hold", "_owed", "_policy", "_send", "_start", "_thread_size", "_untouched")

    def __init__(self, policy: Compression, scope: Scope, send: Send, *, hold: bool, thread_size: int) -> None:
        self._policy = policy
        self._exchange = Exchange(scope["method"].encode(), b"", None, [(name, value) for name, value in scope["headers"]])
        self._send = send
        self._hold = hold
        self._thread_size = thread_size
        self._encoder: Encoder | None = None
        self._start: Message | None = None  # held back, with the fields of the encoded form
        self._untouched: Headers = []  # the fields of the plain form
        self._owed: int | None = None  # bytes that the application still has to send, by its Content-Length

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            await self._begin(message)
        elif self._encoder is None:
            await self._send(message)
        elif kind == "http.response.body":
            await self._encode(self._encoder, message)
        else:
            if kind == _PATHSEND:
                await self._give_up()
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        headers: Headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        head = ResponseHead(message["status"], list(headers), _content_length(headers))
        self._owed = head.length
        self._policy.amend(self._exchange, head)
        start = {**message, "headers": head.headers}
        if isinstance(head.transform, Encoder):
            self._encoder = head.transform
            if self._hold or self._owed is not None:
                self._start, self._untouched = start, headers
                return
        await self._send(start)

    async def _encode(self, encoder: Encoder, message: Message) -> None:
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        self._account(len(body), more)
        if self._start is not None:
            if not more:
                await self._whole(encoder, self._start, message, body)
                return
            start, self._start = self._start, None
            await self._send(start)
        data = await self._run(encoder.feed, body)
        if not more:
            data += encoder.finish()
        await self._send({**message, "body": data})

    async def _whole(self, encoder: Encoder, start: Message, message: Message, body: bytes) -> None:
        data = await self._run(encoder.whole, body)
        if not start.get("trailers", False):  # trailers need a chunked body
            start["headers"].append((b"content-length", b"%d" % len(data)))
        self._start = None
        await self._send(start)
        await self._send({**message, "body": data})

    async def _run(self, encode: Callable[[bytes], bytes], data: bytes) -> bytes:
        if len(data) < self._thread_size:
            return encode(data)
        return await run_in_threadpool(encode, data)

    async def _give_up(self) -> None:
        """The server will send a file by itself: the head must be that of the plain form."""
        start, self._start, self._encoder = self._start, None, None
        if start is not None:
            add_vary(self._untouched, b"accept-encoding")
            await self._send({**start, "headers": self._untouched})

    def _account(self, size: int, more: bool) -> None:
        """The server cannot compare an encoded body with the application's Content-Length, so that we do."""
        if self._owed is None:
            return
        self._owed -= size
        if self._owed < 0:
            msg = "Response content longer than Content-Length"
            raise RuntimeError(msg)
        if self._owed and not more:
            msg = "Response content shorter than Content-Length"
            raise RuntimeError(msg)


def _content_length(headers: Headers) -> int | None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
