"""What every route does to its requests and answers."""

from __future__ import annotations

import pytest

from gateway.errors import MethodNotAllowed
from gateway.exchange import Exchange, ResponseHead
from gateway.observe.counters import Counters
from gateway.observe.request_id import RequestIds
from gateway.policies.standard import Standard


def standard(field: str = "X-Request-ID") -> Standard:
    return Standard(Counters(), None, RequestIds(field))


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE"])
def test_connect_and_trace_are_refused_with_the_methods_that_are_not(method):
    reply = standard().admit(Exchange(method, b"/", None, []))
    assert reply is not None
    assert reply.status == 405
    assert isinstance(reply.error, MethodNotAllowed)
    assert "GET" in str(reply.error)
    assert method.decode() not in str(reply.error)


@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"M-SEARCH", b"connect"])
def test_all_other_methods_pass(method):
    assert standard().admit(Exchange(method, b"/", None, [])) is None


def test_the_answer_carries_the_id_of_its_request_and_no_other():
    exchange = Exchange(b"GET", b"/", None, [])
    exchange.request_id = b"ours"
    head = ResponseHead(200, [(b"x-request-id", b"theirs"), (b"a", b"1"), (b"x-request-id", b"again")])
    standard().amend(exchange, head)
    assert head.headers == [(b"a", b"1"), (b"x-request-id", b"ours")]


def test_an_answer_to_a_request_without_an_id_makes_one():
    exchange = Exchange(b"GET", b"/", None, [])
    head = ResponseHead(400, [])
    standard("X-Trace").amend(exchange, head)
    assert head.headers == [(b"x-trace", exchange.request_id)]
    assert len(exchange.request_id) == 32


def test_max_forwards_of_options_counts_down_and_ends_here_at_zero():
    exchange = Exchange(b"OPTIONS", b"*", None, [(b"host", b"a"), (b"max-forwards", b"2")])
    assert standard().admit(exchange) is None
    assert exchange.header(b"max-forwards") == b"1"
    last = standard().admit(Exchange(b"OPTIONS", b"*", None, [(b"max-forwards", b"0")]))
    assert last is not None
    assert last.status == 204


@pytest.mark.parametrize("value", [b"x", b"-1", b"1.0", b"9" * 10])
def test_a_malformed_max_forwards_is_left_alone(value):
    exchange = Exchange(b"OPTIONS", b"*", None, [(b"max-forwards", value)])
    assert standard().admit(exchange) is None
    assert exchange.header(b"max-forwards") == value
