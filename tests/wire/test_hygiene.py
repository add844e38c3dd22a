"""No byte that belongs to one exchange reaches another (RFC 9112 section 9.2), and idle connections are bounded."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support.client import connected, get
from support.origin import Step, Visit, raw, respond
from support.serving import Pair, in_front, on_both

if TYPE_CHECKING:
    from support.serving import Entrance

POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"

SURPLUS = {
    "an answer more": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + POISON,
    "bytes behind a length": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!",
    "bytes behind chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + POISON,
    "a body of 204": b"HTTP/1.1 204 No Content\r\n\r\n" + POISON,
    "a body of 304": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 49\r\n\r\n" + POISON,
}


@pytest.mark.parametrize("case", SURPLUS)
def test_surplus_bytes_behind_an_answer_reach_nobody(plain: Pair, case: str) -> None:
    plain.play(raw(SURPLUS[case]), respond(200, b"clean"))
    with connected(plain.port) as client, connected(plain.port) as other:
        assert client.get("/first").body in (b"ok", b"")
        assert other.get("/second").body == b"clean"
        assert client.get("/third").body == b"clean"
    first, second, _ = plain.origin.requests
    assert first.connection != second.connection


def test_a_body_in_the_answer_to_head_reaches_nobody(plain: Pair) -> None:
    plain.play(raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(POISON), POISON)), respond(200, b"clean"))
    with connected(plain.port) as client:
        assert client.get(method="HEAD").all("content-length") == [b"%d" % len(POISON)]
        assert client.get().body == b"clean"
    assert plain.origin.requests[0].connection != plain.origin.requests[1].connection


def then(first: bytes, second: bytes) -> Step:
    """An answer, and when the test has seen it more bytes, on a connection that should be idle."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(first)
        await visit.server.waited("seen")
        await visit.send(second)
        await visit.closed()
        visit.server.event("closed").set()
        visit.close()

    return step


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_bytes_on_an_idle_connection_reach_nobody_and_close_it(plain: Pair, method: str) -> None:
    plain.play(then(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + b"ok" * (method == "GET"), POISON), respond(200, b"clean"))
    with connected(plain.port) as client:
        assert client.get(method=method).status == 200
        plain.origin.event("seen").set()
        plain.origin.wait("closed")
        assert client.get().body == b"clean"


def test_an_idle_connection_that_the_origin_closes_costs_nobody_a_request(plain: Pair) -> None:
    plain.play(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", close=True))
    with connected(plain.port) as client:
        for _ in range(3):
            assert client.get(method="POST").body == b"ok"
            plain.gateway.until(lambda: plain.gateway.target().open == 0)


@pytest.mark.parametrize("said", ["HTTP/1.1 200 OK\r\nconnection: close", "HTTP/1.0 200 OK"])
def test_a_connection_that_the_origin_will_close_is_not_used_again(plain: Pair, said: str) -> None:
    plain.play(raw(said.encode() + b"\r\ncontent-length: 2\r\n\r\nok"))
    with connected(plain.port) as client:
        for _ in range(2):
            assert client.get().body == b"ok"
    assert len({request.connection for request in plain.origin.requests}) == 2


def test_an_origin_of_http_1_0_may_keep_its_connection(plain: Pair) -> None:
    plain.play(raw(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok"))
    with connected(plain.port) as client:
        for _ in range(2):
            assert client.get().body == b"ok"
    assert len({request.connection for request in plain.origin.requests}) == 1


# ---------------------------------------------------------------- how many are kept, and how long


def together(count: int) -> Step:
    """Answer when so many requests are there, so that they need a connection each."""

    async def step(visit: Visit) -> None:
        if len(visit.server.requests) == count:
            visit.server.event("all").set()
        await visit.server.waited("all")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    return step


@on_both
def test_no_more_idle_connections_are_kept_than_is_said(entrance: Entrance) -> None:
    with in_front(entrance, together(5), keepalive={"connections": 2}) as pair, ExitStack() as stack:
        clients = [stack.enter_context(connected(pair.port)) for _ in range(5)]
        for client in clients:
            client.request()
        for client in clients:
            assert client.read().body == b"ok"
        target = pair.gateway.target()
        pair.gateway.until(lambda: (target.open, len(target._idle)) == (2, 2))
        for _ in range(4):
            assert clients[0].get().body == b"ok"
        assert pair.origin.connections == 5, "idle connections are used again"


@on_both
def test_no_idle_connection_may_be_kept_at_all(entrance: Entrance) -> None:
    with in_front(entrance, keepalive={"connections": 0}) as pair, connected(pair.port) as client:
        for _ in range(3):
            assert client.get().body == b"ok"
        assert pair.origin.connections == 3


@on_both
def test_an_idle_connection_is_closed_in_time(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await visit.closed()
        visit.server.event("closed").set()

    with in_front(entrance, step, keepalive={"timeout": "100ms"}) as pair:
        assert get(pair.port).body == b"ok"
        pair.origin.wait("closed")
        pair.gateway.until(lambda: pair.gateway.target().open == 0)


@on_both
def test_a_connection_that_closes_as_it_is_passed_on_costs_nobody_a_request(entrance: Entrance) -> None:
    """Whoever waits for a connection is given the one that has just come free, and its close may come with it."""

    async def closing(visit: Visit) -> None:
        await visit.server.waited("all wait")
        visit.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        visit.close()

    with in_front(entrance, closing, max_connections=1) as pair, ExitStack() as stack:
        clients = [stack.enter_context(connected(pair.port)) for _ in range(20)]
        for client in clients:
            client.request()
        pair.gateway.until(lambda: pair.gateway.target().in_flight == len(clients))
        pair.origin.event("all wait").set()
        assert [client.read().status for client in clients] == [200] * len(clients)


# ---------------------------------------------------------------- places that must come back


@on_both
def test_an_early_answer_to_an_upload_that_nobody_reads_gives_its_place_back(entrance: Entrance) -> None:
    """What is still to be sent to such an origin would keep its connection open for ever."""

    async def step(visit: Visit) -> None:
        visit.writer.transport.pause_reading()
        await visit.server.waited("full")
        await visit.send(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
        await visit.server.waited("for ever")

    options = {"server": {"limits": {"max_body": "100MiB"}}}
    with in_front(entrance, step, **options) as pair, connected(pair.port) as client:
        target = pair.gateway.target()
        client.request("/", f"Content-Length: {64 << 20}", method="POST")
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                client.sock.send(bytes(1 << 16))
        client.sock.settimeout(20)
        pair.origin.event("full").set()
        assert client.read().body == b"busy"
        pair.gateway.until(lambda: target.open == 0)
        pair.origin.event("for ever").set()


@on_both
def test_exchanges_that_run_out_of_time_take_no_place_for_good(entrance: Entrance) -> None:
    """Their time ends at any moment: while they wait for a connection, as they are given one, while it is used."""
    with in_front(entrance, max_connections=2, timeouts={"total": "12ms"}) as pair, ExitStack() as stack:
        target = pair.gateway.target()
        clients = [stack.enter_context(connected(pair.port)) for _ in range(60)]
        statuses = set()
        for _ in range(10):
            for client in clients:
                client.request()
            statuses |= {client.read().status for client in clients}
        assert statuses <= {200, 504}
        pair.gateway.until(lambda: target.in_flight == 0)
        pair.gateway.until(lambda: target.open == len(target._idle) == len(target.connections))
        assert len(target._waiting) == 0
