"""Least time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.balance import Learns, LeastTime
from gateway.balance.least_time import FAILURE, FASTEST
from gateway.balance.peak_ewma import DECAY
from support.balancing import Stub, named, options


def counted(balancer: LeastTime[Stub], picks: int = 1000) -> Counter[Stub | None]:
    return Counter(balancer.pick(b"", ()) for _ in range(picks))


@given(st.floats(0.002, 1), st.floats(1.01, 10), st.integers(0, 5), st.integers(0, 1000))
def test_of_two_targets_the_slower_is_not_picked_while_both_have_the_same_load(
    seconds: float, slower: float, in_flight: int, seed: int
):
    fast, slow = Stub(in_flight=in_flight), Stub(in_flight=in_flight)
    balancer = LeastTime([slow, fast], options(seed))
    balancer.answered(slow, seconds * slower, 1.0)
    balancer.answered(fast, seconds, 1.0)
    assert balancer.pick(b"", ()) is fast


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 1000))
def test_of_two_that_are_equally_fast_the_less_loaded_is_picked(first: int, second: int, seed: int):
    assume(first != second)
    one, other = Stub(in_flight=first), Stub(in_flight=second)
    balancer = LeastTime([one, other], options(seed))
    for target in (one, other):
        balancer.answered(target, 0.01, 1.0)
    assert balancer.pick(b"", ()) is (one if first < second else other)


def test_slow_targets_get_less():
    """Requests in flight stay for as long as their target takes, in steps of a millisecond."""
    targets = named([1, 1, 1, 1])
    takes = dict(zip(targets, (10, 10, 10, 50), strict=True))
    balancer = LeastTime(targets, options())
    under_way: list[tuple[int, Stub]] = []
    got: Counter[Stub] = Counter()
    for step in range(4000):
        for end, target in [one for one in under_way if one[0] == step]:
            under_way.remove((end, target))
            target.in_flight -= 1
            balancer.answered(target, takes[target] / 1000, step / 1000)
        target = balancer.pick(b"", ())
        assert target is not None
        target.in_flight += 1
        got[target] += 1
        under_way.append((step + takes[target], target))
    assert got[targets[3]] < 0.1 * sum(got.values())
    assert min(got[target] for target in targets[:3]) > 0.25 * sum(got.values())


def test_a_target_that_nothing_is_known_of_gets_one_request_until_it_has_answered():
    old, new = Stub(), Stub()
    balancer = LeastTime([old, new], options())
    balancer.answered(old, 0.01, 1.0)
    assert set(counted(balancer)) == {new}
    new.in_flight = 1
    old.in_flight = 100
    assert set(counted(balancer)) == {old}


def test_a_failure_that_comes_at_once_does_not_look_fast():
    bad, good = Stub(), Stub()
    balancer = LeastTime([bad, good], options())
    balancer.answered(good, 0.2, 1.0)
    balancer.failed(bad, 0.0001, 1.0)
    assert bad.latency.at(1.0) == FAILURE
    assert set(counted(balancer)) == {good}


def test_a_failure_that_took_long_counts_for_all_of_it():
    target = Stub()
    LeastTime([target], options()).failed(target, 3.0, 1.0)
    assert target.latency.at(1.0) == 3.0


def test_clients_that_leave_tell_only_that_it_took_longer():
    target = Stub()
    balancer = LeastTime([target], options())
    balancer.answered(target, 0.5, 1.0)
    balancer.left(target, 0.1, 1.0)
    assert target.latency.at(1.0) == 0.5
    balancer.left(target, 2.0, 1.0)
    assert target.latency.at(1.0) == 2.0


def test_what_was_bad_is_tried_again_when_others_have_answered_for_long_enough():
    bad, good = Stub(), Stub()
    balancer = LeastTime([bad, good], options())
    balancer.answered(bad, 1.0, 0.0)
    balancer.answered(good, 0.1, 0.0)
    assert set(counted(balancer)) == {good}
    balancer.answered(good, 0.1, 4 * DECAY)
    assert set(counted(balancer)) == {bad}


def test_times_that_the_clock_cannot_tell_apart_are_alike():
    targets = named([2, 1])
    balancer = LeastTime(targets, options())
    balancer.answered(targets[0], 0.0, 1.0)
    balancer.answered(targets[1], FASTEST / 2, 1.0)
    got = counted(balancer, 3000)
    assert got[targets[0]] / 3000 == pytest.approx(2 / 3, abs=0.03)


def test_it_says_that_it_wants_to_learn():
    assert isinstance(LeastTime([], options()), Learns)
