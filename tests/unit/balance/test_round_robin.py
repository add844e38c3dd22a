"""Smooth weighted round robin."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import RoundRobin
from support.balancing import Stub, named

WEIGHTS = st.lists(st.integers(1, 12), min_size=1, max_size=7)


def picks(balancer: RoundRobin[Stub], count: int) -> list[Stub]:
    picked = [balancer.pick(b"", ()) for _ in range(count)]
    assert None not in picked
    return picked  # type: ignore[return-value]


@given(WEIGHTS, st.integers(1, 3))
def test_shares_are_the_weights_after_every_cycle(weights: list[int], cycles: int):
    targets = [Stub(weight) for weight in weights]
    balancer = RoundRobin(targets)
    for _ in range(cycles):
        counted = Counter(picks(balancer, sum(weights)))
        assert [counted[target] for target in targets] == weights


@given(st.integers(1, 7), st.integers(1, 9))
def test_equal_weights_make_a_plain_circle(count: int, weight: int):
    targets = [Stub(weight) for _ in range(count)]
    assert picks(RoundRobin(targets), 2 * count) == targets * 2


@given(WEIGHTS)
def test_turns_are_spread_over_the_cycle(weights: list[int]):
    targets = [Stub(weight) for weight in weights]
    total = sum(weights)
    turns = picks(RoundRobin(targets), 2 * total)
    for target in targets:
        places = [place for place, turn in enumerate(turns) if turn is target]
        gaps = [later - earlier for earlier, later in pairwise(places)]
        # never so far apart that a whole turn of its share is missing
        assert max(gaps, default=0) < 2 * total / target.weight


def test_a_heavy_target_does_not_get_its_turns_in_a_row():
    a, b, c = Stub(5), Stub(1), Stub(1)
    assert picks(RoundRobin([a, b, c]), 7) == [a, a, b, a, c, a, a]


@given(WEIGHTS, st.data())
def test_a_tried_target_is_never_picked_and_any_other_is(weights: list[int], data: st.DataObject):
    targets = [Stub(weight) for weight in weights]
    balancer = RoundRobin(targets)
    for _ in range(20):
        tried = tuple(data.draw(st.lists(st.sampled_from(targets), unique=True)))
        picked = balancer.pick(b"", tried)
        assert picked not in tried
        assert (picked is None) == (len(tried) == len(targets))


@given(WEIGHTS, st.data())
def test_targets_that_were_passed_over_do_not_spoil_the_shares(weights: list[int], data: st.DataObject):
    targets = [Stub(weight) for weight in weights]
    balancer = RoundRobin(targets)
    for _ in range(10):
        balancer.pick(b"", tuple(data.draw(st.lists(st.sampled_from(targets), unique=True))))
    counted = Counter(picks(balancer, 10 * sum(weights)))
    for target in targets:
        assert abs(counted[target] - 10 * target.weight) <= 10 + len(targets)


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=5))
def test_credits_stay_bounded_with_weights_that_are_no_whole_numbers(weights: list[float]):
    balancer = RoundRobin(named(weights))
    picks(balancer, 500)
    assert max(map(abs, balancer._credits)) <= len(weights) * sum(weights)


def test_the_circle_is_left_while_a_target_starts_slowly_and_walked_again_afterwards():
    a, b = named([1, 1])
    balancer = RoundRobin([a, b])
    b.weight = 0.25
    assert Counter(picks(balancer, 100)) == {a: 80, b: 20}
    b.weight = 1
    picks(balancer, 1)  # it is noticed now
    turns = picks(balancer, 4)
    assert turns in ([a, b, a, b], [b, a, b, a])
    assert balancer._common == 1


def test_nobody_is_picked_where_all_were_tried_in_the_circle_or_outside():
    for weights in ([1, 1], [1, 2]):
        targets = named(weights)
        assert RoundRobin(targets).pick(b"", tuple(targets)) is None
