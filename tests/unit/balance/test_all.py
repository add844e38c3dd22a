"""What holds for every balancer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.balance import BALANCERS
from support.balancing import Stub, named, options, shares

WEIGHTS = st.lists(st.one_of(st.integers(1, 1000), st.floats(0.001, 1000)), min_size=1, max_size=7)
KEYS = st.binary(max_size=12)
by_name = pytest.mark.parametrize("name", BALANCERS)


def busy(data: st.DataObject, weights: list[float]) -> list[Stub]:
    targets = named(weights)
    for target in targets:
        target.in_flight = data.draw(st.integers(0, 20))
        if data.draw(st.booleans()):
            target.latency.observe(data.draw(st.floats(0, 10)), 0.0)
    return targets


@by_name
@settings(deadline=None)
@given(WEIGHTS, KEYS, st.data())
def test_a_tried_target_is_never_picked_and_any_other_is(name: str, weights: list[float], key: bytes, data: st.DataObject):
    targets = busy(data, weights)
    balancer = BALANCERS[name](targets, options())
    for _ in range(5):
        tried = tuple(data.draw(st.lists(st.sampled_from(targets), unique=True)))
        picked = balancer.pick(key, tried)
        assert picked not in tried
        assert (picked is None) == (len(tried) == len(targets))


@by_name
@settings(deadline=None)
@given(st.floats(0.001, 1000), st.integers(0, 100), KEYS)
def test_one_target_is_always_picked(name: str, weight: float, in_flight: int, key: bytes):
    target = Stub(weight, in_flight)
    balancer = BALANCERS[name]([target], options(hash_load=1.1))
    assert [balancer.pick(key, ()) for _ in range(3)] == [target] * 3
    assert balancer.pick(key, (target,)) is None


@by_name
def test_without_targets_there_is_nothing_to_pick(name: str):
    assert BALANCERS[name]([], options()).pick(b"", ()) is None
    assert BALANCERS[name]([], options()).pick(b"key", ()) is None


@pytest.mark.parametrize("name", set(BALANCERS) - {"first"})
@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 2, 1], [10, 1], [0.5, 1.5]])
def test_shares_follow_the_weights_while_nobody_is_busy(name: str, weights: list[float]):
    targets = named(weights)
    for target in targets:
        target.latency.observe(0.01, 0.0)
    balancer = BALANCERS[name](targets, options())
    keys = (b"client-%d" % number for number in range(20_000)) if name == "hash" else None
    got = shares(balancer, targets, 20_000, keys)
    assert got == pytest.approx([weight / sum(weights) for weight in weights], abs=0.02)


@pytest.mark.parametrize("name", set(BALANCERS) - {"first"})
def test_a_weight_that_changes_counts_from_the_next_pick_on(name: str):
    """As while a target starts slowly."""
    targets = named([1, 0.1])
    for target in targets:
        target.latency.observe(0.01, 0.0)
    balancer: Any = BALANCERS[name](targets, options())
    for weight in (0.1, 0.5, 1):
        targets[1].weight = weight
        keys = (b"client-%d" % number for number in range(10_000)) if name == "hash" else None
        got = shares(balancer, targets, 10_000, keys)
        assert got == pytest.approx([1 / (1 + weight), weight / (1 + weight)], abs=0.03)
