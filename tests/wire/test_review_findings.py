"""What a review of the core found, each as it was proved. To be moved to where it belongs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.app import GatewayApp
from gateway.config import Config
from gateway.errors import TargetError
from gateway.server.protocol import LINGER_SECONDS, GatewayProtocol
from gateway.server.settings import ServerSettings
from support.client import Client, connected, get
from support.origin import Visit, hang, respond
from support.serving import Served, forwarding, gateway, in_front, on_both, served
from support.websocket import accept, handshake

SHORT = {"timeouts": {"header": "200ms", "body_idle": "200ms", "keepalive": "200ms", "write_idle": "300ms"}}
SIZE = 12 << 20  # bytes, more than all the buffers on the way hold


def connections(front: Served) -> set[Any]:
    return front.server.server_state.connections


def slow_reader(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", port))
    return sock


# ---------------------------------------------------------------- pipelining


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_comes_in_the_moment_of_an_answer_is_read_behind_what_waits(loop: str) -> None:
    """The third request arrives while the first is being answered and the second waits: they are answered in order."""
    blocked, came = threading.Event(), threading.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/1":
            running = asyncio.get_running_loop()
            goes_on = running.create_future()

            def hold() -> None:
                blocked.set()
                came.wait(5)
                goes_on.set_result(None)

            running.call_soon(hold)
            await goes_on
        body = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    options = {"http": "gateway.server.protocol:GatewayProtocol", "lifespan": "off", "loop": loop}
    with served(app, **options) as front, connected(front.port) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert blocked.wait(5)
        client.send(b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)  # until it is in the kernel's buffer
        came.set()
        assert [client.read().body for _ in range(3)] == [b"/1", b"/2", b"/3"]


# ---------------------------------------------------------------- deadlines of clients


async def at_once(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Writes more than the client takes in one piece, so that writing is paused when the answer is whole."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % SIZE)]})
        await send({"type": "http.response.body", "body": bytes(SIZE)})


def settled(**settings: float) -> Any:
    """The app, with settings for our protocol class."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await at_once(scope, receive, send)

    app.server_settings = ServerSettings(**settings)  # type: ignore[attr-defined, arg-type]
    return app


OURS = {"http": "gateway.server.protocol:GatewayProtocol", "lifespan": "off"}


def test_a_connection_that_was_paused_in_its_last_answer_still_idles_out() -> None:
    with served(settled(keepalive=0.5), **OURS) as front, connected(front.port) as client:
        for _ in range(2):
            assert client.get().complete
        client.sock.settimeout(3)
        assert client.closed()


