"""The fields that leave us, in both directions."""

from __future__ import annotations

import pytest

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
from gateway.rfc.message import read_answer_head
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
