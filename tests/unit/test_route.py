"""A route's own decisions."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.balance import RoundRobin
from gateway.config.inherited import Timeouts
from gateway.exchange import Exchange
from gateway.pipeline import Pipeline
from gateway.rewrite import PathRewrite
from gateway.route import Route, Share
from gateway.router import Match, compile_path
from gateway.upstream.upstream import Upstream


def share(name: str, weight: int = 1, host: bytes = b"preserve") -> Share:
    return Share(Upstream(name, [], RoundRobin, host), Timeouts(), weight)


def route(*shares: Share, rewrite: PathRewrite | None = None, host_header: bytes | None = None) -> Route:
    return Route("r", Match(compile_path("/*")), Pipeline([]), shares, rewrite=rewrite, host_header=host_header)


def test_one_share_takes_all():
    only = share("a")
    assert [route(only).choose() for _ in range(3)] == [only] * 3


def test_several_shares_are_chosen_by_weight():
    a, b = share("a", 9), share("b", 1)
    split = route(a, b)
    assert Counter(split.choose() for _ in range(100)) == {a: 90, b: 10}


@pytest.mark.parametrize(("own", "sent"), [(None, b"upstream"), (b"x.example", b"x.example"), (b"preserve", b"preserve")])
def test_a_routes_host_goes_before_its_upstreams(own: bytes | None, sent: bytes):
    only = share("a", host=b"upstream")
    assert route(only, host_header=own).header_upstream(only) == sent


def test_the_target_is_rewritten_by_the_route():
    exchange = Exchange(b"GET", b"/x", b"q", [])
    assert route(share("a")).target(exchange) == b"/x?q"
    assert route(share("a"), rewrite=PathRewrite(add="/v")).target(exchange) == b"/v/x?q"
