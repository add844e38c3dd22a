"""Who is let in, with addresses in all their spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.policies.access import Access, AccessRules


def exchange_from(client: str) -> Exchange:
    return Exchange(b"GET", b"/", None, [], peer=client)


def test_without_rules_everyone_comes_in():
    rules = AccessRules()
    assert rules.allows("203.0.113.9")
    assert rules.allows("2001:db8::1")
    assert rules.allows("")


def test_where_allow_is_given_nobody_else_comes_in():
    rules = AccessRules(allow=["10.0.0.0/8", "2001:db8::/32"])
    assert rules.allows("10.1.2.3")
    assert rules.allows("2001:db8::7")
    assert not rules.allows("11.0.0.1")
    assert not rules.allows("2001:db9::7")


def test_deny_wins_over_allow():
    rules = AccessRules(allow=["10.0.0.0/8"], deny=["10.9.0.0/16"])
    assert rules.allows("10.8.255.255")
    assert not rules.allows("10.9.0.1")
    assert rules.refused_by("10.9.0.1") == "access.deny"
    assert rules.refused_by("192.0.2.1") == "access.allow"


def test_deny_alone_lets_all_others_in():
    rules = AccessRules(deny=["192.0.2.7"])
    assert not rules.allows("192.0.2.7")
    assert rules.allows("192.0.2.8")


def test_a_mapped_address_is_the_address_that_it_maps():
    assert AccessRules(allow=["10.0.0.0/8"]).allows("::ffff:10.0.0.1")
    assert not AccessRules(deny=["10.0.0.0/8"]).allows("::ffff:10.0.0.1")
    assert not AccessRules(deny=["10.0.0.0/8"]).allows("::FFFF:0A00:0001")


@pytest.mark.parametrize("address", ["", "unix", "10.0.0.1:80", "10.0.0.256", "localhost"])
def test_what_is_no_address_comes_in_only_where_allow_is_empty(address):
    assert not AccessRules(allow=["0.0.0.0/0", "::/0"]).allows(address)
    assert AccessRules(deny=["10.0.0.0/8"]).allows(address)


@pytest.mark.parametrize("rule", ["10.0.0.0/33", "example.com", "", "10.0.0"])
def test_a_rule_that_is_no_network_is_refused_at_construction(rule):
    with pytest.raises(ValueError, match=r".+"):
        AccessRules(allow=[rule])
    with pytest.raises(ValueError, match=r".+"):
        AccessRules(deny=[rule])


@given(st.lists(st.ip_addresses().map(str), max_size=40))
def test_a_remembered_verdict_is_the_first_one(addresses):
    rules = AccessRules(allow=["0.0.0.0/1", "8000::/1"], deny=["64.0.0.0/2", "c000::/2"])
    assert [rules.refused_by(address) for address in addresses] == [
        AccessRules(allow=["0.0.0.0/1", "8000::/1"], deny=["64.0.0.0/2", "c000::/2"]).refused_by(address)
        for address in addresses
    ]
    assert all(rules.refused_by(address) == rules.refused_by(address) for address in addresses)


def test_verdicts_stay_right_when_more_addresses_come_than_are_remembered():
    rules = AccessRules(deny=["10.0.128.0/17"])
    for number in range(20_000):
        address = f"10.0.{number % 256}.{number // 256}"
        assert rules.allows(address) == (number % 256 < 128)
    assert len(rules._verdicts) <= 8192


def test_the_policy_answers_403_with_the_reason_for_the_log():
    access = Access(allow=["10.0.0.0/8"], deny=["10.9.0.0/16"])
    assert access.admit(exchange_from("10.1.1.1")) is None
    reply = access.admit(exchange_from("10.9.1.1"))
    assert reply is not None
    assert reply.status == 403
    assert reply.error is not None
    assert reply.error.status == 403
    assert "access.deny" in str(reply.error)
    assert "10.9.1.1" not in reply.error.detail


def test_the_policy_judges_the_client_and_not_the_peer():
    access, exchange = Access(allow=["203.0.113.0/24"]), exchange_from("10.0.0.1")
    exchange.client = "203.0.113.5"
    assert access.admit(exchange) is None
