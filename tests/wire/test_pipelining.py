"""Requests that are sent before the answers of those before them (RFC 9112 section 9.3.2)."""

from __future__ import annotations

from support.client import connected
from support.origin import Visit, echo, respond
from support.serving import Pair

REQUEST = b"GET /%d HTTP/1.1\r\nHost: test\r\n\r\n"


def numbered() -> object:
    async def step(visit: Visit) -> None:
        await visit.read_body()
        body = visit.request.target
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    return step


def test_answers_come_in_the_order_of_the_requests(plain: Pair) -> None:
    plain.play(numbered())  # type: ignore[arg-type]
    with connected(plain.port) as client:
        client.send(b"".join(REQUEST % number for number in range(50)))
        assert [client.read().body for _ in range(50)] == [b"/%d" % number for number in range(50)]


def test_bodies_and_requests_are_told_apart(plain: Pair) -> None:
    plain.play(echo())
    with connected(plain.port) as client:
        client.send(
            b"POST /1 HTTP/1.1\r\nHost: test\r\nContent-Length: 30\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n "
            b"POST /2 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + REQUEST % 3
        )
        assert client.read().body == b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n "
        assert client.read().body == b"abc"
        assert client.read().status == 200
    assert [request.target for request in plain.origin.requests] == [b"/1", b"/2", b"/3"]


def test_many_more_than_are_read_ahead_are_all_answered(plain: Pair) -> None:
    plain.play(respond(200, b"x"))
    count = 2000
    request = REQUEST % 1 + b""
    with connected(plain.port) as client:
        client.sock.setblocking(False)
        client.sock.settimeout(20)
        import threading

        sender = threading.Thread(target=lambda: client.send(request * count))
        sender.start()
        for _ in range(count):
            assert client.read().body == b"x"
        sender.join()


def test_a_second_request_waits_until_the_first_is_answered(plain: Pair) -> None:
    async def slow(visit: Visit) -> None:
        visit.server.event("first").set()
        await visit.server.waited("go")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst")

    plain.play(slow, respond(200, b"second"))
    with connected(plain.port) as client:
        client.send(REQUEST % 1 + REQUEST % 2)
        plain.origin.wait("first")
        plain.origin.event("go").set()
        assert client.read().body == b"first"
        assert client.read().body == b"second"
    assert len(plain.origin.requests) == 2


def test_nothing_is_answered_behind_one_that_closes(plain: Pair) -> None:
    with connected(plain.port) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" + REQUEST % 2)
        assert client.read().status == 200
        assert client.closed()
    assert [request.target for request in plain.origin.requests] == [b"/1"]


def test_errors_keep_their_place_in_the_order(plain: Pair) -> None:
    with connected(plain.port) as client:
        client.send(REQUEST % 1 + b"TRACE /2 HTTP/1.1\r\nHost: test\r\n\r\n" + REQUEST % 3)
        assert [client.read().status for _ in range(3)] == [200, 405, 200]


def test_a_malformed_one_is_answered_behind_those_before_it(plain: Pair) -> None:
    plain.needs_http1("uvicorn closes at once, before the answers that are due")
    with connected(plain.port) as client:
        client.send(REQUEST % 1 + REQUEST % 2 + b"GET /3 HTTP/1.1\r\nHost : a\r\n\r\n" + REQUEST % 4)
        statuses = [client.read().status for _ in range(3)]
        assert statuses == [200, 200, 400]
        assert client.closed()
    assert [request.target for request in plain.origin.requests] == [b"/1", b"/2"]
