"""The plain listener beside HTTPS: every request is sent to the same address there (RFC 9110 section 15.4.9).

308 and not 301, which lets clients turn a POST into a GET. A request is parsed as strictly as everywhere and answered
once, and the connection closes behind the answer; a body that comes along is thrown away.
"""

from __future__ import annotations

import asyncio
import logging
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, cast

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import BadRequest, GatewayError, HeaderTooLarge, RequestTimeout, TargetTooLong
from gateway.rfc.message import read_request_head
from gateway.server.refusal import refusal

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from gateway.rfc.message import RequestHead
    from gateway.server.settings import ServerSettings

__all__ = ["RedirectServer", "location", "serve_redirect"]

log = logging.getLogger("gateway.server")

LINGER_SECONDS: Final = 2.0  # for the client to take the answer and close
LINGER_BYTES: Final = 1 << 20  # of a body that are thrown away meanwhile


async def serve_redirect(sock: socket.socket, settings: ServerSettings, https_port: int) -> RedirectServer:
    """Answer on a listening socket until the server is closed; of the settings, the limits of a head count here."""
    server = RedirectServer(settings, https_port)
    await server.start(sock)
    return server


def location(head: RequestHead, https_port: int) -> bytes:
    """The same resource by HTTPS: host and target byte for byte, the port replaced. BadRequest without a host."""
    if not head.fields.host:
        raise BadRequest("no Host")
    host = head.fields.host
    name = host[: host.index(b"]") + 1] if host[:1] == b"[" else host.partition(b":")[0]
    port = b"" if https_port == 443 else b":%d" % https_port
    target = b"" if head.origin_form == b"*" else head.origin_form  # RFC 9112 section 3.2.4
    return b"https://" + name + port + target


class RedirectServer:
    """One listener with its connections, at most `max_connections`. It is closed as an `asyncio.Server` is."""

    __slots__ = ("_server", "connections", "deadlines", "https_port", "settings")

    def __init__(self, settings: ServerSettings, https_port: int) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.https_port = https_port
        self.deadlines = Deadlines(loop)
        self.connections: set[RedirectProtocol] = set()
        self._server: asyncio.AbstractServer | None = None

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return self._server.sockets if isinstance(self._server, asyncio.Server) else ()

    async def start(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: RedirectProtocol(self), sock=sock)

    def close(self) -> None:
        """Take no more connections, and close those that are open; an answer that was given is still delivered."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.shutdown()

    async def wait_closed(self) -> None:
        """Until the last connection is gone, which is at most `LINGER_SECONDS` after `close`."""
        while self.connections:
            await next(iter(self.connections)).gone
        self.deadlines.close()
        if self._server is not None:
            await self._server.wait_closed()


class RedirectProtocol(asyncio.Protocol):
    """One connection, for one request."""

    __slots__ = ("_answered", "_buffer", "_discarded", "_server", "bucket", "deadline", "gone", "transport")

    def __init__(self, server: RedirectServer) -> None:
        self._server = server
        self._buffer = b""
        self._answered = False
        self._discarded = 0
        self.deadline = NEVER
        self.bucket = NEVER
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        server = self._server
        full = len(server.connections) >= server.settings.max_connections
        if full:
            self.transport.write(refusal(503, "Too many connections."))
            self._answered = True
            self.transport.close()
            return
        server.connections.add(self)
        self._watch(server.settings.header)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self._buffer = b""
        self._server.connections.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._answered:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.abort()
            return
        data = self._buffer + data
        if data[:1] in b"\r\n":
            data = data.lstrip(b"\r\n")  # RFC 9112 section 2.2
        limit = self._server.settings.max_header_size
        end = data.find(b"\r\n\r\n", 0, limit + 4)
        if end >= 0:
            self._answer(self._reply(data[:end]))
        elif len(data) > limit:
            self._answer(_refuse(HeaderTooLarge()))
        else:
            self._buffer = data

    def shutdown(self) -> None:
        if self._answered:
            self._watch(LINGER_SECONDS)
        else:
            self.transport.close()

    def expired(self, now: float) -> None:
        if self._answered:
            self.transport.abort()
        elif self._buffer:
            self._answer(_refuse(RequestTimeout()))
        else:
            self.transport.close()

    def _reply(self, block: bytes) -> bytes:
        settings = self._server.settings
        try:
            head = read_request_head(block)
            if len(head.fields.headers) > settings.max_headers:
                raise HeaderTooLarge(f"over {settings.max_headers} fields")
            if len(head.path) + len(head.query or b"") > settings.max_target_size:
                raise TargetTooLong
            where = location(head, self._server.https_port)
        except GatewayError as exc:
            return _refuse(exc)
        return (
            b"HTTP/1.1 308 Permanent Redirect\r\ndate: %s\r\nlocation: %s\r\ncontent-length: 0\r\n"
            b"connection: close\r\n\r\n" % (formatdate(usegmt=True).encode(), where)
        )

    def _answer(self, answer: bytes) -> None:
        """Write, and close only when the client has: a reset would destroy the answer on its way."""
        self._answered = True
        self._buffer = b""
        self.transport.write(answer)
        self.transport.write_eof()
        self._watch(LINGER_SECONDS)

    def _watch(self, seconds: float) -> None:
        self._server.deadlines.watch(self, self._server.deadlines.now() + seconds)


def _refuse(error: GatewayError) -> bytes:
    log.info("request refused", extra={"status": error.status, "reason": str(error)})
    return refusal(error.status, error.detail)
