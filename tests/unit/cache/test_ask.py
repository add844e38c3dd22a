"""What a request asks of a cache."""

from __future__ import annotations

import pytest

from gateway.cache.ask import ask_of
from gateway.exchange import Exchange
from gateway.rfc.message import read_request_head
from support.caching import asking


@pytest.mark.parametrize("line", ["If-Match: x", "If-Unmodified-Since: x", "X-HTTP-Method-Override: PUT", "X-Method-Override: PUT", "X-HTTP-Method: PUT"])
def test_preconditions_of_the_target_and_other_methods_in_disguise_are_odd(line: str):
    assert asking(line).is_odd
    assert not asking("If-None-Match: x", "Range: bytes=0-1", "Accept: a/b").is_odd


def test_only_what_matters_is_remembered():
    assert asking("Accept: a/b", "Cookie: c", "User-Agent: d").concerns == []
    assert asking("Authorization: x").is_authorized
    assert not asking("Range: bytes=0-1").is_authorized
    assert asking("If-Modified-Since: x").asks_for_newer
    assert not asking("If-Range: x").asks_for_newer


def test_one_range_of_a_get_counts():
    assert asking("Range: bytes=0-1").asked_range == b"bytes=0-1"
    assert asking("Range: bytes=0-1", method="HEAD").asked_range is None
    assert asking("Range: a", "Range: b").asked_range is None
    assert asking("If-Range: x").concern(b"if-range") == b"x"
    assert asking().concern(b"if-range") is None


def test_pragma_is_a_no_cache_where_there_is_no_cache_control():
    assert b"no-cache" in asking("Pragma: x, No-Cache").directives
    assert b"no-cache" not in asking("Pragma: no-cache", "Cache-Control: x").directives
    assert not asking("Pragma: x").directives.names
    assert not asking("Cache-Control: no-cache", heed=False).directives.names


def test_equal_heads_ask_the_same_and_what_a_policy_changed_is_asked_anew():
    fields = read_request_head(b"GET / HTTP/1.1\r\nHost: a\r\nCache-Control: no-cache").fields

    def exchange(method: bytes = b"GET") -> Exchange:
        return Exchange(method, b"/", None, fields.headers, fields=fields)

    ask = ask_of(exchange(), heed=True)
    assert ask.directives.forbids(b"no-cache")
    assert ask_of(exchange(), heed=True) is ask
    assert not ask_of(exchange(), heed=False).directives.forbids(b"no-cache")
    assert ask_of(exchange(b"HEAD"), heed=True).method == b"HEAD"
    changed = exchange()
    changed.headers = [(b"host", b"a")]
    assert ask_of(changed, heed=True).concerns == []
    assert ask_of(Exchange(b"GET", b"/", None, fields.headers), heed=True).concerns == ask.concerns
