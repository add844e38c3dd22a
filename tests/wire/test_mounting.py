"""The gateway mounted in other people's apps, under several servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway.app import COLLECT_AT, GatewayApp, create_app
from gateway.config import Config, ConfigError
from support.client import connected, get
from support.local_apps import probe
from support.origin import origin, respond
from support.serving import PATIENCE, served
from support.websocket import opened, websocket_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from support.origin import Visit

PROBE = "asgi://support.local_apps:probe"
SERVERS: dict[str, dict[str, Any]] = {
    "httptools": {"http": "httptools", "ws": "websockets-sansio"},
    "h11": {"http": "h11", "ws": "websockets-sansio"},
    "gateway": {"http": "gateway.server.protocol:GatewayProtocol"},
}


@contextmanager
def hypercorn(app: Any) -> Iterator[int]:
    """The port of an app under Hypercorn, in a thread."""
    serving = pytest.importorskip("hypercorn.asyncio")
    settings = pytest.importorskip("hypercorn.config").Config()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings.bind = [f"fd://{listener.detach()}"]
    stop = threading.Event()

    async def main() -> None:
        await serving.serve(app, settings, shutdown_trigger=lambda: asyncio.to_thread(stop.wait))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive(), "hypercorn did not stop"


@contextmanager
def hosted(app: Any, server: str) -> Iterator[int]:
    if server == "hypercorn":
        with hypercorn(app) as port:
            yield port
    else:
        with served(app, timeout_graceful_shutdown=3, **SERVERS[server]) as running:
            yield running.port


@pytest.fixture(params=[*SERVERS, "hypercorn"])
def server(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def forgetful() -> None:
    probe.reset()


def app_for(upstream: str, **route: Any) -> GatewayApp:
    return create_app(
        Config.model_validate({"access_log": {"format": "off"}, "routes": [{"path": "/*", "upstream": upstream, **route}]})
    )


async def home(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("home")


async def own_socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("own")
    await websocket.close()


def starlette_host(gateway: GatewayApp, path: str = "/api", *, composed: bool = True, **options: Any) -> Starlette:
    return Starlette(
        routes=[Route("/", home), WebSocketRoute("/own", own_socket), Mount(path, gateway)],
        lifespan=gateway.lifespan if composed else None,
        **options,
    )


def fastapi_host(gateway: GatewayApp) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with gateway.lifespan(app):
            yield

    host = FastAPI(lifespan=lifespan)
    host.get("/", response_class=PlainTextResponse)(lambda: "home")
    host.add_api_websocket_route("/own", own_socket)
    host.mount("/api", gateway)
    return host


HOSTS: dict[str, Callable[[GatewayApp], ASGIApp]] = {"starlette": starlette_host, "fastapi": fastapi_host}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Callable[[GatewayApp], ASGIApp]:
    return HOSTS[request.param]


# ---------------------------------------------------------------- beside the host's own routes


def test_http_goes_to_the_gateway_below_the_mount_and_to_the_host_elsewhere(
    host: Callable[[GatewayApp], ASGIApp], server: str
):
    with origin(respond(200, b"forwarded")) as target, hosted(host(app_for(target.url)), server) as port:
        assert get(port, "/").body == b"home"
        assert get(port, "/api/things?x=1", method="POST", body=b"data").body == b"forwarded"
        assert get(port, "/elsewhere").status == 404
    assert [(request.line, request.body) for request in target.requests] == [(b"POST /things?x=1 HTTP/1.1", b"data")]


def test_websockets_go_to_the_gateway_below_the_mount_and_to_the_host_elsewhere(
    host: Callable[[GatewayApp], ASGIApp], server: str
):
    with websocket_target() as target, hosted(host(app_for(target.url)), server) as port:
        with opened(port, "/own") as client:
            assert client.recv(PATIENCE) == "own"
        with opened(port, "/api/live?x=1") as client:
            client.send("hello")
            assert client.recv(PATIENCE) == "hello"
    assert target.first.request is not None
    assert target.first.request.path == "/live?x=1"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/api", b"/"),
        ("/api/", b"/"),
        ("/api/a%2Fb", b"/a%2Fb"),
        ("/api/a%20b?q=%26", b"/a%20b?q=%26"),
        ("/%61pi/x", b"/x"),
        ("/api/api/x", b"/api/x"),
        ("/api//double", b"//double"),
    ],
)
def test_the_mount_prefix_is_stripped_from_the_raw_path(sent: str, seen: bytes):
    with origin() as target, hosted(starlette_host(app_for(target.url)), "httptools") as port:
        answer = get(port, sent)
        if answer.status == 307:  # Starlette redirects /api to /api/
            answer = get(port, sent + "/")
        assert answer.status == 200
    assert target.requests[0].target == seen


def test_a_prefix_that_only_looks_like_the_mount_is_the_hosts():
    with origin() as target, hosted(starlette_host(app_for(target.url)), "httptools") as port:
        assert get(port, "/apix/y").status == 404
    assert target.requests == []


def test_a_mount_path_beyond_ascii_is_stripped_and_encoded_again():
    with origin(respond(302, b"", "Location: /next", reason="Found")) as target:
        with hosted(starlette_host(app_for(target.url), "/café au lait"), "httptools") as port:
            answer = get(port, "/caf%C3%A9%20au%20lait/x")
    assert target.requests[0].target == b"/x"
    assert answer.get("location") == b"/caf%C3%A9%20au%20lait/next"


def test_mounts_may_be_nested(server: str):
    with origin() as target:
        gateway = app_for(target.url)
        outer = Starlette(routes=[Mount("/outer", routes=[Mount("/inner", gateway)])], lifespan=gateway.lifespan)
        with hosted(outer, server) as port:
            assert get(port, "/outer/inner/x").status == 200
    assert target.requests[0].target == b"/x"


def test_the_servers_own_root_path_is_stripped_too():
    with origin() as target, served(app_for(target.url), root_path="/behind", **SERVERS["httptools"]) as running:
        assert get(running.port, "/x").status == 200
    assert target.requests[0].target == b"/x"


@pytest.mark.parametrize(
    ("location", "mapped"),
    [
        ("/login?next=/a", b"/api/login?next=/a"),
        ("relative", b"relative"),
        ("http://test/absolute", b"http://test/api/absolute"),
        ("https://elsewhere.test/x", b"https://elsewhere.test/x"),
    ],
)
def test_locations_are_mapped_under_the_mount(server: str, location: str, mapped: bytes):
    with origin(respond(302, b"", f"Location: {location}", reason="Found")) as target:
        with hosted(starlette_host(app_for(target.url)), server) as port:
            assert get(port, "/api/x").get("location") == mapped


def test_locations_are_mapped_under_the_mount_and_the_stripped_prefix():
    with origin(respond(302, b"", "Location: /login", "Set-Cookie: a=b; Path=/", reason="Found")) as target:
        with hosted(starlette_host(app_for(target.url, path="/v1/*", strip_prefix="/v1")), "httptools") as port:
            answer = get(port, "/api/v1/x")
    assert target.requests[0].target == b"/x"
    assert answer.get("location") == b"/api/v1/login"
    assert answer.get("set-cookie") == b"a=b; Path=/api/v1"


def test_a_local_app_behind_a_mount_knows_the_whole_root_path():
    with hosted(starlette_host(app_for(PROBE, path="/v1/*", strip_prefix="/v1")), "httptools") as port:
        scope = json.loads(get(port, "/api/v1/scope").body)
    assert scope["root_path"] == "/api/v1"
    assert scope["path"] == "/api/v1/scope"


# ---------------------------------------------------------------- the host's middleware


class Stamp:
    """A plain ASGI middleware of the host."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message = {**message, "headers": [*message.get("headers", []), (b"x-stamp", b"host")]}
            await send(message)

        await self.app(scope, receive, stamped)


