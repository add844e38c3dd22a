"""Affinity by cookies that we give."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import First, Hash
from gateway.balance.affinity import Affinity, Preference, StickyCookie
from gateway.balance.keys import key_source
from gateway.exchange import Exchange, ResponseHead
from support.balancing import Stub, named

NEW, OLD = b"the newest key of all of them", b"an older key"


def affinity(targets: list[Stub], *keys: bytes, scope: str = "shop") -> Affinity[Stub]:
    made: Affinity[Stub] = Affinity(scope, StickyCookie("gw_srv"), keys or (NEW,))
    made.over(targets)
    return made


def asking(value: bytes | None = None, scheme: bytes = b"http") -> Exchange:
    return Exchange(b"GET", b"/", None, [] if value is None else [(b"cookie", b"gw_srv=" + value)], scheme=scheme)


def given_by(affinity: Affinity[Stub], target: Stub, exchange: Exchange | None = None) -> bytes | None:
    """The value of the cookie that an answer of this target brings."""
    head = ResponseHead(200, [])
    affinity.give(exchange or asking(), head, target.name)
    fields = [value for name, value in head.headers if name == b"set-cookie"]
    assert len(fields) <= 1
    return fields[0].partition(b";")[0].removeprefix(b"gw_srv=") if fields else None


def test_a_client_comes_back_to_the_target_whose_cookie_it_has():
    targets = named([1, 1, 1])
    one = affinity(targets)
    for target in targets:
        value = given_by(one, target)
        assert one.find(asking(value)) is target
        assert affinity(targets).find(asking(value)) is target  # in another worker, or after a restart


def test_a_client_that_has_its_cookie_gets_no_other():
    target = Stub()
    one = affinity([target])
    value = given_by(one, target)
    assert value is not None
    head = ResponseHead(200, [(b"a", b"b")])
    one.give(asking(value), head, target.name)
    assert head.headers == [(b"a", b"b")]


def test_the_value_says_nothing_about_the_target():
    target = Stub(name="http://10.1.2.3:9000")
    value = given_by(affinity([target]), target)
    assert value is not None
    assert re.fullmatch(rb"[A-Za-z0-9_-]{20}", value)
    for secret in (b"10.1.2.3", b"9000", b"shop"):
        assert secret not in value + base64.urlsafe_b64decode(value)


@given(st.binary(max_size=40).filter(lambda value: b";" not in value))
def test_what_a_client_makes_up_is_unknown(value: bytes):
    assert affinity(named([1, 1])).find(asking(value)) is None


def test_the_same_name_in_another_upstream_or_with_another_key_has_another_value():
    target = Stub(name="http://a")
    values = {
        given_by(affinity([target], *keys, scope=scope), target)
        for scope, keys in [("a", (NEW,)), ("b", (NEW,)), ("a", (OLD,))]
    }
    assert len(values) == 3


def test_a_cookie_of_an_older_key_is_understood_and_replaced():
    target, other = named([1, 1])
    old_value = given_by(affinity([target, other], OLD), target)
    rotated = affinity([target, other], NEW, OLD)
    assert rotated.find(asking(old_value)) is target
    new_value = given_by(rotated, target, asking(old_value))
    assert new_value not in (None, old_value)
    assert rotated.find(asking(new_value)) is target
    assert affinity([target, other], NEW).find(asking(old_value)) is None  # the old key was taken away


def test_a_target_that_left_is_found_by_nobody_and_the_next_one_brings_its_own_cookie():
    gone, left = named([1, 1])
    one = affinity([gone, left])
    value = given_by(one, gone)
    one.over([left])
    assert one.find(asking(value)) is None
    assert given_by(one, left, asking(value)) is not None
    assert given_by(one, gone) is None  # it left while it answered


def test_no_cache_may_keep_an_answer_with_a_cookie():
    target = Stub()
    head = ResponseHead(200, [(b"cache-control", b"public, max-age=60")])
    affinity([target]).give(asking(), head, target.name)
    assert (b"cache-control", b"private") in head.headers


@pytest.mark.parametrize(
    ("options", "scheme", "attributes"),
    [
        ({}, b"http", b"; Path=/; HttpOnly; SameSite=Lax"),
        ({}, b"https", b"; Path=/; HttpOnly; SameSite=Lax; Secure"),
        ({"secure": False}, b"https", b"; Path=/; HttpOnly; SameSite=Lax"),
        ({"secure": True, "same_site": "None"}, b"http", b"; Path=/; HttpOnly; SameSite=None; Secure"),
        ({"http_only": False, "path": "/shop"}, b"http", b"; Path=/shop; SameSite=Lax"),
        ({"domain": "a.example", "max_age": 60}, b"http", b"; Path=/; Domain=a.example; Max-Age=60; HttpOnly; SameSite=Lax"),
    ],
)
def test_the_attributes_are_those_that_were_asked_for(options: dict[str, object], scheme: bytes, attributes: bytes):
    made = StickyCookie("c", **options)  # type: ignore[arg-type]
    assert made.field(b"v", scheme) == (b"set-cookie", b"c=v" + attributes)


def test_a_cookie_goes_before_the_balancer_unless_its_target_was_tried():
    first, second = named([1, 1])
    preference = Preference(None, affinity([first, second]))
    value = given_by(affinity([first, second]), second)
    balancer = First([first, second])
    assert preference.pick(balancer, asking(value), ()) is second
    assert preference.pick(balancer, asking(value), (second,)) is first
    assert preference.pick(balancer, asking(), ()) is first


def test_a_key_is_found_for_the_balancer_that_hashes():
    targets = named([1, 1, 1, 1])
    preference: Preference[Stub] = Preference(key_source(["header:x-key"]))
    preference.over(targets)
    balancer = Hash(targets)
    for number in range(20):
        key = b"key-%d" % number
        exchange = Exchange(b"GET", b"/", None, [(b"x-key", key)])
        assert preference.pick(balancer, exchange, ()) is balancer.pick(key, ())
