"""Random, and the draws that others stand on."""

from __future__ import annotations

from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import Random
from gateway.balance.chance import draw, draw_two
from support.balancing import Stub, named, options

WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=7)
CHANCE = st.floats(0, 1, exclude_max=True)


@given(WEIGHTS, CHANCE)
def test_a_draw_takes_the_part_that_the_weights_give_it(weights: list[int], chance: float):
    targets = named(weights)
    drawn = draw(targets, (), chance)
    index = targets.index(drawn)  # type: ignore[arg-type]
    assert sum(weights[:index]) <= chance * sum(weights) <= sum(weights[: index + 1])


@given(WEIGHTS, CHANCE, CHANCE)
def test_two_draws_are_never_the_same_target(weights: list[int], first: float, second: float):
    one, other = draw_two(named(weights), (), cycle([first, second]).__next__)
    assert one is not None
    assert one is not other
    assert (other is None) == (len(weights) == 1)


def test_a_rest_of_rounding_goes_to_the_last_one():
    targets = [Stub(0.1), Stub(0.2), Stub(0.3)]
    assert draw(targets, (), 1.0) is targets[2]  # a chance that no generator gives, as rounding might


def test_the_same_chance_makes_the_same_picks():
    targets = named([1, 2, 3])
    one, other = Random(targets, options(7)), Random(targets, options(7))
    assert [one.pick(b"", ()) for _ in range(50)] == [other.pick(b"", ()) for _ in range(50)]
