"""The express lane where things go wrong: hooks that fail, clients that do not read, targets that answer early."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cache.fetching import Fetched
from gateway.cache.flight import Flight
from gateway.compress import BodyTransform
from gateway.exchange import Exchange, Headers, Reply, ResponseHead
from gateway.express_trip import Trip
from gateway.pipeline import Pipeline
from gateway.server.protocol import WRITE_HIGH_WATER
from support.client import connected, get
from support.origin import Visit, hang, origin, respond
from support.serving import PATIENCE, Served, forwarding, gateway, held, in_front

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.policy import Policy


def put_first(front: Served, *policies: Policy) -> None:
    """Give the gateway's one route these policies alone."""
    route = front.app._gateway.snapshot.router.routes[-1]
    route.pipeline = Pipeline(policies)


# ---------------------------------------------------------------- clients that do not read


class Large:
    """An answer that is at hand, as one from a cache would be."""

    def admit(self, exchange: Exchange) -> Reply | None:
        return Reply(200, [], bytes(WRITE_HIGH_WATER))


def test_a_client_that_takes_no_answers_gets_no_more_of_them():
    with in_front("express") as pair, connected(pair.port) as client:
        put_first(pair.gateway, Large())
        state = pair.gateway.server.server_state
        for number in range(1, 401):
            client.request("/")
            pair.gateway.until(lambda number=number: state.total_requests >= number or is_stalled(pair.gateway))
            if is_stalled(pair.gateway):
                break
        (connection,) = state.connections
        assert connection.transport.get_write_buffer_size() < 4 * WRITE_HIGH_WATER


def is_stalled(front: Served) -> bool:
    """An answer waits for its client to take the ones before it."""
    return any(connection._cycle is not None and connection.write_paused for connection in front.server.server_state.connections)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_answer_that_comes_in_the_moment_that_its_client_leaves(loop: str):
    began = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    go = threading.Event()

    async def later(visit: Visit) -> None:
        visit.server.event("asked").set()
        await asyncio.get_running_loop().run_in_executor(None, go.wait, PATIENCE)
        await visit.send(began)
        visit.server.event("answered").set()
        await visit.closed()

    with origin(respond(200, b"ok"), later) as server, gateway(forwarding(server.url), loop=loop) as front:
        with connected(front.port) as client:
            client.get("/")
            client.request("/")
            server.wait("asked")
            with held(front):
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sock.close()
                go.set()
                server.wait("answered")
            front.until(lambda: front.target().in_flight == 0 and not front.server.server_state.connections)


# ---------------------------------------------------------------- hooks


class Encoder(BodyTransform):
    """fails: in which of its calls."""

    def __init__(self, fails: str) -> None:
        self.fails = fails

    def feed(self, data: bytes) -> bytes:
        if self.fails == "feed":
            raise ZeroDivisionError("a secret")
        return data

    def finish(self) -> bytes:
        if self.fails == "finish":
            raise ZeroDivisionError("a secret")
        return b""


class Encodes:
    """Gives answers of targets an encoder that fails."""

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.finished: list[int] = []

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        if exchange.error is None:
            head.headers[:] = [pair for pair in head.headers if pair[0] != b"content-length"]
            head.transform = Encoder(self.fails)

    def finish(self, exchange: Exchange) -> None:
        assert exchange.error is not None
        self.finished.append(exchange.error.status)


@pytest.mark.parametrize("fails", ["feed", "finish"])
def test_an_encoder_that_fails_over_a_whole_answer_is_a_500(fails: str):
    with in_front("express") as pair, connected(pair.port) as client:
        client.get("/")
        policy = Encodes(fails)
        put_first(pair.gateway, policy)
        answer = client.get("/")
        assert (answer.status, b"secret" in answer.body) == (500, False)
        assert (policy.finished, pair.gateway.target().in_flight, pair.gateway.target().failures) == ([500], 0, 0)
        put_first(pair.gateway)
        assert client.get("/").body == b"ok"