def test_a_client_that_pipelines_and_does_not_read_is_cut_off() -> None:
    with served(settled(write_idle=0.3), **OURS) as front, slow_reader(front.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        front.until(lambda: any(connection.write_paused for connection in connections(front)))
        time.sleep(1.5)  # the idleness itself is what is tested
        assert not connections(front)


def streaming_back() -> Any:
    async def step(visit: Visit) -> None:
        with suppress(ConnectionError):
            await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
            await visit.send(bytes(SIZE))
        visit.server.event("over").set()

    return step


def test_a_client_that_ends_its_body_and_does_not_read_is_cut_off() -> None:
    with in_front("express", streaming_back(), server={**SHORT, "timeouts": {**SHORT["timeouts"], "body_idle": "5s"}}) as pair, slow_reader(pair.port) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12")
        pair.gateway.until(lambda: any(connection.write_paused for connection in connections(pair.gateway)))
        sock.sendall(b"345")
        time.sleep(1.5)  # the idleness itself is what is tested
        assert not connections(pair.gateway)


def test_a_client_that_floods_and_does_not_read_is_cut_off() -> None:
    options = {**SHORT, "limits": {"max_body": "1GiB"}}
    with in_front("express", streaming_back(), server=options) as pair, slow_reader(pair.port) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n12")
        pair.gateway.until(lambda: any(connection.write_paused for connection in connections(pair.gateway)))
        sock.settimeout(0.2)
        with suppress(TimeoutError, ConnectionError):
            while True:
                sock.send(bytes(1 << 16))
        time.sleep(1.5)  # the idleness itself is what is tested
        assert not connections(pair.gateway)
        target = pair.gateway.target()
        assert (target.open, target.in_flight) == (0, 0)


# ---------------------------------------------------------------- closing


class Watching:
    """The protocol objects of a server that are still connected, counted ones or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open: set[Any] = set()
        made, lost = GatewayProtocol.connection_made, GatewayProtocol.connection_lost

        def connection_made(protocol: Any, transport: Any) -> None:
            self.open.add(protocol)
            made(protocol, transport)

        def connection_lost(protocol: Any, exc: Any) -> None:
            self.open.discard(protocol)
            lost(protocol, exc)

        monkeypatch.setattr(GatewayProtocol, "connection_made", connection_made)
        monkeypatch.setattr(GatewayProtocol, "connection_lost", connection_lost)


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Watching:
    return Watching(monkeypatch)


def test_an_answer_that_is_broken_off_does_not_wait_for_its_client_for_ever(watching: Watching) -> None:
    server = {"timeouts": {"write_idle": "800ms"}}
    with in_front("express", streaming_back(), server=server, timeouts={"total": "300ms"}) as pair, slow_reader(pair.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        pair.gateway.until(lambda: any(connection.write_paused for connection in connections(pair.gateway)))
        time.sleep(3)  # the idleness itself is what is tested
        assert not watching.open


def filling(**settings: float) -> Any:
    """An app whose answer is just larger than the kernel's buffers: too little is left to pause the app for."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        transport = scope["extensions"]["gateway.stream"]._protocol.transport
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while transport.get_write_buffer_size() < 1000:
            await send({"type": "http.response.body", "body": bytes(16384), "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    app.server_settings = ServerSettings(**settings)  # type: ignore[attr-defined, arg-type]
    return app


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_client_that_does_not_take_the_last_bytes_is_cut_off(watching: Watching, connection: str) -> None:
    with served(filling(keepalive=0.2, write_idle=0.3), **OURS, loop="asyncio") as front, slow_reader(front.port) as sock:
        sock.sendall(b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: %s\r\n\r\n" % connection.encode())
        front.until(lambda: front.server.server_state.total_requests)
        time.sleep(2)  # the idleness itself is what is tested
        assert not watching.open


def test_an_early_answer_is_whole_for_a_client_that_takes_its_time() -> None:
    """What is left of the request is thrown away for a while only, but the answer has its own time."""
    with served(filling(write_idle=10.0), **OURS, loop="asyncio") as front, slow_reader(front.port) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n12")
        front.until(lambda: front.server.server_state.total_requests)
        time.sleep(LINGER_SECONDS + 0.5)  # the slowness itself is what is tested
        answer = Client(sock).read()
        assert answer.complete
        assert answer.body.endswith(b"end")


# ---------------------------------------------------------------- targets


@on_both
def test_an_exchange_ends_when_its_target_is_stopped(entrance: Any) -> None:
    with in_front(entrance, hang()) as pair, connected(pair.port) as client:
        client.request()
        pair.origin.wait("hanging")
        client.sock.settimeout(3)
        pair.gateway.run(pair.gateway.target().stop())
        assert client.read().status == 502


def test_a_switch_in_the_moment_of_the_deadline_leaves_no_connection() -> None:
    async def step(visit: Visit) -> None:
        visit.server.event("came").set()
        await visit.server.waited("blocked")
        await accept(visit)
        visit.server.event("sent").set()
        await visit.closed()

    with in_front("express", step, timeouts={"total": "300ms"}) as pair, connected(pair.port) as client:
        client.send(handshake())
        pair.origin.wait("came")

        def block() -> None:
            pair.origin.event("blocked").set()
            pair.origin.event("sent").wait(5)
            time.sleep(0.5)  # beyond the deadline

        pair.gateway.loop.call_soon_threadsafe(block)
        assert client.read().status == 504
        target = pair.gateway.target()
        pair.gateway.until(lambda: target.in_flight == 0)
        time.sleep(0.3)
        assert target.open == 0


@on_both
def test_an_origin_that_redirects_to_its_own_address_does_not_show_it(entrance: Any) -> None:
    with in_front(entrance) as pair:
        pair.play(respond(302, b"", f"Location: {pair.origin.url}/there?x=1"))
        answer = get(pair.port)
        assert answer.get("location") == b"http://test/there?x=1"


# ---------------------------------------------------------------- local apps

seen: list[str] = []
_over = threading.Event()


async def early_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers while it still waits for the rest of a body."""
    if scope["type"] != "http":
        return

    async def read() -> None:
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            continue
        seen.append(message["type"])
        _over.set()

    reader = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
    await reader


@on_both
def test_a_local_app_that_answers_while_it_waits_for_the_body_sees_the_end(entrance: Any) -> None:
    from tests.wire import test_review_findings as here

    here._over.clear()
    with gateway(forwarding("asgi://tests.wire.test_review_findings:early_app"), entrance) as front, connected(front.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12")
        assert client.read().body == b"ok"
        assert here._over.wait(3)
        assert here.seen[-1] == "http.disconnect"


# ---------------------------------------------------------------- life


def test_a_start_that_fails_leaves_no_file_open(tmp_path: Path) -> None:
    """A mounted gateway whose lifespan nobody runs tries again with every request."""
    path = tmp_path / "access.log"
    options = {"access_log": {"format": "json", "path": str(path)}, **forwarding("asgi://nowhere_at_all:app")}
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "scheme": "http"}

    async def ask() -> None:
        app = GatewayApp(Config.model_validate(options))
        for _ in range(3):
            with pytest.raises(TargetError):
                await app(scope, None, None)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert not [number for number in Path("/proc/self/fd").iterdir() if number.resolve() == path]
