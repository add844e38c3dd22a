"""What an upstream takes on at a time: limits of requests in flight, and circuits that open."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import statistics
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.admin.control import control_directory
from support.client import connected, get
from support.local_apps import probe
from support.origin import Origin, Step, Visit, hang, origin, reset, respond
from support.process import running
from support.serving import gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.client import Client
    from support.serving import Entrance, Served

BREAKER = {"error_rate": "50%", "min_requests": 4, "window": "1h", "open_for": "200ms"}


@contextmanager
def guarded(*steps: Step, entrance: Entrance = "express", **options: Any) -> Iterator[tuple[Served, list[Origin]]]:
    """A gateway before one origin for each step, that sends nothing twice and ejects nobody."""
    with ExitStack() as stack:
        servers = [stack.enter_context(origin(step)) for step in steps]
        upstream = {"targets": [server.url for server in servers], "passive": False, "retry": False, **options}
        front = stack.enter_context(gateway({"upstreams": {"u": upstream}, "routes": [{"path": "/*", "upstream": "u"}]}, entrance))
        yield front, servers


def gated() -> Step:
    """Answer when the event `go` has happened."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        await visit.server.waited("go")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    return step


@contextmanager
def waiting(front: Served, count: int) -> Iterator[list[Client]]:
    """So many requests, each on its own connection, that have reached their targets."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(front.port)) for _ in range(count)]
        for client in clients:
            client.request()
        targets = front.app._gateway.snapshot.upstreams["u"].targets
        front.until(lambda: sum(target.in_flight for target in targets) == count)
        yield clients


# ---------------------------------------------------------------- requests in flight


@on_both
def test_beyond_the_limit_of_every_target_a_request_is_refused_at_once(entrance: Entrance) -> None:
    with guarded(gated(), gated(), entrance=entrance, max_requests=2) as (front, servers):
        with waiting(front, 4) as clients:
            assert [front.target(index, "u").in_flight for index in (0, 1)] == [2, 2]
            answer = get(front.port)
            assert (answer.status, answer.get("retry-after")) == (503, b"1")
            assert answer.get("proxy-status") == b"gateway; error=connection_limit_reached"
            for server in servers:
                server.event("go").set()
            assert [client.read().status for client in clients] == [200] * 4
        assert get(front.port).status == 200
        assert sum(len(server.requests) for server in servers) == 5


def test_a_target_at_its_limit_is_passed_over() -> None:
    with guarded(gated(), respond(200, b"free"), balance="first", max_requests=1) as (front, servers):
        with waiting(front, 1):
            assert [get(front.port).body for _ in range(3)] == [b"free"] * 3
            servers[0].event("go").set()


@on_both
def test_a_full_queue_is_refused_at_once_and_says_when_to_come_back(entrance: Entrance) -> None:
    with guarded(gated(), entrance=entrance, max_connections=1, max_pending=1) as (front, servers):
        with waiting(front, 2):
            answer = get(front.port)
            assert (answer.status, answer.get("retry-after")) == (503, b"1")
            servers[0].event("go").set()


def test_a_local_app_has_a_limit_too() -> None:
    probe.reset()
    upstream = {"targets": ["asgi://support.local_apps:probe"], "max_requests": 1}
    with gateway({"upstreams": {"u": upstream}, "routes": [{"path": "/*", "upstream": "u"}]}) as front:
        with connected(front.port) as client:
            client.request("/wait")
            probe.wait("waiting")
            assert get(front.port, "/early").status == 503
        front.until(lambda: front.target(0, "u").in_flight == 0)
        assert get(front.port, "/early").status == 200


# ---------------------------------------------------------------- circuits


@on_both
def test_a_circuit_opens_refuses_at_once_and_closes_by_one_request_that_tries(
    entrance: Entrance, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.health")
    with guarded(respond(503, b"ill"), entrance=entrance, circuit_breaker=BREAKER) as (front, servers):
        assert [get(front.port).body for _ in range(4)] == [b"ill"] * 4
        answer = get(front.port)
        assert (answer.status, answer.get("retry-after")) == (503, b"1")
        assert answer.get("proxy-status") == b"gateway; error=destination_unavailable"
        assert len(servers[0].requests) == 4
        servers[0].script[:] = [respond(200, b"well")]
        breaker = front.app._gateway.snapshot.upstreams["u"].guard.breaker
        front.until(lambda: front.loop.time() >= breaker.open_until)
        assert [get(front.port).body for _ in range(3)] == [b"well"] * 3
        assert [record.message for record in caplog.records] == ["circuit opened", "circuit closed"]


def test_while_one_request_tries_the_others_are_refused() -> None:
    with guarded(reset(), circuit_breaker=BREAKER) as (front, servers):
        assert [get(front.port).status for _ in range(4)] == [502] * 4
        servers[0].script[:] = [gated()]
        breaker = front.app._gateway.snapshot.upstreams["u"].guard.breaker
        front.until(lambda: front.loop.time() >= breaker.open_until)
        with waiting(front, 1) as (client,):
            assert get(front.port).status == 503
            servers[0].event("go").set()
            assert client.read().status == 200
        assert get(front.port).status == 200


def test_a_circuit_opens_again_when_the_one_that_tries_fails() -> None:
    with guarded(reset(), circuit_breaker=BREAKER) as (front, servers):
        for _ in range(4):
            get(front.port)
        breaker = front.app._gateway.snapshot.upstreams["u"].guard.breaker
        front.until(lambda: front.loop.time() >= breaker.open_until)
        assert [get(front.port).status for _ in range(3)] == [502, 503, 503]
        assert len(servers[0].requests) == 5


def test_another_request_tries_when_the_first_ones_client_has_left() -> None:
    with guarded(reset(), circuit_breaker=BREAKER) as (front, servers):
        for _ in range(4):
            get(front.port)
        servers[0].script[:] = [hang(), respond(200, b"well")]
        breaker = front.app._gateway.snapshot.upstreams["u"].guard.breaker
        front.until(lambda: front.loop.time() >= breaker.open_until)
        with waiting(front, 1):
            servers[0].wait("hanging")
        servers[0].wait("hanging gone")
        front.until(lambda: front.target(0, "u").in_flight == 0)
        assert get(front.port).body == b"well"


def test_a_few_failures_open_no_circuit() -> None:
    with guarded(respond(), circuit_breaker={**BREAKER, "min_requests": 8}) as (front, servers):
        servers[0].script[:] = [respond(503), respond(200), respond(200)] * 10
        assert [get(front.port).status for _ in range(30)].count(503) == 10
        assert len(servers[0].requests) == 30


# ---------------------------------------------------------------- limits that are found


class Workshop:
    """An origin that works on so many requests at a time; what is more only waits in it."""

    def __init__(self, places: int, seconds: float) -> None:
        self.places = places
        self.seconds = seconds
        self.semaphore: asyncio.Semaphore | None = None
        self.inside = 0
        self.most = 0

    async def step(self, visit: Visit) -> None:
        await visit.read_body()
        if self.semaphore is None:
            self.semaphore = asyncio.Semaphore(self.places)
        self.inside += 1
        self.most = max(self.most, self.inside)
        async with self.semaphore:
            await asyncio.sleep(self.seconds)
        self.inside -= 1
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def test_under_ten_times_the_load_work_goes_on_and_the_excess_is_refused_at_once() -> None:
    """40 clients that never pause, before an origin with 4 places of 20 ms: 200 requests a second at most."""
    shop = Workshop(4, 0.02)
    seconds = 4.0
    adaptive = {"initial": 10, "min": 1}
    with guarded(shop.step, adaptive_concurrency=adaptive) as (front, _):
        began = time.monotonic()
        results: list[tuple[int, float, float]] = []

        def client() -> None:
            with connected(front.port) as mine:
                while (start := time.monotonic()) < began + seconds:
                    status = mine.get().status
                    now = time.monotonic()
                    results.append((status, now - start, now - began))
                    if status != 200:
                        time.sleep(0.05)  # a client that is refused waits a little

        threads = [threading.Thread(target=client) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        late = [result for result in results if result[2] >= 2]
        served = [result for result in late if result[0] == 200]
        refused = [result for result in late if result[0] == 503]
        assert len(served) + len(refused) == len(late)
        assert front.target(0, "u").max_in_flight <= 12
        assert len(refused) > len(served) / 10
        assert statistics.median(took for _, took, _ in refused) <= statistics.median(took for _, took, _ in served)
        assert statistics.median(took for _, took, _ in served) <= 0.1  # without limits it is 0.2: ten times 20 ms


# ---------------------------------------------------------------- several workers


async def half(visit: Visit) -> None:
    """Begin an answer, and end it when the event `go` has happened."""
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha")
    await visit.server.waited("go")
    await visit.send(b"lf")


def begun(port: int, stack: ExitStack, count: int) -> list[int]:
    """The statuses of so many requests, each on a connection of its own, that begin one after the other and do not end."""
    statuses = []
    for client in [stack.enter_context(connected(port)) for _ in range(count)]:
        client.request()
        statuses.append(client.read_head().status)
    return statuses


def test_the_limit_is_one_for_all_workers_and_what_dead_ones_had_is_free_again(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    with origin(half) as server:
        path.write_text(
            f'[server]\nlisten = "127.0.0.1:0"\nworkers = 2\n[upstreams.u]\ntargets = ["{server.url}"]\nmax_requests = 3\n'
            '[[routes]]\nupstream = "u"\n'
        )
        with running("gateway", "run", "-c", path) as process, ExitStack() as stack:
            process.wait_for("Application startup complete", 2)
            assert sorted(begun(process.port(), stack, 16)) == [200] * 3 + [503] * 13
            for worker in control_directory(path).sockets():
                os.kill(worker, signal.SIGKILL)
            process.wait_for("worker died", 2)
            process.wait_for("Application startup complete", 4)
            assert sorted(begun(process.port(), stack, 16)) == [200] * 3 + [503] * 13
            server.event("go").set()
