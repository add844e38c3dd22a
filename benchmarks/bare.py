"""The least that can forward: what asyncio and ASGI cost before a gateway does anything. No proxies: they believe all they
are told.

`python -m benchmarks.bare PORT TARGET` copies bytes between protocols of uvloop, from which PORT of this machine to which.
`uvicorn benchmarks.bare:app` does it as an ASGI app, to the port that is named by BARE_TARGET.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any, cast

import uvloop

from benchmarks.processes import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEAD_END = b"\r\n\r\n"


class Upward(asyncio.Protocol):
    """A connection to the target. answered: called with what it says."""

    def __init__(self) -> None:
        self.answered: Callable[[bytes], None] = lambda _data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.answered(data)


class Copying(asyncio.Protocol):
    """A client's connection, with one to the target of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._upward: Upward | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upward is not None:
            self._upward.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._upward is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(data))
        else:
            self._upward.transport.write(data)

    async def _connect(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, self._upward = await loop.create_connection(Upward, LOOPBACK, self._target)
        self._upward.answered = self._transport.write
        self._upward.transport.write(data)


async def serve(port: int, target: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Copying(target), LOOPBACK, port, backlog=4096)
    await server.serve_forever()


class Asking(Upward):
    """The same, for one question after the other."""

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """The whole answer, which says its length."""
        self._answer = b""
        self._waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, mark, body = self._answer.partition(HEAD_END)
        if mark and len(body) >= int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            self._waiting.set_result(self._answer)


_idle: list[Asking] = []


async def app(scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Run with `--lifespan off`."""
    if _idle:
        upward = _idle.pop()
    else:
        _, upward = await asyncio.get_running_loop().create_connection(Asking, LOOPBACK, int(os.environ["BARE_TARGET"]))
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    lines = [scope["method"].encode() + b" " + target + b" HTTP/1.1", *map(b": ".join, scope["headers"]), b"", b""]
    head, _, body = (await upward.ask(b"\r\n".join(lines))).partition(HEAD_END)
    if b"Connection: close" not in head:
        _idle.append(upward)
    fields = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    headers = [(name.lower(), value) for name, _, value in fields if name.lower() != b"connection"]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
