"""The fields that leave us, in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deadlines import Deadlines
from gateway.exchange import Exchange, Headers
from gateway.outgoing import (
    RequestFields,
    end_to_end_trailers,
    framing,
    host_for,
    response_headers,
    wants_trailers,
)
from gateway.rfc.forwarded import FORWARDING
from gateway.rfc.headers import HOP_BY_HOP
from gateway.rfc.message import read_answer_head, read_request_head
from gateway.upstream.address import Address
from gateway.upstream.target import Target

ID = b"x-request-id"


def sent(headers: Headers, *, trusted: bool = False, websocket: bool = False, request_id: bytes = b"7f") -> Headers:
    exchange = Exchange(b"GET", b"/", None, headers, scheme=b"https", peer="192.0.2.1")
    exchange.host = b"a"
    exchange.trusted = trusted
    exchange.client = "198.51.100.7" if trusted else "192.0.2.1"
    exchange.websocket = websocket
    exchange.request_id = request_id
    return RequestFields(ID).of(exchange)


def only(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def test_end_to_end_fields_go_on_in_their_order():
    fields = [(b"accept", b"a"), (b"cookie", b"b"), (b"x-a", b"c"), (b"accept", b"d"), (b"x_under", b"e")]
    assert sent([(b"host", b"a"), *fields])[: len(fields)] == fields


@pytest.mark.parametrize("name", sorted((HOP_BY_HOP | {b"host", b"content-length", b"expect"}) - {b"te"}))
def test_what_is_for_this_hop_or_the_attempt_stays(name: bytes):
    assert only(sent([(name, b"1")]), name) == []


@pytest.mark.parametrize("name", sorted(FORWARDING))
def test_nobody_untrusted_says_who_the_client_is(name: bytes):
    for spelled in {name, name.replace(b"-", b"_")}:
        assert b"6.6.6.6" not in b"".join(only(sent([(spelled, b"6.6.6.6")]), spelled))


def test_a_client_can_not_strike_our_fields_out():
    headers = sent([(b"connection", b"x-forwarded-for, x-real-ip, via, x-request-id, forwarded"), (b"via", b"1.0 b")])
    assert only(headers, b"x-forwarded-for") == [b"192.0.2.1"]
    assert only(headers, b"x-real-ip") == [b"192.0.2.1"]
    assert only(headers, b"via") == [b"1.0 b, 1.1 gateway"]
    assert only(headers, ID) == [b"7f"]


def test_a_trusted_proxys_chain_is_extended_and_its_twins_are_not_trusted():
    headers = sent([(b"x-forwarded-for", b"198.51.100.7"), (b"x_forwarded_for", b"6.6.6.6")], trusted=True)
    assert only(headers, b"x-forwarded-for") == [b"198.51.100.7, 192.0.2.1"]
    assert only(headers, b"x_forwarded_for") == []
    assert only(headers, b"x-real-ip") == [b"198.51.100.7"]


def test_the_request_id_is_ours_and_there_is_one():
    assert only(sent([(ID, b"theirs")]), ID) == [b"7f"]
    assert only(sent([(ID, b"theirs")], request_id=b""), ID) == []


def test_via_is_appended_to():
    assert only(sent([]), b"via") == [b"1.1 gateway"]
    assert only(sent([(b"via", b"1.0 a"), (b"via", b"1.1 b")]), b"via") == [b"1.0 a, 1.1 b, 1.1 gateway"]


def test_an_upgrade_is_said_anew_for_websocket_only():
    asked = [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"h2c")]
    assert only(sent(asked), b"upgrade") == []
    assert only(sent(asked, websocket=True), b"upgrade") == [b"websocket"]
    assert only(sent(asked, websocket=True), b"connection") == [b"Upgrade"]


def test_a_client_that_keeps_trailers_is_said_to():
    headers = sent([(b"te", b"gzip, trailers")])
    assert (only(headers, b"te"), only(headers, b"connection")) == ([b"trailers"], [b"TE"])
    assert only(sent([(b"te", b"gzip")]), b"te") == []
    assert not wants_trailers(Exchange(b"GET", b"/", None, []))


@pytest.mark.parametrize(
    ("host", "rule", "said"),
    [
        (b"public", b"preserve", b"public"),
        (b"", b"preserve", b"10.0.0.5:9000"),
        (b"public", b"upstream", b"10.0.0.5:9000"),
        (b"public", b"x.example", b"x.example"),
    ],
)
def test_host_follows_its_rule(host: bytes, rule: bytes, said: bytes):
    class Loop:
        def time(self) -> float:
            return 0.0

    exchange = Exchange(b"GET", b"/", None, [])
    exchange.host = host
    target = Target(Address("http://10.0.0.5:9000"), Deadlines(Loop()))  # type: ignore[arg-type]
    assert host_for(exchange, target, rule) == said


def test_a_request_has_one_framing():
    assert framing(0) == (b"content-length", b"0")
    assert framing(5) == (b"content-length", b"5")
    assert framing(-1) == (b"transfer-encoding", b"chunked")


def test_a_trace_goes_on_only_behind_a_valid_parent():
    parent, state = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), (b"tracestate", b"v=1")
    exchange = Exchange(b"GET", b"/", None, [(b"host", b"a"), parent, state])
    exchange.traceparent = parent[1]
    assert {parent, state} <= set(RequestFields(ID).of(exchange))
    exchange.traceparent = b""
    assert {parent, state}.isdisjoint(RequestFields(ID).of(exchange))


def test_an_answers_fields_lose_what_ends_here_and_keep_their_duplicates():
    head = read_answer_head(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nConnection: X-B, close\r\nX-B: 1\r\nSet-Cookie: b\r\nVia: 1.1 c\r\nContent-Length: 3\r\nKeep-Alive: 5",
        b"GET",
    )
    assert response_headers(head) == [
        (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"content-length", b"3"), (b"via", b"1.1 c, 1.1 gateway"),
    ]  # fmt: skip


def test_a_204_has_no_length():
    head = read_answer_head(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nA: b", b"GET")
    assert response_headers(head) == [(b"a", b"b"), (b"via", b"1.1 gateway")]


def test_trailers_frame_route_and_control_nothing():
    trailers = [(b"x-checksum", b"1"), (b"content-length", b"5"), (b"transfer-encoding", b"chunked"), (b"host", b"a"), (b"set-cookie", b"b")]
    assert end_to_end_trailers(trailers) == [(b"x-checksum", b"1")]


# ---------------------------------------------------------------- ready bytes

LINES = st.lists(
    st.sampled_from(
        [b"Accept: a", b"Cookie: b=c", b"X-A:  d ", b"Via: 1.0 b", b"X-Forwarded-For: 6.6.6.6", b"x_real_ip: 6.6.6.6", b"TE: trailers",
         b"Connection: keep-alive", b"Connection: x-a", b"Keep-Alive: 5", b"X-Request-Id: 1", b"Tracestate: a=b", b"Content-Length: 0",
         b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"Upgrade: h2c"]
    ),
    max_size=6, unique=True,
)  # fmt: skip


@given(LINES, st.sampled_from([b"", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]), st.booleans())
def test_the_ready_block_says_what_the_fields_say(lines: list[bytes], traceparent: bytes, trusted: bool):
    fields_of_route = RequestFields(ID)
    head = read_request_head(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines]))
    exchange = Exchange(
        b"GET", b"/", None, head.fields.headers, peer="192.0.2.1", fields=head.fields, scheme=b"https"
    )
    exchange.host = b"a"
    exchange.traceparent = traceparent
    exchange.trusted = trusted
    exchange.request_id = b"7f"
    for _ in range(2):  # the second time from what was kept
        block = fields_of_route.block(exchange)
        if block is not None:
            text = block[0] + block[1] + exchange.request_id
            read = [line.partition(b":") for line in text.split(b"\r\n")]
            assert [(name.lower(), value.strip()) for name, _, value in read] == fields_of_route.of(exchange)


@pytest.mark.parametrize("lines", [b"TE: trailers", b"TE: trailers\r\nConnection: TE", b"Expect: 100-continue", b"Upgrade: h2c"])
def test_what_ends_here_is_no_reason_to_write_the_fields_anew(lines: bytes):
    head = read_request_head(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines)
    exchange = Exchange(b"GET", b"/", None, head.fields.headers, fields=head.fields)
    assert RequestFields(ID).block(exchange) is not None
    exchange.websocket = True
    assert RequestFields(ID).block(exchange) is None


def test_via_says_the_version_that_a_message_came_by_on_every_way():
    head = read_request_head(b"GET / HTTP/1.1\r\nHost: a")
    exchange = Exchange(b"GET", b"/", None, head.fields.headers, fields=head.fields, http_version="2")
    assert RequestFields(ID).block(exchange) is None
    assert (b"via", b"2 gateway") in RequestFields(ID).of(exchange)


def test_fields_that_were_changed_on_the_way_are_not_taken_from_the_lines():
    head = read_request_head(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3")
    exchange = Exchange(b"OPTIONS", b"/", None, head.fields.headers, fields=head.fields)
    assert RequestFields(ID).block(exchange) is not None
    exchange.headers = [(b"host", b"a"), (b"max-forwards", b"2")]
    assert RequestFields(ID).block(exchange) is None


def test_ever_new_clients_do_not_fill_the_memory():
    fields = RequestFields(ID)
    head = read_request_head(b"GET / HTTP/1.1\r\nHost: a")
    for number in range(3000):
        exchange = Exchange(b"GET", b"/", None, head.fields.headers, peer=f"192.0.2.{number}", fields=head.fields)
        assert fields.block(exchange) is not None
    assert len(fields._written) <= 1024
