"""Ids that are kept, and ids that are made."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.observe.request_id import RequestIds


def exchange_with(value: bytes | None, *, trusted: bool, field: bytes = b"x-request-id") -> Exchange:
    exchange = Exchange(b"GET", b"/", None, [] if value is None else [(field, value)])
    exchange.trusted = trusted
    return exchange


def assigned(ids: RequestIds, exchange: Exchange) -> bytes:
    ids.assign(exchange)
    return exchange.request_id


def test_a_made_id_is_32_hex_digits():
    assert re.fullmatch(rb"[0-9a-f]{32}", assigned(RequestIds(), exchange_with(None, trusted=False)))


def test_no_id_is_made_twice():
    ids = RequestIds()
    exchange = exchange_with(None, trusted=False)
    made = [assigned(ids, exchange) for _ in range(1000)]
    made += [assigned(RequestIds(), exchange) for _ in range(1000)]
    assert len(set(made)) == 2000


def test_the_id_of_a_trusted_proxy_is_kept():
    assert assigned(RequestIds(), exchange_with(b"edge-7:abc/+=", trusted=True)) == b"edge-7:abc/+="


def test_the_id_of_a_stranger_is_not_kept():
    assert assigned(RequestIds(), exchange_with(b"abc", trusted=False)) != b"abc"


def test_the_field_is_the_configured_one():
    ids = RequestIds("X-Correlation-ID")
    assert ids.field == b"x-correlation-id"
    assert assigned(ids, exchange_with(b"abc", trusted=True, field=b"x-correlation-id")) == b"abc"
    assert assigned(ids, exchange_with(b"abc", trusted=True)) != b"abc"


@pytest.mark.parametrize(
    "value", [b"", b"a" * 129, b"a b", b'"a"', b"it's", b"a\tb", b"a\\b", b"<a>", b"a&b", b"caf\xe9"]
)
def test_an_id_that_would_have_to_be_escaped_is_not_kept(value):
    assert assigned(RequestIds(), exchange_with(value, trusted=True)) != value


@given(st.binary(max_size=140))
def test_whatever_comes_an_id_is_short_and_printable(value):
    made = assigned(RequestIds(), exchange_with(value, trusted=True))
    assert 1 <= len(made) <= 128
    assert made.decode("ascii").isprintable()
    assert not set(made) & set(b" \"'\\<>&`")


def test_processes_forked_before_the_first_request_do_not_make_the_same_ids():
    ids = RequestIds()
    exchange = exchange_with(None, trusted=False)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"".join(assigned(ids, exchange) for _ in range(10)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 1000)
    ours = {assigned(ids, exchange) for _ in range(200)}
    assert len(theirs) == 320
    assert not {theirs[at : at + 32] for at in range(0, 320, 32)} & ours
    os.close(reading)
    os.close(writing)
