"""What goes to another target after an attempt that failed or was answered badly, and what does not."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.client import connected, get
from support.origin import Origin, Step, Visit, echo, hang, origin, raw, reset, respond
from support.serving import gateway, on_both
from support.websocket import handshake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.serving import Entrance, Served

ALL = ["connect", "refused", "timeout", "invalid", "502", "503", "504"]


@contextmanager
def targets(*steps: Step, entrance: Entrance = "express", retry: Any = True, **options: Any) -> Iterator[tuple[Served, list[Origin]]]:
    """A gateway before one origin for each step; they are tried in this order, and nobody is ejected."""
    with ExitStack() as stack:
        servers = [stack.enter_context(origin(step)) for step in steps]
        upstream = {"targets": [server.url for server in servers], "balance": "first", "passive": False, "retry": retry, **options}
        front = stack.enter_context(gateway({"upstreams": {"u": upstream}, "routes": [{"path": "/*", "upstream": "u"}]}, entrance))
        yield front, servers


def wait(front: Served, seconds: float) -> None:
    """Until so much of the gateway's time has passed: what must not happen has no event."""
    began = front.loop.time()
    front.until(lambda: front.loop.time() - began > seconds)


def asked(servers: list[Origin]) -> list[int]:
    return [len(server.requests) for server in servers]


def closing() -> Step:
    async def step(visit: Visit) -> None:
        await visit.read_body()
        visit.close()

    return step


def released_by(server: Origin, name: str) -> Step:
    """Answer when the event of that server has happened."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        await server.waited(name)
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    return step


FAULTS = [
    pytest.param(closing(), id="closed"),
    pytest.param(reset(), id="reset"),
    pytest.param(respond(502, b"bad"), id="502"),
    pytest.param(respond(503, b"bad"), id="503"),
    pytest.param(respond(504, b"x" * 200_000), id="504, long"),
    pytest.param(raw(b"not http at all\r\n\r\n", close=True), id="not http"),
    pytest.param(raw(b"HTTP/1.1 200 OK\r\ncontent-le", close=True), id="half a head"),
    pytest.param(hang(), id="silent"),
]


@on_both
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_another_target_answers_in_place_of_one_that_fails(entrance: Entrance, fault: Step, method: str) -> None:
    body = b"x" * 1000 if method == "PUT" else b""
    with targets(fault, echo(), entrance=entrance, retry={"on": ALL}, timeouts={"first_byte": "200ms"}) as (front, servers):
        answer = get(front.port, method=method, body=body)
        assert (answer.status, answer.body) == (200, body)
        assert asked(servers) == [1, 1]
        front.until(lambda: [front.target(index, "u").in_flight for index in (0, 1)] == [0, 0])
        assert front.target(0, "u").failures == 1


@on_both
@pytest.mark.parametrize("fault", FAULTS)
def test_a_post_is_never_sent_twice(entrance: Entrance, fault: Step) -> None:
    with targets(fault, echo(), entrance=entrance, retry={"on": ALL}, timeouts={"first_byte": "200ms"}) as (front, servers):
        assert get(front.port, method="POST", body=b"once").status in (502, 503, 504)
        assert asked(servers) == [1, 0]


@on_both
@pytest.mark.parametrize("fault", FAULTS)
def test_without_retry_each_request_is_sent_once(entrance: Entrance, fault: Step) -> None:
    with targets(fault, echo(), entrance=entrance, retry=False, timeouts={"first_byte": "200ms"}) as (front, servers):
        assert get(front.port).status in (502, 503, 504)
        assert asked(servers) == [1, 0]


@pytest.mark.parametrize("fault", [raw(b"not http at all\r\n\r\n", close=True), hang(), respond(500)])
def test_what_is_not_listed_is_not_repeated(fault: Step) -> None:
    with targets(fault, echo(), timeouts={"first_byte": "200ms"}) as (front, servers):
        assert get(front.port).status in (500, 502, 504)
        assert asked(servers) == [1, 0]


def test_the_last_answer_is_passed_on_whatever_it_is() -> None:
    with targets(respond(503, b"one"), respond(503, b"two"), respond(503, b"three"), retry={"retries": 5}) as (front, servers):
        answer = get(front.port)
        assert (answer.status, answer.body) == (503, b"three")
        assert asked(servers) == [1, 1, 1]


def test_no_more_than_the_retries_are_made() -> None:
    with targets(respond(503, b"one"), respond(503, b"two"), respond(200), retry={"retries": 1}) as (front, servers):
        assert get(front.port).body == b"two"
        assert asked(servers) == [1, 1, 0]


def test_a_lone_target_is_not_asked_again() -> None:
    with targets(respond(503, b"busy")) as (front, servers):
        assert get(front.port).body == b"busy"
        assert asked(servers) == [1]


def test_an_answer_that_the_client_has_seen_is_not_repeated() -> None:
    cut = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 50_000, close=True)
    with targets(cut, echo(), retry={"on": ALL}) as (front, servers):
        assert not get(front.port).complete
        assert asked(servers) == [1, 0]


def test_a_body_that_is_too_long_to_keep_is_not_sent_again() -> None:
    with targets(respond(503, b"busy"), echo()) as (front, servers):
        assert get(front.port, method="PUT", body=bytes(200_000)).status == 503
        assert asked(servers) == [1, 0]


def test_the_budget_ends_the_retries_and_not_the_requests() -> None:
    with targets(respond(503, b"busy"), echo(), retry={"budget": "10%", "min_per_second": 2, "backoff": "0s"}) as (front, servers):
        statuses = [get(front.port).status for _ in range(30)]
        assert statuses[:2] == [200, 200]
        assert 503 in statuses
        assert asked(servers)[0] == 30
        assert asked(servers)[1] == statuses.count(200) <= 2 + 0.1 * 60 + 2 * 5


def test_an_attempt_that_another_may_follow_has_less_time() -> None:
    retry = {"on": ["timeout"], "per_try_timeout": "100ms", "retries": 1}
    with targets(hang("first"), respond(), retry=retry) as (front, servers):
        servers[1].script[:] = [released_by(servers[1], "late")]
        with connected(front.port) as client:
            client.request()
            servers[0].wait("first gone")
            front.until(lambda: servers[1].requests)
            wait(front, 0.25)
            servers[1].event("late").set()
            assert client.read().status == 200  # the last attempt has all the time
        assert asked(servers) == [1, 1]


def test_a_post_has_all_the_time() -> None:
    retry = {"on": ["timeout"], "per_try_timeout": "50ms"}
    with targets(respond(), echo(), retry=retry) as (front, servers):
        servers[0].script[:] = [released_by(servers[0], "late")]
        with connected(front.port) as client:
            client.request(method="POST", body=b"x")
            front.until(lambda: servers[0].requests)
            wait(front, 0.25)
            servers[0].event("late").set()
            assert client.read().status == 200
        assert asked(servers) == [1, 0]


@on_both
def test_a_websocket_handshake_goes_to_the_next_target(entrance: Entrance) -> None:
    with targets(reset(), respond(403, b"no"), entrance=entrance) as (front, servers):
        with connected(front.port) as client:
            client.send(handshake())
            assert client.read().status == 403
        assert asked(servers) == [1, 1]


def test_a_retry_is_counted_for_its_target() -> None:
    with targets(respond(503), echo()) as (front, servers):
        get(front.port)
        metrics = {metric.name: metric.samples for metric in front.app._gateway.snapshot.counters.collect()}
        assert metrics["gateway_upstream_retries_total"] == {("u", servers[1].url.removeprefix("http://")): 1}
