"""From answers to targets: order, weights, what is new and what has gone, and when to ask again."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.discovery.found import (
    FLOOR,
    LONGEST_RETRY,
    MAX_WEIGHT,
    DiscoveryError,
    Service,
    Spec,
    changed,
    next_look,
    next_try,
    of_addresses,
    of_services,
    settled,
    whole_weights,
)

ADDRESSES = st.ip_addresses().map(str)
NAMES = st.sampled_from(["a.test", "b.test", "c.test", "d.test"])
SERVICES = st.builds(Service, st.integers(0, 3), st.integers(0, 65535), st.integers(1, 65535), NAMES)
BOOKS = st.dictionaries(NAMES, st.lists(ADDRESSES, unique=True, max_size=4))
PLACES = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "n"])), unique=True)


# ---------------------------------------------------------------- addresses


def test_every_address_of_a_name_is_a_target_that_knows_the_name():
    assert of_addresses(["192.0.2.2", "192.0.2.1"], "http", 9200, "search.test") == [
        Spec("http://192.0.2.1:9200", known_as="search.test"),
        Spec("http://192.0.2.2:9200", known_as="search.test"),
    ]


def test_an_address_of_ipv6_stands_in_brackets():
    assert of_addresses(["2001:db8::1"], "https", 443, "a")[0].url == "https://[2001:db8::1]:443"


@given(st.lists(ADDRESSES), st.randoms())
def test_the_order_of_the_answer_does_not_matter(addresses: list[str], chance: object):
    shuffled = list(addresses)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert of_addresses(shuffled, "http", 80, "a") == of_addresses(addresses, "http", 80, "a")


# ---------------------------------------------------------------- services


def test_a_service_has_its_own_port_priority_and_weight():
    services = [Service(10, 60, 9201, "a.test"), Service(10, 40, 9202, "b.test"), Service(20, 5, 9203, "b.test")]
    assert of_services(services, {"a.test": ["192.0.2.1"], "b.test": ["192.0.2.2"]}, "http") == [
        Spec("http://192.0.2.2:9202", 40, 10, known_as="b.test"),
        Spec("http://192.0.2.1:9201", 60, 10, known_as="a.test"),
        Spec("http://192.0.2.2:9203", 5, 20, known_as="b.test"),
    ]


def test_the_addresses_of_one_service_divide_its_weight():
    services = [Service(0, 10, 80, "one.test"), Service(0, 10, 80, "two.test")]
    specs = of_services(services, {"one.test": ["192.0.2.1"], "two.test": ["192.0.2.2", "192.0.2.3"]}, "http")
    assert {spec.url: spec.weight for spec in specs} == {
        "http://192.0.2.1:80": 10, "http://192.0.2.2:80": 5, "http://192.0.2.3:80": 5,
    }  # fmt: skip


def test_a_weight_of_0_is_the_least_beside_others_and_equal_among_its_like():
    there = {"a.test": ["192.0.2.1"], "b.test": ["192.0.2.2"]}
    beside = of_services([Service(0, 0, 80, "a.test"), Service(0, 1, 80, "b.test")], there, "http")
    assert [spec.weight for spec in beside] == [1, MAX_WEIGHT]
    alike = of_services([Service(0, 0, 80, "a.test"), Service(0, 0, 80, "b.test")], there, "http")
    assert [spec.weight for spec in alike] == [1, 1]


@given(st.lists(SERVICES), BOOKS, st.randoms())
def test_services_in_any_order_are_the_same_targets(services: list[Service], book: dict[str, list[str]], chance: object):
    shuffled = list(services)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert of_services(shuffled, book, "http") == of_services(services, book, "http")


@given(st.lists(SERVICES), BOOKS)
def test_every_service_with_an_address_is_there_and_no_other(services: list[Service], book: dict[str, list[str]]):
    specs = of_services(services, book, "http")
    assert len(specs) == sum(len(book.get(service.name, ())) for service in services)
    assert [spec.priority for spec in specs] == sorted(spec.priority for spec in specs)
    assert {spec.known_as for spec in specs} <= set(book)


@given(st.lists(st.one_of(st.integers(0, 65535), st.fractions(0, 65535)), max_size=20))
def test_weights_are_whole_and_in_proportion(shares: list[int | Fraction]):
    weights = whole_weights([float(share) for share in shares])
    assert len(weights) == len(shares)
    assert all(isinstance(weight, int) and 1 <= weight <= MAX_WEIGHT for weight in weights)
    for (share, weight), (other, another) in zip(
        zip(shares, weights, strict=True), list(zip(shares, weights, strict=True))[1:], strict=False
    ):
        if share >= other:
            assert weight >= another


@given(st.lists(st.integers(1, MAX_WEIGHT), min_size=1))
def test_whole_weights_that_fit_stay_as_they_are(shares: list[int]):
    assert whole_weights(shares) == shares


# ---------------------------------------------------------------- lists of targets


@given(st.lists(st.builds(Spec, st.sampled_from("abcdef"), st.integers(1, 5))))
def test_each_url_counts_once_by_its_first_mention(specs: list[Spec]):
    once = settled(specs)
    assert [spec.url for spec in once] == list(dict.fromkeys(spec.url for spec in specs))
    assert all(spec == next(one for one in specs if one.url == spec.url) for spec in once)
    assert settled(once) == once


def test_an_app_of_this_process_is_refused():
    with pytest.raises(DiscoveryError, match="it cannot come and go"):
        settled([Spec("http://a"), Spec("asgi://shop:app")])


@given(PLACES, PLACES)
def test_what_was_without_what_has_gone_and_with_what_is_new_is_what_there_is(before: list[tuple[str, str]], now: list[tuple[str, str]]):
    change = changed(before, now)
    assert set(before) - set(change.gone) | set(change.added) == set(now)
    assert not set(change.added) & set(before)
    assert not set(change.gone) & set(now)
    assert [place for place in now if place in change.added] == list(change.added)


@given(PLACES)
def test_the_same_list_changes_nothing(places: list[tuple[str, str]]):
    assert changed(places, reversed(places)) == ((), ())


def test_the_same_address_under_another_name_is_another_target():
    assert Spec("http://192.0.2.1:80", known_as="a").place != Spec("http://192.0.2.1:80", known_as="b").place
    assert Spec("http://192.0.2.1:80", 1).place == Spec("http://192.0.2.1:80", 2, 3, True).place


# ---------------------------------------------------------------- when


@pytest.mark.parametrize(
    ("ttl", "refresh", "seconds"),
    [(60, 300, 60), (600, 300, 300), (0, 300, FLOOR), (0.2, 300, FLOOR), (0, 0.25, 0.25), (5, 0.25, 0.25)],
)
def test_the_ttl_is_kept_within_its_bounds(ttl: float, refresh: float, seconds: float):
    assert next_look(ttl, refresh) == seconds


@given(st.integers(1, 100_000), st.floats(0.01, 1e6))
def test_a_look_up_that_fails_is_repeated_ever_later_within_bounds(failures: int, refresh: float):
    pause = next_try(failures, refresh)
    assert 0 < pause <= min(refresh, LONGEST_RETRY)
    assert next_try(failures + 1, refresh) >= pause
    assert next_try(1, refresh) == min(FLOOR, refresh)
