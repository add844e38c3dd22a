"""What an entry is known by, and which requests have no safe key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.key import Bypass, KeyRule, QueryRule, cookies, is_ambiguous, url_of_request
from gateway.cache.purge import url_of
from gateway.exchange import Exchange
from gateway.rfc.uri import match_path
from support.caching import request

TEXT = st.text(st.sampled_from("ab %=&"), max_size=4)


def test_a_key_is_the_url_and_the_route():
    key = KeyRule("api").key(request("/a", "x=1"), b"")
    assert key == b"https://shop.example/a?x=1 api"
    assert url_of(key) == b"https://shop.example/a?x=1" == url_of_request(request("/a", "x=1"))


def test_scheme_host_mount_path_query_and_route_all_tell_apart():
    plain = request()
    other_scheme, mounted = request(), request()
    other_scheme.scheme = b"http"
    mounted.mount = b"/shop"
    exchanges = [plain, other_scheme, mounted, request("/b"), request("/a", ""), request("/a", "x"), request(host="other.example")]
    keys = {KeyRule(route).key(exchange, b"") for route in ("r1", "r2") for exchange in exchanges}
    assert len(keys) == 2 * len(exchanges)


def test_the_case_of_the_host_does_not_count_and_that_of_the_path_does():
    rule = KeyRule("r")
    assert rule.key(request(host="SHOP.example"), b"") == rule.key(request(host="shop.EXAMPLE"), b"")
    assert rule.key(request("/A"), b"") != rule.key(request("/a"), b"")


def test_parts_that_are_left_out_do_not_count():
    rule = KeyRule("r", ["path"])
    assert rule.key(request("/a", "x=1", host="one"), b"") == rule.key(request("/a", "x=2", host="two"), b"") == b"/a r"
    assert rule.target(b"/a?x=1") == b"/a"


def test_headers_and_cookies_are_keyed_by_value_and_presence():
    rule = KeyRule("r", ["path", "header:X-Tenant", "cookie:lang"])
    keys = [
        rule.key(request("/a", None, *lines), b"")
        for lines in ([], ["X-Tenant: a"], ["X-Tenant: a", "X-Tenant: b"], ["Cookie: lang=de; x=y"], ["Cookie: lang=en"], ["Cookie: x=y"])
    ]
    assert keys[0] == keys[5]
    assert len(set(keys)) == 5


@given(st.lists(TEXT, min_size=2, max_size=2), st.lists(TEXT, min_size=2, max_size=2))
def test_no_value_can_pass_for_another_part(one: list[str], other: list[str]):
    rule = KeyRule("r", ["path", "header:A", "header:B"])
    key = [rule.key(request("/a", None, f"A:{a}", f"B:{b}"), b"") for a, b in (one, other)]
    assert (key[0] == key[1]) is ([v.strip() for v in one] == [v.strip() for v in other])


@pytest.mark.parametrize(
    ("rule", "query", "kept"),
    [
        (QueryRule(exclude=["utm_*", "fbclid"]), b"a=1&utm_source=x&fbclid=2&utm", b"a=1&utm"),
        (QueryRule(include=["a", "b*"]), b"c=1&b2=x&a&a=2", b"b2=x&a&a=2"),
        (QueryRule(include=["a*"], exclude=["ab"]), b"ab=1&ac=2", b"ac=2"),
        (QueryRule(sort=True), b"b=1&a=2&a=1", b"a=1&a=2&b=1"),
        (QueryRule(), b"b&a", b"b&a"),
        (QueryRule(exclude=["a.b"]), b"axb=1&a.b=2", b"axb=1"),
    ],
)
def test_what_does_not_count_in_a_query_is_neither_keyed_nor_sent(rule: QueryRule, query: bytes, kept: bytes):
    keys = KeyRule("r", query=rule)
    assert keys.key(request("/a", query.decode()), b"") == b"https://shop.example/a?" + kept + b" r"
    assert keys.target(b"/a?" + query) == b"/a?" + kept


@pytest.mark.parametrize("rule", [QueryRule(exclude=["utm_*"]), QueryRule(include=["page"]), QueryRule(include=["page"], sort=True)])
def test_a_query_of_which_nothing_counts_is_none(rule: QueryRule):
    keys = KeyRule("r", query=rule)
    assert keys.key(request("/a", "utm_source=x&utm_medium=y"), b"") == keys.key(request("/a"), b"") == b"https://shop.example/a r"
    assert keys.target(b"/a?utm_source=x&utm_medium=y") == b"/a"


def test_a_target_without_a_query_stays_so():
    assert KeyRule("r", query=QueryRule(sort=True)).target(b"/a") == b"/a"
    assert KeyRule("r").target(b"/a?b") == b"/a?b"


@pytest.mark.parametrize(
    ("path", "ambiguous"),
    [
        ("/a", False), ("/a%20b", False), ("/a;v=1/b", False), ("/.well-known/x", False), ("/a/..b", False), ("/%41", False),
        ("/a%2fb", True), ("/a%2Fb", True), ("/a/%2e%2e/b", True), ("/a/../b", True), ("/a/.", True), ("/a//b", True), ("/a%5cb", True),
        ("/a%252fb", True), ("/a%00", True), ("/a%0d%0a", True), ("/a%3fb", True), ("/a%23b", True), ("/a%3bb", True),
    ],
)  # fmt: skip
def test_a_path_that_can_be_read_in_two_ways_is_not_cached(path: str, ambiguous: bool):
    exchange = request(path)
    exchange.match_path = match_path(exchange.path)
    assert is_ambiguous(exchange) is ambiguous


@pytest.mark.parametrize(
    ("line", "ambiguous"),
    [("Content-Length: 3", True), ("Transfer-Encoding: chunked", True), ("Content-Length: 0", False), ("Connection: keep-alive", False)],
)
def test_a_request_with_a_body_is_not_cached(line: str, ambiguous: bool):
    exchange = request("/a", None, line)
    assert is_ambiguous(exchange) is ambiguous


@pytest.mark.parametrize(
    ("exchange", "passes"),
    [
        (request("/a", "x=1&preview=1"), True),
        (request("/a", "x=preview"), False),
        (request("/a", None, "X-Debug: 1"), True),
        (request("/a", None, "Cookie: a=b; session=1"), True),
        (request("/a", None, "Cookie: a=session"), False),
        (request(), False),
    ],
)
def test_a_route_lets_some_requests_pass(exchange: Exchange, passes: bool):
    assert Bypass(["query:preview", "header:X-Debug", "cookie:session"]).takes(exchange) is passes


def test_a_bypass_without_parameters_does_not_look_at_the_query():
    assert not Bypass(["cookie:session"]).takes(request("/a", "x"))


def test_the_first_cookie_of_a_name_counts():
    assert cookies([b"a=1; b = 2 ;a=3", b"c=4"]) == {b"a": b"1", b"b": b"2", b"c": b"4"}
