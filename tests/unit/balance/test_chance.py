"""Random, and the draws that others stand on."""

from __future__ import annotations

from collections import Counter
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import BalancerOptions, Random
from gateway.balance.chance import Odds
from support.balancing import Stub, named, options

WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=7)


def odds(targets: list[Stub], *chances: float) -> Odds[Stub]:
    """Draws by these chances, one after the other, again and again."""
    return Odds(targets, BalancerOptions(cycle(chances).__next__))


@given(WEIGHTS, st.integers(0, 1000))
def test_two_draws_are_never_the_same_target(weights: list[int], seed: int):
    draws = Odds(named(weights), options(seed))
    for _ in range(10):
        one, other = draws.two(())
        assert one is not None
        assert one is not other
        assert (other is None) == (len(weights) == 1)


def test_equal_weights_need_one_draw():
    drawn = iter([0.0, 0.5, 0.99])
    targets = named([2, 2, 2])
    draws = Odds(targets, BalancerOptions(drawn.__next__))
    assert [draws.one(()) for _ in range(3)] == targets
    assert next(drawn, None) is None


@pytest.mark.parametrize("weights", [[1000, 1], [1, *[1000] * 5], [1000, *[1] * 20], [5, 3, 2]])
def test_the_odds_are_the_weights_however_unlike_they_are(weights: list[int]):
    targets = named(weights)
    draws = Odds(targets, options())
    counted = Counter(draws.one(()) for _ in range(50_000))
    for target, weight in zip(targets, weights, strict=True):
        assert counted[target] / 50_000 == pytest.approx(weight / sum(weights), abs=0.01)


def test_the_second_of_two_is_drawn_by_weight_among_the_others():
    targets = named([1000, 3, 1])
    draws = Odds(targets, options())
    seconds = Counter(second for first, second in (draws.two(()) for _ in range(20_000)) if first is targets[0])
    assert seconds[targets[1]] / sum(seconds.values()) == pytest.approx(0.75, abs=0.02)


def test_a_rest_of_rounding_goes_to_the_last_one():
    targets = [Stub(0.1), Stub(0.2), Stub(0.3)]
    assert odds(targets, 1.0).one((targets[0],)) is targets[2]  # a chance that no generator gives, as rounding might


def test_the_same_chance_makes_the_same_picks():
    targets = named([1, 2, 3])
    one, other = Random(targets, options(7)), Random(targets, options(7))
    assert [one.pick(b"", ()) for _ in range(50)] == [other.pick(b"", ()) for _ in range(50)]
