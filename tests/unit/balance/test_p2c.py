"""Power of two choices."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.balance import PowerOfTwoChoices, Random
from support.balancing import Stub, named, options

LOADS = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 50)), min_size=2, max_size=7)


def load(target: Stub) -> Fraction:
    return Fraction(target.in_flight, target.weight)  # type: ignore[arg-type]


@given(LOADS, st.integers(0, 1000))
def test_of_two_targets_the_less_loaded_is_picked(loads: list[tuple[int, int]], seed: int):
    one, other = (Stub(*given) for given in loads[:2])
    assume(load(one) != load(other))
    assert PowerOfTwoChoices([one, other], options(seed)).pick(b"", ()) is min(one, other, key=load)


@given(LOADS, st.integers(0, 1000))
def test_the_most_loaded_of_several_is_never_picked(loads: list[tuple[int, int]], seed: int):
    targets = [Stub(*given) for given in loads]
    worst = max(targets, key=load)
    assume(all(load(target) < load(worst) for target in targets if target is not worst))
    balancer = PowerOfTwoChoices(targets, options(seed))
    assert worst not in [balancer.pick(b"", ()) for _ in range(20)]


def test_requests_that_stay_lie_more_evenly_than_by_chance_alone():
    spread = {}
    for balancer in (Random, PowerOfTwoChoices):
        targets = named([1] * 10)
        picks = balancer(targets, options())
        for _ in range(1000):
            target = picks.pick(b"", ())
            assert target is not None
            target.in_flight += 1
        spread[balancer] = max(target.in_flight for target in targets) - min(target.in_flight for target in targets)
    assert spread[PowerOfTwoChoices] <= 6 < spread[Random]


def test_requests_that_stay_lie_by_weight():
    targets = named([4, 2, 1])
    balancer = PowerOfTwoChoices(targets, options())
    for _ in range(700):
        target = balancer.pick(b"", ())
        assert target is not None
        target.in_flight += 1
    assert [target.in_flight for target in targets] == pytest.approx([400, 200, 100], abs=10)


def test_a_loaded_target_gets_the_smaller_part_of_what_is_picked():
    idle, second, loaded = Stub(), Stub(), Stub(in_flight=10)
    balancer = PowerOfTwoChoices([idle, second, loaded], options())
    counted = Counter(balancer.pick(b"", ()) for _ in range(1000))
    assert counted[loaded] == 0  # it is never better than the other of its two
    assert counted[idle] > 400
    assert counted[second] > 400