def test_the_hosts_middleware_is_around_the_gateway(server: str):
    stamped = [Middleware(Stamp), Middleware(GZipMiddleware, minimum_size=10)]
    with origin(respond(200, b"x" * 5000, "Content-Type: text/plain")) as target:
        with hosted(starlette_host(app_for(target.url), middleware=stamped), server) as port:
            answer = get(port, "/api/x", "Accept-Encoding: gzip")
    assert answer.get("x-stamp") == b"host"
    assert answer.get("content-encoding") == b"gzip"
    assert answer.complete


def test_the_hosts_middleware_sees_websockets(server: str):
    with websocket_target() as target:
        with hosted(starlette_host(app_for(target.url), middleware=[Middleware(Stamp)]), server) as port:
            with opened(port, "/api/x") as client:
                assert client.response is not None
                assert client.response.headers["X-Stamp"] == "host"


def test_middleware_may_be_added_to_the_gateway_app_itself():
    with origin() as target:
        gateway = app_for(target.url)
        gateway.add_middleware(Stamp)
        with served(gateway, **SERVERS["httptools"]) as running:
            assert get(running.port).get("x-stamp") == b"host"


def test_an_upgrade_that_the_hosts_middleware_hides_is_no_tunnel():
    """Under our protocol class a host's WebSockets go by ASGI, where its middleware sees them."""
    with websocket_target() as target, hosted(starlette_host(app_for(target.url)), "gateway") as port:
        with opened(port, "/own") as client:
            assert client.recv(PATIENCE) == "own"


# ---------------------------------------------------------------- life


