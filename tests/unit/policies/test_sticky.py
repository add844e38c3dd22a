"""Which answers bring a cookie."""

from __future__ import annotations

import pytest

from gateway.balance.affinity import Affinity, StickyCookie
from gateway.errors import GatewayError
from gateway.exchange import Exchange, ResponseHead
from gateway.policies.sticky import Sticky
from support.balancing import Stub

TARGET = Stub(name="http://a")


def affinity(cookie: str, name: str) -> Affinity[Stub]:
    made: Affinity[Stub] = Affinity("scope", StickyCookie(cookie), [b"key"])
    made.over([Stub(name=name)])
    return made


@pytest.fixture
def policy() -> Sticky:
    return Sticky({"shop": affinity("target", TARGET.name)}, affinity("share", "shop"))


def cookies(policy: Sticky, upstream: str, *, target: Stub | None = TARGET, error: GatewayError | None = None) -> list[bytes]:
    exchange = Exchange(b"GET", b"/", None, [])
    exchange.upstream_name = upstream
    exchange.target = target  # type: ignore[assignment]
    exchange.error = error
    head = ResponseHead(200, [])
    policy.amend(exchange, head)
    return [value.partition(b"=")[0] for name, value in head.headers if name == b"set-cookie"]


def test_the_answer_of_a_target_brings_the_cookies_of_share_and_target(policy: Sticky):
    assert cookies(policy, "shop") == [b"share", b"target"]


def test_a_share_whose_upstream_is_not_sticky_has_a_cookie_alone(policy: Sticky):
    assert cookies(Sticky({}, affinity("share", "shop")), "shop") == [b"share"]


def test_an_upstream_of_another_share_has_none(policy: Sticky):
    assert cookies(Sticky({"shop": affinity("target", TARGET.name)}, None), "other") == []


def test_what_the_gateway_answers_itself_brings_none(policy: Sticky):
    assert cookies(policy, "", target=None) == []
    assert cookies(policy, "shop", error=GatewayError()) == []
