"""The gateway, or any ASGI app, under a real uvicorn on a real socket, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import uvicorn

from gateway.app import GatewayApp
from gateway.config import Config
from gateway.server.run import ContextFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

Entrance = Literal["http1", "asgi"]
ENTRANCES: tuple[Entrance, ...] = ("http1", "asgi")
PATIENCE = 20.0  # seconds until a test that waits for something gives up


class Served:
    """A running server. `app` is what it serves."""

    def __init__(self, app: Any, port: int, server: uvicorn.Server) -> None:
        self.app = app
        self.port = port
        self.server = server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(app: Any, **options: Any) -> Iterator[Served]:
    """An ASGI app under uvicorn; options are uvicorn's. The port answers from the first line of the block on."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    config = uvicorn.Config(
        app, **{"log_config": None, "proxy_headers": False, "server_header": False, "access_log": False, **options}
    )
    server = uvicorn.Server(config)
    started = threading.Event()
    failures: list[BaseException] = []

    async def startup(sockets: Any = None) -> None:
        await type(server).startup(server, sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]

    def run() -> None:
        try:
            server.run([listener])
        except BaseException as exc:  # noqa: BLE001  # shown by the test that waits
            failures.append(exc)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(PATIENCE), "the server did not start"
        assert server.started, f"the server did not start: {failures}"
        yield Served(app, listener.getsockname()[1], server)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"


@contextmanager
def gateway(options: dict[str, Any], entrance: Entrance = "http1", **server: Any) -> Iterator[Served]:
    """The gateway with a configuration in the words of `routes.toml`, by either entrance.

    The access log is off where the options do not name it.
    """
    config = Config.model_validate({"access_log": {"format": "off"}, **options})
    if entrance == "http1":
        server = {"http": "gateway.server.protocol:GatewayProtocol", **server}
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
        "routes": [{"name": "all", "path": "/*", "upstream": "origin", **route}],
    }


UPSTREAM_KEYS = ("balance", "tls", "keepalive", "max_connections", "max_pending")
