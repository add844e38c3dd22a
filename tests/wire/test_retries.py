"""What is asked again when a target fails, and what never is (RFC 9110 section 9.2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.client import connected, get
from support.origin import Step, Visit, echo, nobody, origin, reset, respond
from support.serving import Pair, gateway, in_front, on_both

if TYPE_CHECKING:
    from support.serving import Entrance


def stale() -> Step:
    """Take the request on a connection that was used before, and close it without a byte of an answer."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        visit.close()

    return step


def primed(pair: Pair, *script: Step) -> None:
    """Leave one idle connection behind, then play the script."""
    assert get(pair.port).body == b"ok"
    pair.gateway.until(lambda: len(pair.gateway.target()._idle) == 1)
    pair.play(*script)


@on_both
@pytest.mark.parametrize("fault", [stale, reset])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT"])
def test_a_request_on_a_stale_connection_is_asked_once_more(entrance: Entrance, method: str, fault: type[object]) -> None:
    with in_front(entrance) as pair:
        primed(pair, fault(), echo())  # type: ignore[arg-type]
        body = b"again" if method == "PUT" else b""
        answer = get(pair.port, "/x", method=method, body=body)
        assert (answer.status, answer.body) == (200, body)
        assert [request.target for request in pair.origin.requests] == [b"/x", b"/x"]
        first, second = pair.origin.requests
        assert first.connection != second.connection


@on_both
def test_a_chunked_put_is_repeated_with_its_body(entrance: Entrance) -> None:
    with in_front(entrance) as pair, connected(pair.port) as client:
        primed(pair, stale(), echo())
        client.request("/", "Transfer-Encoding: chunked", method="PUT", body=b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert client.read().body == b"hello world"


@on_both
@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPFIND"])
def test_a_method_that_is_not_idempotent_is_never_sent_twice(entrance: Entrance, method: str) -> None:
    with in_front(entrance) as pair:
        primed(pair, stale(), respond(200, b"twice"))
        assert get(pair.port, method=method).status == 502
        assert len(pair.origin.requests) == 1


@on_both
def test_a_body_that_is_too_long_to_keep_is_not_repeated(entrance: Entrance) -> None:
    with in_front(entrance) as pair:
        primed(pair, stale(), respond(200, b"twice"))
        assert get(pair.port, method="PUT", body=bytes(200_000)).status == 502
        assert len(pair.origin.requests) == 1


@on_both
def test_a_fresh_connection_that_dies_is_not_asked_again(entrance: Entrance) -> None:
    with in_front(entrance, stale(), respond(200, b"twice")) as pair:
        assert get(pair.port).status == 502
        assert len(pair.origin.requests) == 1


@on_both
def test_an_answer_that_has_begun_is_not_asked_for_again(entrance: Entrance) -> None:
    async def half(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-")
        visit.close()

    with in_front(entrance) as pair:
        primed(pair, half, respond(200, b"twice"))
        assert get(pair.port).status == 502
        assert len(pair.origin.requests) == 1


@on_both
def test_every_stale_connection_is_left_behind_by_the_first_repeat(entrance: Entrance) -> None:
    with in_front(entrance) as pair:
        with connected(pair.port) as one, connected(pair.port) as two:
            pair.play(waiting(2))
            one.request()
            two.request()
            assert one.read().body == two.read().body == b"ok"
        pair.gateway.until(lambda: len(pair.gateway.target()._idle) == 2)
        pair.play(stale(), respond(200, b"fresh"))
        assert get(pair.port).body == b"fresh"
        assert len(pair.origin.requests) == 2


def waiting(count: int) -> Step:
    async def step(visit: Visit) -> None:
        if len(visit.server.requests) == count:
            visit.server.event("all").set()
        await visit.server.waited("all")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    return step


@on_both
def test_targets_that_refuse_are_passed_over_with_the_body_whole(entrance: Entrance) -> None:
    with nobody() as first, nobody() as second, origin(echo()) as server:
        options = {"upstreams": {"u": {"targets": [first, second, server.url]}}, "routes": [{"path": "/*", "upstream": "u"}]}
        with gateway(options, entrance) as front:
            for _ in range(3):
                assert get(front.port, method="POST", body=b"x" * 100_000).body == b"x" * 100_000
            assert front.target(0, "u").failures + front.target(1, "u").failures >= 3
            assert [front.target(index, "u").in_flight for index in range(3)] == [0, 0, 0]


@on_both
def test_the_last_error_is_told_where_all_targets_refuse(entrance: Entrance) -> None:
    with nobody() as first, nobody() as second:
        options = {"upstreams": {"u": {"targets": [first, second]}}, "routes": [{"path": "/*", "upstream": "u"}]}
        with gateway(options, entrance) as front:
            answer = get(front.port)
            assert (answer.status, answer.get("proxy-status")) == (502, b"gateway; error=connection_refused")


def hinting() -> Step:
    """Send an interim answer, and close without a final one."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")
        visit.close()

    return step


@on_both
def test_a_target_that_had_begun_to_answer_is_not_asked_again(entrance: Entrance) -> None:
    with in_front(entrance) as pair:
        primed(pair, hinting(), respond(200, b"second"))
        assert get(pair.port).status == 502
        assert len(pair.origin.requests) == 1  # after `primed`
