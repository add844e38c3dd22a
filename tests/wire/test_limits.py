"""What is not borne of clients: bodies, targets and heads over their limits, and requests that are none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.client import connected, get
from support.origin import Visit, echo, origin
from support.serving import Pair, forwarding, gateway, in_front, on_both

if TYPE_CHECKING:
    from support.serving import Entrance

LIMITS = {"limits": {"max_body": 1000, "max_headers": 20, "max_header_size": 2000, "max_target_size": 500}}


@on_both
def test_a_length_over_the_limit_is_413_before_a_byte_of_the_body(entrance: Entrance) -> None:
    with in_front(entrance, server=LIMITS) as pair, connected(pair.port) as client:
        client.request("/", "Content-Length: 1001", method="POST")
        answer = client.read()
        assert (answer.status, answer.complete) == (413, True)
        assert json.loads(answer.body)["title"] == "Content Too Large"
        assert not pair.origin.requests


@on_both
def test_a_body_that_waits_for_100_is_refused_without_it(entrance: Entrance) -> None:
    with in_front(entrance, server=LIMITS) as pair, connected(pair.port) as client:
        client.request("/", "Content-Length: 1001", "Expect: 100-continue", method="POST")
        assert client.read().status == 413
        assert not client.interims


@on_both
def test_chunks_over_the_limit_are_413_and_no_whole_request(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        await visit.read_body()
        visit.server.event("over").set()

    with in_front(entrance, step, server=LIMITS) as pair, connected(pair.port) as client:
        client.request("/", "Transfer-Encoding: chunked", method="POST")
        client.send(b"1f4\r\n" + bytes(500) + b"\r\n")
        client.send(b"1f5\r\n" + bytes(501) + b"\r\n0\r\n\r\n")
        assert client.read().status == 413
        pair.origin.wait("over")
        assert not pair.origin.requests[0].complete


@on_both
def test_a_body_at_the_limit_goes_on(entrance: Entrance) -> None:
    with in_front(entrance, echo(), server=LIMITS) as pair, connected(pair.port) as client:
        assert client.get(method="POST", body=bytes(1000)).body == bytes(1000)
        client.request("/", "Transfer-Encoding: chunked", method="POST", body=b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n")
        assert client.read().body == bytes(1000)


@on_both
def test_a_route_may_have_a_limit_of_its_own(entrance: Entrance) -> None:
    with origin(echo()) as server:
        options = forwarding(server.url, server=LIMITS)
        options["routes"].insert(0, {"name": "large", "path": "/large", "upstream": "origin", "max_body": 5000})
        with gateway(options, entrance) as front:
            assert get(front.port, "/large", method="POST", body=bytes(5000)).status == 200
            assert get(front.port, "/large", method="POST", body=bytes(5001)).status == 413
            assert get(front.port, "/small", method="POST", body=bytes(5000)).status == 413


@on_both
@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        ("/" + "a" * 499, [], 200),
        ("/" + "a" * 501, [], 414),
        ("/?" + "a" * 501, [], 414),
        ("/", ["X-A: 1"] * 19, 200),
        ("/", ["X-A: 1"] * 20, 431),
        ("/", ["X-A: " + "a" * 1800], 200),
        ("/", ["X-A: " + "a" * 2100], 431),
        ("/", ["X-A: " + "a" * 120] * 18, 431),
    ],
    ids=["target at", "target over", "query over", "fields at", "fields over", "field at", "field over", "total over"],
)
def test_a_head_has_its_limits(entrance: Entrance, target: str, fields: list[str], status: int) -> None:
    with in_front(entrance, server=LIMITS) as pair:
        answer = get(pair.port, target, *fields)
        assert (answer.status, answer.complete) == (status, True)
        assert len(pair.origin.requests) == (status == 200)


@on_both
def test_what_usual_clients_send_is_within_the_defaults(entrance: Entrance) -> None:
    with in_front(entrance) as pair:
        assert get(pair.port, "/" + "a" * 8000, "Cookie: " + "c" * 8000, *["X-A: 1"] * 80).status == 200


@on_both
def test_a_head_of_megabytes_is_cut_off(entrance: Entrance) -> None:
    with in_front(entrance) as pair, connected(pair.port) as client:
        if entrance == "asgi":
            pair.needs_http1("uvicorn reads heads of any size before the app sees them")
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n")
        try:
            for _ in range(4000):
                client.send(b"X-A: " + b"a" * 1000 + b"\r\n")
        except ConnectionError:
            return
        assert client.read().status == 431


# ---------------------------------------------------------------- what is no request

MALFORMED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a user in the host": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "a path in the host": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a list of hosts": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "length and coding": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a length with a sign": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
    "a length with letters": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1a\r\n\r\na", 400),
    "chunked twice": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", None),
    "another coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", None),
    "a coding before chunked": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", None),
    "a coding in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "a folded field": (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n", 400),
    "NUL": (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: \0\r\n\r\n", 400),
    "a bare CR": (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", 400),
    "a name that is none": (b"GET / HTTP/1.1\r\nHost: a\r\nX(A: 1\r\n\r\n", 400),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a tab in the request line": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a fragment": (b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a backslash": (b"GET /\\a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no slash": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "garbage": (b"what is this\r\n\r\n", 400),
}
ONLY_HTTP1 = {
    "a fragment": "uvicorn's parser cuts it off",
    "HTTP/0.9": "uvicorn's parser takes it, and waits",
    "bytes": "",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_request_is_refused_and_goes_nowhere(plain: Pair, case: str) -> None:
    data, status = MALFORMED[case]
    if case in ONLY_HTTP1:
        plain.needs_http1(ONLY_HTTP1[case])
    with connected(plain.port) as client:
        client.send(data)
        answer = client.read()
        assert answer.status == status or (status is None and answer.status in (400, 501))
    assert not plain.origin.requests


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "chunks",
    [b"0x5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"-1\r\n", b"5\nhello\n0\n\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"fffffffffffffffff\r\n"],
)
def test_chunks_that_are_none_end_the_connection(plain: Pair, chunks: bytes) -> None:
    async def step(visit: Visit) -> None:
        await visit.read_body()

    plain.play(step)
    with connected(plain.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
        answer = client.read()
        assert answer.status == 400
        assert client.closed()
    assert b"/smuggled" not in [request.target for request in plain.origin.requests]
    assert not any(request.complete for request in plain.origin.requests)


def test_what_follows_a_refused_request_is_not_read_as_another(plain: Pair) -> None:
    with connected(plain.port) as client:
        client.send(b"POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED)
        assert client.read().status == 400
        assert client.closed()
    assert not {b"/two", b"/smuggled"} & {request.target for request in plain.origin.requests}


def test_more_clients_than_are_allowed_are_told_so() -> None:
    """Under another server that is its own to limit."""
    with in_front("express", server={"limits": {"max_connections": 2}}) as pair:
        with connected(pair.port) as first, connected(pair.port) as second:
            assert first.get().status == second.get().status == 200
            with connected(pair.port) as third:
                assert third.read().status == 503
                assert third.closed()
            assert first.get().status == 200
        pair.gateway.until(lambda: not pair.gateway.server.server_state.connections)
        assert get(pair.port).status == 200
