"""Rendezvous hashing with bounded load."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.balance import Hash
from support.balancing import Stub, named, options

KEYS = [b"client-%d" % number for number in range(5000)]


def places(balancer: Hash[Stub]) -> dict[bytes, Stub | None]:
    return {key: balancer.pick(key, ()) for key in KEYS}


@given(st.binary(min_size=1, max_size=40), st.integers(2, 8))
def test_equal_keys_go_to_the_same_target_whoever_asks(key: bytes, count: int):
    targets = named([1] * count)
    one, other = Hash(targets, options(1)), Hash(list(reversed(targets)), options(2))
    assert len({one.pick(key, ()) for _ in range(3)} | {other.pick(key, ())}) == 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 10), min_size=2, max_size=8), st.data())
def test_only_the_keys_of_a_target_that_goes_move(weights: list[int], data: st.DataObject):
    targets = named(weights)
    gone = data.draw(st.sampled_from(targets))
    before = places(Hash(targets))
    after = places(Hash([target for target in targets if target is not gone]))
    moved = [key for key in KEYS if before[key] is not after[key]]
    assert all(before[key] is gone for key in moved)
    assert len(moved) / len(KEYS) <= gone.weight / sum(weights) + 0.03


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(1, 10))
def test_a_target_that_comes_takes_its_part_from_all_and_nothing_else_moves(count: int, weight: int):
    targets = named([*[1] * count, weight])
    before, after = places(Hash(targets[:-1])), places(Hash(targets))
    assert {after[key] for key in KEYS if before[key] is not after[key]} <= {targets[-1]}
    assert sum(after[key] is targets[-1] for key in KEYS) / len(KEYS) == pytest.approx(weight / (count + weight), abs=0.05)


def test_a_weight_that_grows_only_draws_keys_to_its_target():
    targets = named([1, 1, 1])
    balancer = Hash(targets)
    before = places(balancer)
    targets[0].weight = 2
    after = places(balancer)
    moved = {key for key in KEYS if before[key] is not after[key]}
    assert moved
    assert {after[key] for key in moved} == {targets[0]}


@given(st.binary(min_size=1, max_size=12), st.integers(2, 6))
def test_what_was_tried_is_passed_over_in_an_order_that_is_the_keys_own(key: bytes, count: int):
    targets = named([1] * count)
    balancer = Hash(targets)
    order: list[Stub] = []
    while (target := balancer.pick(key, tuple(order))) is not None:
        order.append(target)
    assert sorted(order, key=targets.index) == targets
    assert balancer.pick(key, (order[0],)) is order[1]  # it is not drawn anew
    assert Hash([target for target in targets if target is not order[0]]).pick(key, ()) is order[1]


def test_requests_without_a_key_take_turns():
    targets = named([1, 1, 1])
    balancer = Hash(targets)
    assert [balancer.pick(b"", ()) for _ in range(6)] == targets * 2


LOADS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 30)), min_size=2, max_size=7)


@given(LOADS, st.binary(min_size=1, max_size=8), st.integers(101, 200), st.data())
def test_no_target_is_picked_above_its_bound(loads: list[tuple[int, int]], key: bytes, percent: int, data: st.DataObject):
    targets = named([weight for weight, _ in loads])
    for target, (_, in_flight) in zip(targets, loads, strict=True):
        target.in_flight = in_flight
    tried = tuple(data.draw(st.lists(st.sampled_from(targets), unique=True, max_size=len(targets) - 1)))
    picked = Hash(targets, options(hash_load=percent / 100)).pick(key, tried)
    assert picked is not None
    left = [target for target in targets if target not in tried]
    all_of_them = sum(target.in_flight for target in left) + 1
    share = Fraction(picked.weight, sum(target.weight for target in left))  # type: ignore[arg-type]
    assert picked.in_flight + 1 <= ceil(Fraction(percent, 100) * all_of_them * share)


def test_one_hot_key_spills_over_its_bound_and_comes_back():
    targets = named([1, 1, 1, 1])
    balancer = Hash(targets, options(hash_load=1.25))
    own = balancer.pick(b"hot", ())
    got: Counter[Stub | None] = Counter()
    for _ in range(100):
        target = balancer.pick(b"hot", ())
        assert target is not None
        target.in_flight += 1
        got[target] += 1
    assert max(got.values()) <= 32  # 1.25 of a quarter of 100, rounded up
    for target in targets:
        target.in_flight = 0
    assert balancer.pick(b"hot", ()) is own


def test_without_a_bound_a_hot_key_stays_where_it_is():
    targets = named([1, 1])
    balancer = Hash(targets)
    own = balancer.pick(b"hot", ())
    assert own is not None
    own.in_flight = 1000
    assert balancer.pick(b"hot", ()) is own