@pytest.mark.parametrize("fails", ["feed", "finish"])
def test_an_encoder_that_fails_inside_an_answer_breaks_it_off(fails: str):
    async def pieces(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await asyncio.get_running_loop().run_in_executor(None, visit.server.event("go").wait, PATIENCE)
        await visit.send(b"2\r\nab\r\n0\r\n\r\n")

    with in_front("express") as pair, connected(pair.port) as client:
        client.get("/")
        policy = Encodes(fails)
        put_first(pair.gateway, policy)
        pair.play(pieces)
        client.request("/")
        assert client.read_head().status == 200
        pair.origin.event("go").set()
        assert b"0\r\n\r\n" not in client.read_some(100)
        pair.gateway.until(lambda: policy.finished)
        assert (policy.finished, pair.gateway.target().in_flight, pair.gateway.target().failures) == ([500], 0, 0)


@pytest.mark.parametrize("primed", [True, False])
def test_a_request_is_prepared_once_with_and_without_an_idle_connection(primed: bool):
    class Counts:
        def __init__(self) -> None:
            self.prepared = 0

        def prepare(self, exchange: Exchange, headers: Headers) -> None:
            self.prepared += 1
            headers.append((b"x-prepared", b"yes"))

    with in_front("express") as pair, connected(pair.port) as client:
        if primed:
            client.get("/")
        policy = Counts()
        put_first(pair.gateway, policy)
        assert client.get("/", method="POST", body=b"abc").status == 200
        request = pair.origin.requests[-1]
        assert (policy.prepared, request.all("x-prepared"), request.all("host")) == (1, [b"yes"], [b"test"])


def test_a_request_that_is_prepared_in_vain_does_not_try_an_open_circuit():
    class Fails:
        def prepare(self, exchange: Exchange, headers: Headers) -> None:
            headers.append((b"x", b"a\r\nb"))

    rules = {"error_rate": "50%", "min_requests": 4, "window": "10s", "open_for": "300ms"}
    with in_front("express", respond(200, b"ok"), circuit_breaker=rules) as pair, connected(pair.port) as client:
        client.get("/")
        pair.play(respond(503, b"ill"))
        for _ in range(8):
            client.get("/")
        breaker = pair.gateway.app._gateway.snapshot.upstreams["origin"].guard.breaker
        pair.gateway.until(lambda: pair.gateway.loop.time() >= breaker.open_until)
        pair.play()
        put_first(pair.gateway, Fails())
        assert client.get("/").status in (400, 500)
        put_first(pair.gateway)
        assert get(pair.port, "/").body == b"ok"


# ---------------------------------------------------------------- time


def test_the_total_time_goes_on_where_another_attempt_follows(tmp_path: Path):
    log = tmp_path / "access.log"
    options: dict[str, Any] = {
        "timeouts": {"total": "600ms", "first_byte": "400ms"}, "retry": {"on": ["timeout"], "backoff": "1ms"},
        "access_log": {"path": str(log)},
    }  # fmt: skip
    with origin(respond(200, b"ok"), hang()) as one, origin(respond(200, b"ok"), hang()) as other:
        with gateway(forwarding(one.url, other.url, **options)) as front, connected(front.port) as client:
            assert [client.get("/").status for _ in range(3)] == [200, 200, 504]
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["attempts"], last["reason"]) == (2, "over 0.6 s")


def test_nothing_of_a_request_is_kept_until_its_total_time_is_over():
    with in_front("express", timeouts={"total": "60s"}) as pair, connected(pair.port) as client:
        for _ in range(20):
            client.get("/", method="POST", body=bytes(1000))

        async def kept() -> int:
            gc.collect()
            return sum(isinstance(thing, Trip) for thing in gc.get_objects())

        assert pair.gateway.run(kept()) < 2


def test_what_a_cache_fetches_leaves_no_cycles_to_be_collected():
    with in_front("express", cache=True) as pair, connected(pair.port) as client:
        pair.play(respond(200, b"ok", "Cache-Control: max-age=60"))

        async def kept(*, before: bool) -> int:
            if before:
                gc.collect()
                gc.disable()
                return 0
            gc.enable()
            return sum(isinstance(thing, (Trip, Flight, Fetched)) for thing in gc.get_objects())

        client.get("/first")
        pair.gateway.run(kept(before=True))
        try:
            for number in range(20):
                assert client.get(f"/{number}").status == 200
        finally:
            left = pair.gateway.run(kept(before=False))
        assert left <= 3, "but for the last ones, which the idle connection holds"


# ---------------------------------------------------------------- targets that answer early


def test_a_connection_with_a_body_still_to_be_sent_serves_no_other():
    """The target answers before it has read the body, and reads no more of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with gateway(forwarding(url)) as front, connected(front.port) as client:
            answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            client.request("/")
            early, _ = listener.accept()
            with early:
                early.recv(4096)
                early.sendall(answer)
                assert client.read().status == 200
                (link,) = front.target().connections
                link.transport.raw.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                with held(front):
                    client.request("/", method="POST", body=bytes(60000))
                early.recv(1024)
                assert link.transport.get_write_buffer_size()
                early.sendall(answer)
                assert client.read().status == 200
                front.until(lambda: front.target().open == 0)
