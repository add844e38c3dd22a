"""A target's connections as an httpx transport: one `httpx.AsyncClient` a target, for all that wants httpx's interface.

The gateway's own road uses the connections directly, which costs a tenth. Probes, hooks and whoever asks a target on
the side use the client: the same connections, limits and hygiene, whoever asks. The client keeps no cookies, follows no
redirects and ignores proxy settings of the environment; a cancelled request closes its connection and nothing else
(httpcore's pool loses the place of every request that is cancelled).
"""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import httpx

from gateway.errors import (
    BadResponse,
    ConnectionLimitReached,
    ConnectionTerminated,
    ConnectTimeout,
    FirstByteTimeout,
    GatewayError,
    IncompleteResponse,
    Reach,
    ReadTimeout,
    WriteTimeout,
)
from gateway.exchange import Exchange
from gateway.rfc.message import CHUNKED, IDEMPOTENT
from gateway.upstream.answer import Answer
from gateway.upstream.sink import Outgoing, Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.upstream.connection import Connection
    from gateway.upstream.local import LocalLink
    from gateway.upstream.upstream import AnyTarget

FRAMING: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})
RAISED_AS: Final[tuple[tuple[type[GatewayError], type[httpx.TransportError]], ...]] = (
    (ConnectionLimitReached, httpx.PoolTimeout),
    (ConnectTimeout, httpx.ConnectTimeout),
    (WriteTimeout, httpx.WriteTimeout),
    (FirstByteTimeout, httpx.ReadTimeout),
    (ReadTimeout, httpx.ReadTimeout),
    (IncompleteResponse, httpx.RemoteProtocolError),
    (BadResponse, httpx.RemoteProtocolError),
    (ConnectionTerminated, httpx.RemoteProtocolError),
    (GatewayError, httpx.ConnectError),
)


def target_client(target: AnyTarget) -> httpx.AsyncClient:
    """A client for one target; paths are relative to it."""
    scheme = "https" if target.address.scheme == "https" else "http"
    return httpx.AsyncClient(
        transport=TargetTransport(target),
        base_url=f"{scheme}://{target.address.authority.decode('ascii')}",
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(60.0, connect=3.0, pool=5.0),
        trust_env=False,
        follow_redirects=False,
    )


class TargetTransport(httpx.AsyncBaseTransport):
    """Requests go to the target, whatever host their URL names. `extensions={"target": ...}` is sent byte for byte."""

    def __init__(self, target: AnyTarget) -> None:
        self._target = target

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._ask(request, fresh=False)
        except GatewayError as error:
            raise as_httpx(error, request) from error

    async def _ask(self, request: httpx.Request, *, fresh: bool) -> httpx.Response:
        outgoing = as_outgoing(request)
        link = await self._link(request, outgoing, fresh=fresh)
        answer = Answer(link)
        try:
            link.send(outgoing, answer)
            if outgoing.length:
                await _send_body(request, link, answer)
            head = await answer.wait_head()
        except ConnectionTerminated as error:
            link.abandon(answer)
            stale = link.reused and error.reach is Reach.MAYBE_PROCESSED
            if stale and not outgoing.length and outgoing.method in IDEMPOTENT:
                return await self._ask(request, fresh=True)
            raise
        except BaseException:
            link.abandon(answer)
            raise
        return httpx.Response(
            head.status, headers=head.headers, stream=_AnswerStream(answer, link, request),
            extensions={"http_version": b"HTTP/1.1"},
        )  # fmt: skip

    async def _link(self, request: httpx.Request, outgoing: Outgoing, *, fresh: bool) -> Connection | LocalLink:
        path, mark, query = outgoing.target.partition(b"?")
        exchange = Exchange(outgoing.method, path, query if mark else None, outgoing.headers)
        link = None if fresh else self._target.take(exchange)
        if link is None:
            link = await self._target.connect(outgoing.timeouts.connect, outgoing.timeouts.pool)
        return link


async def _send_body(request: httpx.Request, link: Connection | LocalLink, answer: Answer) -> None:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    async for data in request.stream:
        if answer.is_over:
            return
        if data:
            link.send_body(data)
            await answer.room()
    if not answer.is_over:
        link.end_body()


class _AnswerStream(httpx.AsyncByteStream):
    def __init__(self, answer: Answer, link: Connection | LocalLink, request: httpx.Request) -> None:
        self._answer = answer
        self._link = link
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._answer.next_chunk():
                yield data
        except GatewayError as error:
            raise as_httpx(error, self._request) from error

    async def aclose(self) -> None:
        self._link.abandon(self._answer)  # nothing, when the answer was read to its end


def as_outgoing(request: httpx.Request) -> Outgoing:
    times: dict[str, Any] = request.extensions.get("timeout", {})
    never = float("inf")
    read, write = times.get("read") or never, times.get("write") or never
    length = request.headers.get("content-length")
    chunked = "transfer-encoding" in request.headers
    body = CHUNKED if chunked else int(length or 0)
    headers = [(name.lower(), value) for name, value in request.headers.raw if name.lower() not in FRAMING]
    if chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    elif length is not None:
        headers.append((b"content-length", length.encode("ascii")))
    return Outgoing(
        request.method.encode("ascii"),
        request.extensions.get("target") or request.url.raw_path,
        headers,
        body,
        Timeouts(
            connect=times.get("connect") or never, pool=times.get("pool") or never, first_byte=read, read=read, write=write
        ),
    )


def as_httpx(error: GatewayError, request: httpx.Request) -> httpx.TransportError:
    kind = next(raised for ours, raised in RAISED_AS if isinstance(error, ours))
    if kind is httpx.ConnectError and error.reach is not Reach.UNSENT:
        kind = httpx.ReadError
    return kind(str(error), request=request)
