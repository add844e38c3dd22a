"""HTTP for the admin API: one order on a connection, answered with JSON, and closed.

A process has two of these: its own control socket, which only this user may open, and, in one of the processes, the
listener of `[admin]`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway.admin.api import Answer, read_order, refusal
from gateway.admin.guard import Refused
from gateway.errors import GatewayError
from gateway.rfc.message import read_request_head

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from gateway.admin.api import Order
    from gateway.admin.guard import Guard
    from gateway.rfc.message import RequestHead

log = logging.getLogger("gateway.admin")

MAX_HEAD: Final = 16384  # bytes
MAX_BODY: Final = 65536  # bytes of JSON
MAX_CONNECTIONS: Final = 64
PATIENCE: Final = 10.0  # seconds for a client to send its order, and again to take the answer
LINGER: Final = 1.0  # seconds for a client to close first: a reset would destroy the answer on its way


class AdminListener:
    """answer: what becomes of an order; it fails for nobody's fault but ours."""

    def __init__(self, guard: Guard, answer: Callable[[Order], Awaitable[Answer]]) -> None:
        self._guard = guard
        self._answer = answer
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, sock: socket.socket) -> None:
        """sock: bound and listening; it is closed with the listener."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=sock)

    async def stop(self) -> None:
        """Take no more orders, and wait for those that are being followed."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.BaseProtocol:
        reader = asyncio.StreamReader(limit=MAX_HEAD)
        return asyncio.StreamReaderProtocol(reader, self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._one(reader)
            async with asyncio.timeout(PATIENCE):
                writer.write(serialize(answer))
                await writer.drain()
            writer.write_eof()
            async with asyncio.timeout(LINGER):
                await reader.read(1)
        except (OSError, TimeoutError, EOFError) as exc:
            log.debug("admin client left", extra={"reason": repr(exc)})
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self._head(reader)
                self._guard.check(head)
                order = read_order(head.method, head.origin_form, await _body(reader, head))
            return await self._answer(order)
        except Refused as refused:
            return refusal(refused)
        except Exception as exc:
            if isinstance(exc, OSError | EOFError):
                raise
            log.exception("internal error in the admin API")
            return refusal(Refused(500, "internal error; the log says more"))

    async def _head(self, reader: asyncio.StreamReader) -> RequestHead:
        try:
            block = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise Refused(431, f"the head has over {MAX_HEAD} bytes") from None
        try:
            return read_request_head(block[:-4])
        except GatewayError as exc:
            raise Refused(exc.status, exc.detail) from None


async def _body(reader: asyncio.StreamReader, head: RequestHead) -> bytes:
    if head.fields.length < 0:
        raise Refused(411, "the body needs a Content-Length")
    if head.fields.length > MAX_BODY:
        raise Refused(413, f"the body has over {MAX_BODY} bytes")
    return await reader.readexactly(head.fields.length)


def serialize(answer: Answer) -> bytes:
    body = json.dumps(answer.body, indent=2).encode() + b"\n"
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
        *answer.headers,
    ]
    line = b"HTTP/1.1 %d %s" % (answer.status, HTTPStatus(answer.status).phrase.encode())
    return b"\r\n".join([line, *(b"%s: %s" % pair for pair in fields), b"", body])
