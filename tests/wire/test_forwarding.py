"""A request reaches the origin, and its answer the client, as they were sent (RFC 9110 sections 7.6 and 9, RFC 9112)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from support.client import Answer, connected, get
from support.origin import Step, Visit, origin, raw, respond
from support.serving import Pair, gateway, in_front, on_both

if TYPE_CHECKING:
    from support.serving import Entrance


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH", "PROPFIND", "get"])
def test_a_method_goes_on_as_it_is(plain: Pair, method: str) -> None:
    if method == "get":
        plain.needs_http1("uvicorn's parser knows only registered methods in capitals")
    answer, received = plain.ask("/", method=method, step=respond(200, b"done"))
    assert (answer.status, answer.body) == (200, b"done")
    assert received.method == method.encode()


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_a_method_that_no_reverse_proxy_serves_is_refused(plain: Pair, method: str) -> None:
    target = "test:443" if method == "CONNECT" else "/"
    assert get(plain.port, target, method=method).status in (400, 405)
    assert not plain.origin.requests


TARGETS = [
    "/",
    "/a%2Fb",
    "/a%2fb",
    "/%7Euser/~user",
    "//host/x",
    "/a//b",
    "/a;v=1;w",
    "/it's(*)!$&,=:@",
    "/?q=%20+&&x",
    "/a?b?c",
    "/..%2f..%2fetc",
    "/%",
    "/%zz",
    "/q?x=[1]{2}|3",
    "/" + "a" * 8000,
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:20])
def test_a_target_goes_on_byte_for_byte(plain: Pair, target: str) -> None:
    answer, received = plain.ask(target)
    assert answer.status == 200
    assert received.target == target.encode()


def test_bytes_beyond_ascii_in_a_target_are_kept(plain: Pair) -> None:
    plain.needs_http1("uvicorn's parser refuses them")
    _, received = plain.ask("/caf\xe9")
    assert received.target == b"/caf\xe9"


def test_an_empty_query_is_kept(plain: Pair) -> None:
    plain.needs_http1("ASGI cannot tell an empty query from none")
    _, received = plain.ask("/a?")
    assert received.target == b"/a?"


def test_an_absolute_target_replaces_the_host(plain: Pair) -> None:
    plain.needs_http1("uvicorn passes only the path of an absolute target on, not its authority")
    _, received = plain.ask("http://other:81/x?y", "Host: test")
    assert (received.target, received.all("host")) == (b"/x?y", [b"other:81"])


def test_options_of_the_whole_server_goes_on(plain: Pair) -> None:
    answer, received = plain.ask("*", method="OPTIONS")
    assert (answer.status, received.target) == (200, b"*")


def test_fields_keep_their_order_their_duplicates_and_their_bytes(plain: Pair) -> None:
    sent = ["X-A: 1", "X-B: caf\xe9 \xff", "X-A: 2", "X-Empty:", 'X-Quoted: "a, b"', "X-A: 1", "Cookie: a=1", "Cookie: b=2"]
    _, received = plain.ask("/", *sent)
    ours = [pair for pair in received.fields if pair[0].startswith(b"x-") and not pair[0].startswith((b"x-f", b"x-r"))]
    expected = [(b"x-a", b"1"), (b"x-b", b"caf\xe9 \xff"), (b"x-a", b"2"), (b"x-empty", b""), (b"x-quoted", b'"a, b"'), (b"x-a", b"1")]
    assert [pair for pair in ours if pair[0] != b"x-request-id"] == expected
    assert received.all("cookie") == [b"a=1", b"b=2"]


def test_nothing_is_added_that_says_how_the_client_asks(plain: Pair) -> None:
    """No Accept, Accept-Encoding or User-Agent of ours: they would change what is negotiated."""
    _, received = plain.ask()
    assert {name for name, _ in received.fields} == {
        b"host", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip",
        b"forwarded", b"via", b"x-request-id",
    }  # fmt: skip


def test_an_answers_fields_keep_their_order_their_duplicates_and_their_bytes(plain: Pair) -> None:
    fields = ["X-A: 1", "X-B: caf\xe9", "X-A: 2", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2, c", "X-Empty:"]
    answer, _ = plain.ask(step=respond(200, b"", *fields))
    kept = [pair for pair in answer.fields if pair[0] in (b"x-a", b"x-b", b"set-cookie", b"x-empty")]
    expected = [(b"x-a", b"1"), (b"x-b", b"caf\xe9"), (b"x-a", b"2"), (b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2, c"), (b"x-empty", b"")]
    assert kept == expected


@pytest.mark.parametrize("status", [200, 201, 206, 226, 299, 301, 302, 307, 400, 401, 404, 409, 418, 451, 499, 500, 502, 503, 599])
def test_a_status_is_passed_on(plain: Pair, status: int) -> None:
    answer, _ = plain.ask(step=respond(status, b"body", "Location: /elsewhere"))
    assert (answer.status, answer.body, answer.get("location")) == (status, b"body", b"/elsewhere")


def test_date_and_server_are_the_origins_where_it_has_them(plain: Pair) -> None:
    answer, _ = plain.ask(step=respond(200, b"", "Date: Tue, 01 Jan 2030 00:00:00 GMT", "Server: origin/1"))
    assert answer.all("server") == [b"origin/1"]
    assert b"Tue, 01 Jan 2030 00:00:00 GMT" in answer.all("date")
    plain.needs_http1("uvicorn adds its own without looking, unless it is started with --no-date-header")
    assert len(answer.all("date")) == 1


def test_an_answer_has_a_date_where_the_origin_has_none(plain: Pair) -> None:
    answer, _ = plain.ask()
    assert len(answer.all("date")) == 1
    assert not answer.all("server")


HOP_BY_HOP = [
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic eDp5",
    "TE: gzip",
    "Trailer: X-Sum",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "Upgrade: h2c",
]


def test_hop_by_hop_fields_end_at_the_gateway(plain: Pair) -> None:
    connection = ["Connection: keep-alive, X-Private, , x-other", "Connection: Upgrade, HTTP2-Settings, TE"]
    _, received = plain.ask("/", *connection, *HOP_BY_HOP, "X-Private: 1", "X-Other: 2", "X-Public: 3")
    names = {name for name, _ in received.fields}
    assert b"x-public" in names
    hop = {field.partition(":")[0].lower().encode() for field in HOP_BY_HOP}
    assert not names & (hop | {b"connection", b"x-private", b"x-other", b"transfer-encoding"})


@pytest.mark.parametrize("named", ["Host", "Content-Length", "X-Forwarded-For", "X-Real-IP", "Via", "X-Request-ID"])
def test_a_client_cannot_take_away_what_frames_addresses_or_identifies(plain: Pair, named: str) -> None:
    _, received = plain.ask("/", f"Connection: close, {named}", method="POST", body=b"abc")
    assert received.get(named) is not None
    assert received.body == b"abc"


def test_hop_by_hop_fields_of_an_answer_end_at_the_gateway(plain: Pair) -> None:
    fields = [
        "Connection: X-Private, keep-alive", "Keep-Alive: timeout=5", "X-Private: 1", "Proxy-Authenticate: Basic", "Upgrade: h2c",
        "Proxy-Connection: keep-alive", "Trailer: X-Sum", "X-Public: 2",
    ]  # fmt: skip
    answer, _ = plain.ask(step=respond(200, b"x", *fields))
    names = {name for name, _ in answer.fields}
    assert b"x-public" in names
    assert not names & {b"connection", b"keep-alive", b"x-private", b"proxy-authenticate", b"upgrade", b"proxy-connection", b"trailer"}


def test_via_names_the_gateway_both_ways_behind_those_before_it(plain: Pair) -> None:
    answer, received = plain.ask("/", "Via: 1.0 first", "Via: 1.1 second", step=respond(200, b"", "Via: 1.1 cache"))
    assert received.all("via") == [b"1.0 first, 1.1 second, 1.1 gateway"]
    assert answer.all("via") == [b"1.1 cache, 1.1 gateway"]


def test_a_request_of_http_1_0_without_host_reaches_an_origin_with_one(plain: Pair) -> None:
    with connected(plain.port) as client:
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        answer = client.read()
        assert client.closed()
    assert (answer.status, answer.body) == (200, b"ok")
    received = plain.origin.requests[0]
    assert received.line == b"GET /old HTTP/1.1"
    assert received.all("host") == [f"127.0.0.1:{plain.origin.port}".encode()]


def test_a_client_of_http_1_0_may_keep_its_connection(plain: Pair) -> None:
    plain.needs_http1("uvicorn closes behind every answer to HTTP/1.0")
    with connected(plain.port) as client:
        for _ in range(2):
            answer = client.get("/", "Connection: keep-alive", version="1.0")
            assert (answer.status, answer.body) == (200, b"ok")


def test_a_connection_serves_many_requests(plain: Pair) -> None:
    with connected(plain.port) as client:
        for number in range(20):
            assert client.get(f"/{number}").body == b"ok"
    assert [request.target for request in plain.origin.requests] == [b"/%d" % number for number in range(20)]
    assert len({request.connection for request in plain.origin.requests}) == 1


def test_connection_close_ends_the_connection_behind_its_answer(plain: Pair) -> None:
    with connected(plain.port) as client:
        answer = client.get("/", "Connection: close")
        assert answer.complete
        assert answer.get("connection") == b"close"
        assert client.closed()


@on_both
def test_an_origin_on_a_unix_socket(entrance: Entrance, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("socket") / "s")
    options = {"upstreams": {"u": {"targets": [f"unix:{path}"]}}, "routes": [{"path": "/*", "upstream": "u"}]}
    with origin(respond(200, b"by file"), path=path) as server, gateway(options, entrance) as front:
        assert get(front.port).body == b"by file"
        assert server.requests[0].all("host") == [b"test"]


def test_empty_lines_before_a_request_are_ignored(plain: Pair) -> None:
    with connected(plain.port) as client:
        client.send(b"\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.read().status == 200


def test_a_request_that_comes_one_byte_at_a_time_is_understood(plain: Pair) -> None:
    with connected(plain.port) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc":
            client.send(bytes((byte,)))
        assert client.read().status == 200
    received = plain.origin.requests[0]
    assert (received.target, received.body) == (b"/slow", b"abc")


def in_pieces(data: bytes, size: int = 1) -> Step:
    async def step(visit: Visit) -> None:
        await visit.read_body()
        visit.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            await visit.send(data[start : start + size])

    return step


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: 1\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: 1\r\n\r\n2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\nx-t: 1\r\n\r\n",
    ],
    ids=["content-length", "chunked"],
)
def test_an_answer_that_comes_one_byte_at_a_time_is_understood(plain: Pair, data: bytes) -> None:
    plain.play(in_pieces(data))
    with connected(plain.port) as client:
        for _ in range(2):
            answer: Answer = client.get()
            assert (answer.complete, answer.body, answer.get("x-a")) == (True, b"hello", b"1")


def test_the_reason_of_an_origin_may_be_missing_or_empty(plain: Pair) -> None:
    for line in (b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xe9t\xe9"):
        answer, _ = plain.ask(step=raw(line + b"\r\ncontent-length: 1\r\n\r\na"))
        assert (answer.status, answer.body) == (200, b"a")


def test_an_answers_head_of_many_kilobytes_is_passed_on(plain: Pair) -> None:
    fields = [f"X-Large: {number}-{'a' * 4000}" for number in range(15)]
    answer, _ = plain.ask(step=respond(200, b"ok", *fields))
    assert [value[:3] for value in answer.all("x-large")] == [f"{number}-a"[:3].encode() for number in range(15)]
    assert answer.body == b"ok"


@on_both
def test_fields_are_edited_both_ways(entrance: Entrance) -> None:
    edits = {
        "request_headers": {"set": {"X-Set": "{client_ip}", "Authorization": "Basic eA=="}, "add": {"X-Add": "2"}, "remove": ["Cookie"]},
        "response_headers": {"set": {"Server": "gateway"}, "add": {"X-Route": "{route}"}, "remove": ["X-Powered-By"]},
    }
    with in_front(entrance, **edits) as pair:
        step = respond(200, b"", "Server: origin", "X-Powered-By: cgi", "X-Powered-By: perl")
        answer, received = pair.ask("/", "X-Set: 9", "X-Add: 1", "Cookie: a=1", "authorization: Bearer x", step=step)
    assert (received.all("x-set"), received.all("x-add"), received.all("cookie")) == ([b"127.0.0.1"], [b"1", b"2"], [])
    assert received.all("authorization") == [b"Basic eA=="]
    assert (answer.all("server"), answer.all("x-route"), answer.all("x-powered-by")) == ([b"gateway"], [b"all"], [])


@on_both
def test_who_may_not_come_in_goes_no_further(entrance: Entrance) -> None:
    with in_front(entrance, access={"deny": ["127.0.0.0/8"]}) as pair:
        answer = get(pair.port)
        assert (answer.status, answer.get("proxy-status")) == (403, b"gateway; error=http_request_denied")
        assert not pair.origin.requests