@contextmanager
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Warnings and worse, of the gateway and the event loop."""
    found: list[str] = []
    with caplog.at_level(logging.WARNING):
        yield found
        found += [record.getMessage() for record in caplog.records if record.name.split(".")[0] in ("gateway", "asyncio")]


def test_a_composed_lifespan_starts_and_stops_the_gateway(caplog: pytest.LogCaptureFixture):
    with logged(caplog) as warnings, hosted(starlette_host(app_for(PROBE)), "httptools") as port:
        assert probe.lifespan == ["lifespan.startup"]
        assert get(port, "/api/early").status == 200
    assert probe.lifespan == ["lifespan.startup", "lifespan.shutdown"]
    assert warnings == []


def test_without_it_the_first_request_starts_the_gateway_and_the_loops_end_stops_it(
    caplog: pytest.LogCaptureFixture, server: str
):
    with logged(caplog) as warnings:
        with hosted(starlette_host(app_for(PROBE), composed=False), server) as port:
            assert get(port, "/").body == b"home"
            assert probe.lifespan == []
            for _ in range(3):
                assert get(port, "/api/early").status == 200
            assert probe.lifespan == ["lifespan.startup"]
    assert probe.lifespan == ["lifespan.startup", "cancelled"]  # loops cancel all tasks before anybody can end them
    assert len(warnings) == 1
    assert "lifespan" in warnings[0]


@pytest.mark.parametrize("composed", [False, True], ids=["as the server's app", "composed"])
def test_the_garbage_collector_is_the_gateways_where_the_process_is(composed: bool):
    gateway = app_for(PROBE)
    host = starlette_host(gateway) if composed else gateway
    before, seen = gc.get_threshold(), []

    async def live() -> None:
        said, told = asyncio.Queue[Any](), asyncio.Queue[Any]()
        said.put_nowait({"type": "lifespan.startup"})
        life = asyncio.create_task(host({"type": "lifespan", "state": {}}, said.get, told.put))
        assert await told.get() == {"type": "lifespan.startup.complete"}
        seen.append(gc.get_threshold())
        said.put_nowait({"type": "lifespan.shutdown"})
        await life

    try:
        asyncio.run(live())
    finally:
        gc.set_threshold(*before)
    assert before != COLLECT_AT
    assert seen == [before if composed else COLLECT_AT]


def test_connections_are_closed_when_the_loop_ends():
    async def keep(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await visit.closed()
        visit.server.event("closed").set()

    with origin(keep) as target:
        with hosted(starlette_host(app_for(target.url), composed=False), "httptools") as port:
            assert get(port, "/api/x").status == 200
        target.wait("closed")


def test_concurrent_first_requests_start_it_once(caplog: pytest.LogCaptureFixture):
    with logged(caplog) as warnings:
        with hosted(starlette_host(app_for(PROBE), composed=False), "httptools") as port:
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(connected(port)) for _ in range(20)]
                for client in clients:
                    client.request("/api/early")
                assert {client.read().status for client in clients} == {200}
            assert probe.lifespan == ["lifespan.startup"]
    assert len(warnings) == 1


def test_a_websocket_may_be_the_first_request(caplog: pytest.LogCaptureFixture):
    with logged(caplog) as warnings, websocket_target() as target:
        with hosted(starlette_host(app_for(target.url), composed=False), "httptools") as port:
            with opened(port, "/api/x") as client:
                client.send("hello")
                assert client.recv(PATIENCE) == "hello"
    assert len(warnings) == 1


def test_an_app_can_be_started_again_after_it_was_stopped():
    gateway = app_for(PROBE)
    for _ in range(2):
        with served(gateway, **SERVERS["httptools"]) as running:
            assert get(running.port, "/early").status == 200
    assert probe.lifespan == ["lifespan.startup", "lifespan.shutdown"] * 2


# ---------------------------------------------------------------- create_app


def test_a_path_is_read_at_the_start_and_not_before(tmp_path: Path):
    path = tmp_path / "routes.toml"
    app = create_app(path)
    path.write_text('[access_log]\nformat = "off"\n[[routes]]\nrespond = { status = 200, body = "read late" }\n')
    with served(app, **SERVERS["httptools"]) as running:
        assert get(running.port).body == b"read late"


def test_a_path_may_be_a_text(tmp_path: Path):
    path = tmp_path / "routes.toml"
    path.write_text('[access_log]\nformat = "off"\n[[routes]]\nrespond = { status = 204 }\n')
    with served(create_app(str(path)), **SERVERS["httptools"]) as running:
        assert get(running.port).status == 204


def test_a_path_that_is_not_there_is_told_when_the_app_starts(tmp_path: Path):
    app = create_app(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read"):
        _ = app.config


def test_the_environment_names_the_file_where_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "other.toml"
    path.write_text('[access_log]\nformat = "off"\n[[routes]]\nrespond = { status = 200, body = "by name" }\n')
    app = create_app()
    monkeypatch.setenv("GATEWAY_CONFIG", str(path))
    with served(app, **SERVERS["httptools"]) as running:
        assert get(running.port).body == b"by name"
