"""A route's own decisions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.balance import RoundRobin
from gateway.balance.affinity import Affinity, Preference, StickyCookie
from gateway.balance.keys import key_source
from gateway.exchange import Exchange, ResponseHead
from gateway.pipeline import Pipeline
from gateway.rewrite import PathRewrite
from gateway.route import Route, Share
from gateway.router import Match, compile_path
from gateway.upstream.sink import Timeouts
from gateway.upstream.upstream import Upstream

ASKED = Exchange(b"GET", b"/", None, [])


def share(name: str, weight: int = 1, host: bytes = b"preserve") -> Share:
    return Share(Upstream(name, [], RoundRobin, host), Timeouts(), weight)


def route(*shares: Share, **options: Any) -> Route:
    return Route("r", Match(compile_path("/*")), Pipeline([]), shares, **options)


def test_one_share_takes_all():
    only = share("a")
    assert [route(only).choose(ASKED) for _ in range(3)] == [only] * 3


def test_several_shares_are_chosen_by_weight():
    a, b = share("a", 9), share("b", 1)
    split = route(a, b)
    assert Counter(split.choose(ASKED) for _ in range(100)) == {a: 90, b: 10}


def by(client: str) -> Exchange:
    return Exchange(b"GET", b"/", None, [], peer=client)


def test_a_client_keeps_its_share_by_what_is_hashed_and_shares_follow_their_weights():
    a, b = share("a", 9), share("b", 1)
    split = route(a, b, preference=Preference(key_source(["client_ip"])))
    clients = [f"10.0.{number // 256}.{number % 256}" for number in range(5000)]
    chosen = {client: split.choose(by(client)) for client in clients}
    assert all(split.choose(by(client)) is chosen[client] for client in clients)
    assert sum(one is b for one in chosen.values()) / len(clients) == pytest.approx(0.1, abs=0.02)


def test_a_growing_canary_takes_clients_and_gives_none_away():
    clients = [f"10.0.{number // 256}.{number % 256}" for number in range(2000)]
    chosen = []
    for weight in (1, 4):
        shares = share("stable", 16), share("canary", weight)
        split = route(*shares, preference=Preference(key_source(["client_ip"])))
        chosen.append({client for client in clients if split.choose(by(client)).name == "canary"})
    small, large = chosen
    assert small < large


def test_a_client_keeps_its_share_by_its_cookie():
    a, b = share("a", 9), share("b", 1)
    affinity: Affinity[Share] = Affinity("r", StickyCookie("c"), [b"key"])
    split = route(a, b, preference=Preference(None, affinity))
    head = ResponseHead(200, [])
    affinity.give(ASKED, head, "b")
    back = Exchange(b"GET", b"/", None, [(b"cookie", head.headers[0][1].partition(b";")[0])])
    assert [split.choose(back) for _ in range(20)] == [b] * 20
    assert Counter(split.choose(ASKED) for _ in range(100)) == {a: 90, b: 10}


@pytest.mark.parametrize(("own", "sent"), [(None, b"upstream"), (b"x.example", b"x.example"), (b"preserve", b"preserve")])
def test_a_routes_host_goes_before_its_upstreams(own: bytes | None, sent: bytes):
    only = share("a", host=b"upstream")
    assert route(only, host_header=own).header_upstream(only) == sent


def test_the_target_is_rewritten_by_the_route():
    exchange = Exchange(b"GET", b"/x", b"q", [])
    assert route(share("a")).target(exchange) == b"/x?q"
    assert route(share("a"), rewrite=PathRewrite(add="/v")).target(exchange) == b"/v/x?q"
