"""A request as ASGI brings it, with and without our own protocol class below."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    BadRequest,
    GatewayError,
    HeaderTooLarge,
    TargetTooLong,
    UnsupportedCoding,
    VersionNotSupported,
)
from gateway.exchange import Exchange, Headers
from gateway.intake import body_length, read_query, read_scope, screen
from gateway.rfc.message import RequestHead, read_request_head
from gateway.server.settings import ServerSettings

HOST = (b"host", b"example.com")


class OnAConnection:
    """What our protocol class gives with a request."""

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self.on_gone = None


def a_scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http", "method": "GET", "path": "/a b", "raw_path": b"/a%20b", "query_string": b"", "headers": [HOST],
        "scheme": "https", "http_version": "1.1", "client": ("192.0.2.1", 4711), "server": ("10.0.0.1", 443), "root_path": "",
        **changes,
    }  # fmt: skip


def read(head: bytes | None = None, **changes: Any) -> Exchange:
    stream = None if head is None else OnAConnection(read_request_head(head))
    return read_scope(a_scope(**changes), stream, 5.0)  # type: ignore[arg-type]


def screened(**changes: Any) -> type[GatewayError] | None:
    try:
        screen(read(**changes), ServerSettings(max_headers=4, max_header_size=200, max_target_size=50))
    except GatewayError as error:
        return type(error)
    return None


# ---------------------------------------------------------------- the exchange


def test_a_scope_becomes_an_exchange_with_the_raw_path():
    exchange = read(query_string=b"a=%20")
    assert (exchange.method, exchange.path, exchange.query) == (b"GET", b"/a%20b", b"a=%20")
    assert (exchange.scheme, exchange.http_version, exchange.started_at) == (b"https", "1.1", 5.0)
    assert (exchange.peer, exchange.peer_port, exchange.client) == ("192.0.2.1", 4711, "192.0.2.1")
    assert (exchange.server, exchange.entrance, exchange.websocket) == (("10.0.0.1", 443), "asgi", False)


def test_white_space_that_a_server_left_behind_a_value_is_no_part_of_it():
    given = [(b"host", b"a \t"), (b"x-a", b""), (b"content-length", b"5 "), (b"x-b", b"a b")]
    exchange = read(headers=given)
    assert exchange.headers == [(b"host", b"a"), (b"x-a", b""), (b"content-length", b"5"), (b"x-b", b"a b")]
    assert body_length(exchange) == 5
    assert given[0] == (b"host", b"a \t")


@pytest.mark.parametrize("value", [b"b", b"b\n"])
def test_pairs_may_be_lists_as_some_servers_make_them(value: bytes):
    exchange = read(headers=[[b"host", b"a"], [b"x", value]])
    assert exchange.headers == [(b"host", b"a"), (b"x", value)]


def test_what_a_server_adds_to_its_list_later_is_no_field_of_the_request():
    """uvicorn puts the trailers of a request there."""
    given = [HOST]
    exchange = read(headers=given)
    given.append((b"authorization", b"later"))
    assert exchange.headers == [HOST]


def test_what_a_scope_may_leave_out_is_made_up():
    scope = a_scope(client=None, headers=((b"host", b"a"),))
    for key in ("raw_path", "query_string", "http_version", "root_path", "server"):
        del scope[key]
    exchange = read_scope(scope, None, 0.0)
    assert (exchange.path, exchange.query, exchange.http_version) == (b"/a%20b", None, "1.1")
    assert (exchange.peer, exchange.peer_port, exchange.server) == ("", 0, None)
    assert exchange.headers == [(b"host", b"a")]


@pytest.mark.parametrize(("scheme", "seen"), [("ws", b"http"), ("wss", b"https")])
def test_a_websocket_scope_is_a_get_of_its_http_scheme(scheme: str, seen: bytes):
    scope = a_scope(type="websocket", scheme=scheme)
    del scope["method"]
    exchange = read_scope(scope, None, 0.0)
    assert (exchange.method, exchange.scheme, exchange.websocket) == (b"GET", seen, True)


@pytest.mark.parametrize(
    ("root", "raw", "path", "mount"),
    [
        ("/gw", b"/gw/x%2F", b"/x%2F", b"/gw"),
        ("/gw", b"/gw", b"/", b"/gw"),
        ("/gw", b"/%67w/x", b"/x", b"/gw"),
        ("/g ü", b"/g%20%C3%BC/x", b"/x", b"/g%20%C3%BC"),
        ("/gw", b"/gwx", b"/gwx", b""),
        ("/gw", b"/x", b"/x", b""),
        ("", b"/x", b"/x", b""),
    ],
)
def test_the_mount_prefix_is_taken_off_at_a_slash(root: str, raw: bytes, path: bytes, mount: bytes):
    exchange = read(root_path=root, raw_path=raw)
    assert (exchange.path, exchange.mount) == (path, mount)


def test_an_empty_query_is_told_from_none_where_the_head_is_known():
    assert read(b"GET /a? HTTP/1.1\r\nHost: a").query == b""
    assert read(b"GET /a HTTP/1.1\r\nHost: a").query is None
    assert read_query({"query_string": b"a"}, None) == b"a"
    assert read_query({}, None) is None


def test_our_own_connection_knows_host_and_upgrade():
    upgrade = b"\r\nHost: b:1\r\nConnection: Upgrade\r\nUpgrade: websocket"
    exchange = read(b"GET / HTTP/1.1" + upgrade)
    assert (exchange.host, exchange.entrance, exchange.websocket) == (b"b:1", "http1", True)
    assert not read(b"POST / HTTP/1.1" + upgrade, method="POST").websocket


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("version", ["1.0", "1.1", "2", "3"])
def test_known_versions_pass(version: str):
    assert screened(http_version=version) is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"http_version": "0.9"}, VersionNotSupported),
        ({"http_version": "1.2"}, VersionNotSupported),
        ({"headers": [HOST] + [(b"a", b"")] * 4}, HeaderTooLarge),
        ({"headers": [HOST, (b"a", b"b" * 200)]}, HeaderTooLarge),
        ({"raw_path": b"/" + b"a" * 50}, TargetTooLong),
        ({"query_string": b"a" * 50}, TargetTooLong),
        ({"raw_path": b"x"}, BadRequest),
        ({"raw_path": b"*"}, BadRequest),
        ({"raw_path": b"/a#b"}, BadRequest),
        ({"raw_path": b"/a\\b"}, BadRequest),
        ({"raw_path": b"/a\0b"}, BadRequest),
        ({"query_string": b"a\0"}, BadRequest),
        ({"query_string": b"a b"}, BadRequest),
        ({"query_string": b"a HTTP/1.1\r\nx: y"}, BadRequest),
        ({"query_string": b"a#"}, BadRequest),
        ({"query_string": b"a?b"}, None),
        ({"method": "GET / HTTP/1.1\r\nx:"}, BadRequest),
        ({"method": ""}, BadRequest),
        ({"method": "PURGE"}, None),
        ({"raw_path": b"*", "method": "OPTIONS"}, None),
        ({"headers": []}, BadRequest),
        ({"headers": [], "http_version": "1.0"}, None),
        ({"headers": [], "http_version": "2"}, None),
        ({"headers": [HOST, HOST]}, BadRequest),
        ({"headers": [(b"host", b"a,b")]}, BadRequest),
        ({"headers": [(b"host", b"u@a")]}, BadRequest),
        ({"headers": [(b"host", b"")]}, BadRequest),
        ({"headers": [HOST, (b"transfer-encoding", b"Chunked")]}, None),
        ({"headers": [HOST, (b"transfer-encoding", b"chunked"), (b"content-length", b"5")]}, BadRequest),
        ({"headers": [HOST, (b"transfer-encoding", b"chunked")], "http_version": "1.0"}, BadRequest),
    ],
)
def test_the_asgi_road_refuses_what_our_protocol_refuses(changes: dict[str, Any], error: type[GatewayError] | None):
    assert screened(**changes) is error


@pytest.mark.parametrize(
    ("codings", "error"),
    [([b"gzip"], UnsupportedCoding), ([b"gzip, chunked"], BadRequest), ([b"chunked", b"chunked"], BadRequest), ([b""], BadRequest)],
)
def test_only_chunked_is_a_coding_and_the_refusal_is_that_of_our_own_parser(codings: list[bytes], error: type[GatewayError]):
    assert screened(headers=[HOST, *((b"transfer-encoding", coding) for coding in codings)], method="POST") is error
    lines = b"".join(b"Transfer-Encoding: %b\r\n" % coding for coding in codings)
    with pytest.raises(error):
        read_request_head(b"POST / HTTP/1.1\r\nHost: a\r\n" + lines.removesuffix(b"\r\n"))


def test_screening_finds_the_host():
    exchange = read(headers=[(b"host", b"a:80")])
    screen(exchange, ServerSettings())
    assert exchange.host == b"a:80"


# ---------------------------------------------------------------- the length of a body


@pytest.mark.parametrize(
    ("headers", "length"),
    [([], 0), ([(b"content-length", b"0")], 0), ([(b"content-length", b"007")], 7), ([(b"transfer-encoding", b"chunked")], -1)],
)
def test_a_body_has_a_length_or_none_is_declared(headers: Headers, length: int):
    assert body_length(Exchange(b"GET", b"/", None, headers)) == length


@pytest.mark.parametrize("value", [b"", b"+5", b"-1", b"5,5", b"1_0", b" 5", b"5.0", b"\xb2", b"1" * 19])
def test_a_malformed_length_is_refused(value: bytes):
    with pytest.raises(BadRequest):
        body_length(Exchange(b"GET", b"/", None, [(b"content-length", value)]))


def test_two_lengths_are_refused_even_when_equal():
    with pytest.raises(BadRequest):
        body_length(Exchange(b"GET", b"/", None, [(b"content-length", b"5"), (b"content-length", b"5")]))


@given(st.lists(st.sampled_from([b"Content-Length: 5", b"Content-Length: 05", b"Content-Length: x", b"Transfer-Encoding: chunked", b"A: b"]), max_size=3))
def test_both_roads_agree_about_the_framing(lines: list[bytes]):
    try:
        expected = read_request_head(b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", *lines])).fields.length
    except GatewayError:
        expected = None
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    try:
        exchange = read(headers=[HOST, *headers], method="POST")
        screen(exchange, ServerSettings())
        length: int | None = body_length(exchange)
    except GatewayError:
        length = None
    assert length == expected


@pytest.mark.parametrize(
    "field", [(b"", b"a"), (b"a b", b"c"), (b"a:", b"b"), (b"a\r\nb", b"c"), (b"a", b"b\r\nc: d"), (b"a", b"b\nc"), (b"a", b"\0"), (b"a", b"\x7f")]
)
def test_what_is_no_field_is_refused_whatever_the_server_below_let_through(field: tuple[bytes, bytes]):
    assert screened(headers=[HOST, field]) is BadRequest


def test_what_our_own_parser_read_is_not_read_again_unless_middleware_has_changed_it():
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b"
    fields = read_request_head(head).fields
    assert read(head, headers=list(fields.headers)).fields is not None
    changed = read(head, headers=[*fields.headers, (b"te", b"trailers")])
    assert changed.fields is None
    assert changed.special == [(b"host", b"a"), (b"te", b"trailers")]
