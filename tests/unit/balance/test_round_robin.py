"""Smooth weighted round robin."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import BALANCERS, RoundRobin


class Weighted:
    """A target as balancers see it."""

    def __init__(self, weight: int = 1, in_flight: int = 0) -> None:
        self.weight = weight
        self.in_flight = in_flight


WEIGHTS = st.lists(st.integers(1, 12), min_size=1, max_size=7)


def picks(balancer: RoundRobin[Weighted], count: int) -> list[Weighted]:
    picked = [balancer.pick(b"", ()) for _ in range(count)]
    assert None not in picked
    return picked  # type: ignore[return-value]


@given(WEIGHTS, st.integers(1, 3))
def test_shares_are_the_weights_after_every_cycle(weights: list[int], cycles: int):
    targets = [Weighted(weight) for weight in weights]
    balancer = RoundRobin(targets)
    for _ in range(cycles):
        counted = Counter(picks(balancer, sum(weights)))
        assert [counted[target] for target in targets] == weights


@given(st.integers(1, 7), st.integers(1, 9))
def test_equal_weights_make_a_plain_circle(count: int, weight: int):
    targets = [Weighted(weight) for _ in range(count)]
    assert picks(RoundRobin(targets), 2 * count) == targets * 2


@given(WEIGHTS)
def test_turns_are_spread_over_the_cycle(weights: list[int]):
    targets = [Weighted(weight) for weight in weights]
    total = sum(weights)
    turns = picks(RoundRobin(targets), 2 * total)
    for target in targets:
        places = [place for place, turn in enumerate(turns) if turn is target]
        gaps = [later - earlier for earlier, later in pairwise(places)]
        # never further apart than the share asks for, give or take a turn of each other target
        assert max(gaps, default=0) <= total / target.weight + len(targets)


def test_a_heavy_target_does_not_get_its_turns_in_a_row():
    a, b, c = Weighted(5), Weighted(1), Weighted(1)
    assert picks(RoundRobin([a, b, c]), 7) == [a, a, b, a, c, a, a]


@given(WEIGHTS, st.data())
def test_a_tried_target_is_never_picked_and_any_other_is(weights: list[int], data: st.DataObject):
    targets = [Weighted(weight) for weight in weights]
    balancer = RoundRobin(targets)
    for _ in range(20):
        tried = tuple(data.draw(st.lists(st.sampled_from(targets), unique=True)))
        picked = balancer.pick(b"", tried)
        assert picked not in tried
        assert (picked is None) == (len(tried) == len(targets))


@given(WEIGHTS, st.data())
def test_targets_that_were_passed_over_do_not_spoil_the_shares(weights: list[int], data: st.DataObject):
    targets = [Weighted(weight) for weight in weights]
    balancer = RoundRobin(targets)
    for _ in range(10):
        balancer.pick(b"", tuple(data.draw(st.lists(st.sampled_from(targets), unique=True))))
    counted = Counter(picks(balancer, 10 * sum(weights)))
    for target in targets:
        assert abs(counted[target] - 10 * target.weight) <= 10 + len(targets)


def test_without_targets_there_is_nothing_to_pick():
    assert RoundRobin[Weighted]([]).pick(b"", ()) is None


def test_every_balancer_is_known_by_its_name():
    for balancer in BALANCERS.values():
        target = Weighted()
        assert balancer([target]).pick(b"", ()) is target
