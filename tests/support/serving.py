"""The gateway, or any ASGI app, under a real uvicorn on a real socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest
import uvicorn

from gateway.app import GatewayApp
from gateway.config import Config
from gateway.server.protocol import GatewayProtocol
from gateway.server.run import ContextFactory
from support.client import get
from support.origin import origin, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from gateway.express import ExpressLane
    from gateway.upstream.target import Target
    from support.client import Answer
    from support.origin import Origin, Received, Step

# express: our protocol class with its express lane, as `gateway run` has it; http1: without the lane, in a task; asgi: uvicorn's own class.
Entrance = Literal["express", "http1", "asgi"]
ENTRANCES: tuple[Entrance, ...] = ("express", "http1", "asgi")
PATIENCE = 20.0  # seconds until a test that waits for something gives up
LOOK_AGAIN = 0.002  # seconds between two looks at a condition that nothing tells of
on_both = pytest.mark.parametrize("entrance", ENTRANCES)


class TaskForAll:
    """The lane of an app, which takes no request: each has a task of its own, without ASGI between."""

    def __init__(self, lane: ExpressLane) -> None:
        self.serve = lane.serve

    def take(self, *_request: object) -> bool:
        return False


def without_lane(**about: Any) -> GatewayProtocol:
    """Our protocol class with a task for every request. Compiled it knows its lane by its class, and can only do without:
    so the installed gateway is asked by ASGI, as it is where an app has middleware."""
    protocol = GatewayProtocol(**about)
    if os.environ.get("GATEWAY_TEST_INSTALLED") or protocol.lane is None:
        protocol.lane = None
    else:
        protocol.lane = cast("ExpressLane", TaskForAll(protocol.lane))
    return protocol


class Served:
    """A running server. `app` is what it serves, on `loop`, in a thread of its own."""

    def __init__(self, app: Any, port: int, server: uvicorn.Server, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.port = port
        self.server = server
        self.loop = loop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition on the server's objects holds; it is looked at on the server's loop."""

        async def look() -> None:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(LOOK_AGAIN)

        self.run(look())

    def target(self, index: int = 0, upstream: str = "origin") -> Target:
        """A target of the gateway that is served."""
        found: Target = self.app._gateway.snapshot.upstreams[upstream].targets[index]
        return found


class Server(uvicorn.Server):
    """Stops at once when it is asked to."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)


@contextmanager
def served(app: Any, **options: Any) -> Iterator[Served]:
    """An ASGI app under uvicorn; options are uvicorn's. The port answers from the first line of the block on."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    config = uvicorn.Config(
        app, **{"log_config": None, "proxy_headers": False, "server_header": False, "access_log": False, **options}
    )
    server = Server(config)
    started = threading.Event()
    failures: list[BaseException] = []
    loops: list[asyncio.AbstractEventLoop] = []
    faults: list[dict[str, Any]] = []  # what a callback or a task raised, and nobody took

    async def startup(sockets: Any = None) -> None:
        await type(server).startup(server, sockets)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: (faults.append(context), loop.default_exception_handler(context)))
        loops.append(loop)
        started.set()

    server.startup = startup  # type: ignore[method-assign]

    def run() -> None:
        try:
            server.run([listener])
        except BaseException as exc:  # shown by the test that waits
            failures.append(exc)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(PATIENCE), "the server did not start"
        assert server.started, f"the server did not start: {failures}"
        yield Served(app, listener.getsockname()[1], server, loops[0])
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"
    assert not faults, f"left to the event loop: {faults}"


@contextmanager
def gateway(options: dict[str, Any], entrance: Entrance = "express", **server: Any) -> Iterator[Served]:
    """The gateway with a configuration in the words of `routes.toml`, by one of the entrances.

    The access log is off where the options do not name it.
    """
    config = Config.model_validate({"access_log": {"format": "off"}, **options})
    if entrance == "express":
        server = {"http": "gateway.server.protocol:GatewayProtocol", **server}
    elif entrance == "http1":
        server = {"http": without_lane, **server}
    else:
        server = {"http": "httptools", "ws": "websockets-sansio", "timeout_keep_alive": 75, **server}
    if config.server.tls is not None:
        server["ssl_context_factory"] = ContextFactory(config)
    with served(GatewayApp(config), **{"timeout_graceful_shutdown": 3, **server}) as running:
        yield running


def forwarding(*targets: str, **route: Any) -> dict[str, Any]:
    """The options of a gateway with one route for everything; keys that belong to the upstream go to it."""
    upstream = {key: route.pop(key) for key in list(route) if key in UPSTREAM_KEYS}
    sections = {key: route.pop(key) for key in list(route) if key in ("server", "defaults", "access_log", "admin")}
    return {
        **sections,
        "upstreams": {"origin": {"targets": list(targets), **upstream}},
        "routes": [{"name": "all", **({} if "path_regex" in route else {"path": "/*"}), "upstream": "origin", **route}],
    }


UPSTREAM_KEYS = (
    "balance", "balance_options", "hash_on", "hash_slack", "sticky", "tls", "keepalive", "max_connections", "max_pending", "retry",
    "circuit_breaker",
)  # fmt: skip


class Pair:
    """An origin with a gateway in front of it. `play` gives the origin a new script, for a test of its own."""

    def __init__(self, server: Origin, front: Served) -> None:
        self.origin = server
        self.gateway = front
        self.port = front.port

    def needs_http1(self, reason: str) -> None:
        """The rest of the test is for our own protocol class; reason: what ASGI under plain uvicorn cannot do."""
        if self.gateway.server.config.http == "httptools":
            pytest.skip(reason)

    def play(self, *script: Step) -> None:
        self.origin.script[:] = script or (respond(200, b"ok"),)
        self.origin.requests.clear()
        self.origin.forget()

    def ask(self, *request: str, step: Step | None = None, **options: Any) -> tuple[Answer, Received]:
        """One request on a connection of its own: its answer, and how it arrived at the origin."""
        if step is not None:
            self.play(step)
        answer = get(self.port, *request, **options)
        return answer, self.origin.requests[-1]


@contextmanager
def in_front(entrance: Entrance, *script: Step, **options: Any) -> Iterator[Pair]:
    """A gateway that forwards everything to one origin; the options are those of `forwarding`."""
    with origin(*script) as server, gateway(forwarding(server.url, **options), entrance) as front:
        yield Pair(server, front)


@contextmanager
def held(front: Served) -> Iterator[None]:
    """The server's loop does nothing else within the block; what arrives meanwhile waits in the kernel."""
    blocked, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        blocked.set()
        goes_on.wait(PATIENCE)

    front.loop.call_soon_threadsafe(hold)
    assert blocked.wait(PATIENCE)
    try:
        yield
    finally:
        goes_on.set()


@contextmanager
def tasks(front: Served) -> Iterator[list[str]]:
    """What is made a task on the server's loop meanwhile, by name, but for `Served.until`'s own."""
    made: list[str] = []

    def make(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        name = getattr(work, "__qualname__", repr(work))
        if not name.startswith(Served.__name__):
            made.append(name)
        return asyncio.Task(work, loop=loop, **options)

    front.loop.set_task_factory(make)
    try:
        yield made
    finally:
        front.loop.set_task_factory(None)
