"""The road of a request inside one process: the real app, protocol class and connections between two stub transports.

Nothing waits and no byte goes through the kernel. The client's transport asks for the next request when the answer to the
last one is whole, and a target's transport answers in the next turn of the event loop, so that the loop drives itself.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from uvicorn.server import ServerState

from benchmarks.contenders import Setting, routes
from benchmarks.processes import free_ports
from gateway.app import COLLECT_AT, GatewayApp
from gateway.server.protocol import GatewayProtocol
from gateway.upstream.connection import Connection
from gateway.upstream.target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.scenarios import Scenario

HEADS: Final = 5000  # requests that differ; their lines are more than a memo of the gateway holds

BROWSER: Final = (
    "Connection: keep-alive",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.9,de;q=0.7",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: navigate",
)
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: %b\r\n" % formatdate(usegmt=True).encode() +  # fresh, for a cache
    b"Content-Type: application/octet-stream\r\nContent-Length: 1024\r\nLast-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n"
    b'Connection: keep-alive\r\nETag: "6565a0a0-400"\r\nAccept-Ranges: bytes\r\n\r\n' + b"x" * 1024
)


def heads(prefix: str, *, varied: bool) -> list[bytes]:
    """Request heads below a path, but for their last line: each with an own query, cookie, referer and id, or all alike."""
    return [_head(prefix, number if varied else 0) for number in range(HEADS)]


def _head(prefix: str, number: int) -> bytes:
    ident = f"{number * 2654435761 % 2**32:08x}"
    lines = [
        f"GET {prefix}/items/1024?page={number}&q={ident} HTTP/1.1",
        "Host: www.example.com",
        *BROWSER,
        f"Referer: http://www.example.com/list?page={number}",
        f"Cookie: session={ident}{ident}; theme=dark; seen={number}",
        f"X-Request-ID: {ident}-{number}",
        "",
    ]
    return "\r\n".join(lines).encode()


class _Transport(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self, addresses: dict[str, Any] | None = None) -> None:
        super().__init__(addresses)
        self._closing = False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nobody reads."""

    def pause_reading(self) -> None:
        raise AssertionError("nothing comes faster than it is taken")

    def resume_reading(self) -> None:
        """It never paused."""

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))


class TargetTransport(_Transport):
    """Answers each request in the next turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.requests = 0
        self._loop = loop
        self.connection: Connection = cast("Connection", None)  # set once it is made

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.requests += 1
        self._loop.call_soon(self.connection.data_received, ANSWER)


class ClientTransport(_Transport):
    """Sends a request when the answer to the last one is whole, as often as `run` asks for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, requests: Sequence[bytes]) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8080)})
        self.protocol: asyncio.Protocol = cast("asyncio.Protocol", None)  # set once it is made
        self._loop = loop
        self._requests = requests
        self._at = 0
        self._left = 0
        self._received = 0
        self._done: asyncio.Future[None] | None = None

    async def run(self, count: int) -> float:
        """Seconds that so many requests took."""
        self._left = count
        self._done = self._loop.create_future()
        began = time.perf_counter()
        self._loop.call_soon(self._next)
        await self._done
        return time.perf_counter() - began

    def _next(self) -> None:
        self._at = at = self._at + 1
        self.protocol.data_received(self._requests[at % HEADS] + b"\r\n")  # new bytes, as from a socket

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._received += len(data)
        if self._received < 1024:
            return
        self._received = 0
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._next)
        elif self._done is not None:
            self._done.set_result(None)


class Floor(asyncio.Protocol):
    """What the two turns of the loop cost that a request takes in any case, and the stubs."""

    def __init__(self, client: ClientTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def data_received(self, data: bytes) -> None:
        self._loop.call_soon(self._client.write, ANSWER)


class Road:
    """`client.run(n)` sends n requests along it, `floor.run(n)` nowhere."""

    def __init__(self, client: ClientTransport, floor: ClientTransport, target: TargetTransport, app: GatewayApp) -> None:
        self.client = client
        self.floor = floor
        self.target = target
        self.app = app


def build_app(folder: Path, routes: str) -> GatewayApp:
    """The gateway with the routes of a scenario; its access log goes into a file."""
    path = folder / "routes.toml"
    path.write_text(f'[access_log]\npath = "{folder / "access.log"}"\n{routes}')
    return GatewayApp(path)


async def connect(app: GatewayApp, requests: Sequence[bytes]) -> Road:
    """The stubs around an app whose lifespan runs."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, proxy_headers=False)
    config.load()
    client = ClientTransport(loop, requests)
    client.protocol = cast("asyncio.Protocol", GatewayProtocol(config, ServerState(), {}, loop))
    client.protocol.connection_made(client)
    floor = ClientTransport(loop, requests)
    floor.protocol = Floor(floor, loop)
    transport = TargetTransport(loop)
    assert app._gateway is not None
    [target] = app._gateway.snapshot.upstreams["targets"].targets
    assert isinstance(target, Target)
    transport.connection = Connection(target, app._gateway.deadlines)
    transport.connection.connection_made(transport)
    target.open += 1
    target.connections.add(transport.connection)
    target.release(transport.connection, time.monotonic())
    return Road(client, floor, transport, app)


@asynccontextmanager
async def open_road(scenario: Scenario, *, varied: bool) -> AsyncIterator[Road]:
    """The road of a scenario, with an app of its own. Garbage is collected as under `gateway run`."""
    gc.set_threshold(*COLLECT_AT)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        port, target = free_ports(2)
        app = build_app(Path(name), routes(Setting(scenario, port, [target], Path(name))))
        async with app.lifespan():
            yield await connect(app, heads(scenario.path_before, varied=varied))
