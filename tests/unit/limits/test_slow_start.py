"""The part of a target that has recovered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.slow_start import FLOOR, weight_share

DURATIONS = st.floats(0.1, 1000)


@given(st.floats(0, 2000), st.floats(0, 2000), DURATIONS)
def test_it_never_shrinks_and_stays_between_the_floor_and_the_whole(one: float, other: float, duration: float):
    early, late = sorted((one, other))
    assert FLOOR <= weight_share(early, duration) <= weight_share(late, duration) <= 1


@given(DURATIONS)
def test_it_is_whole_at_the_end_and_half_in_the_middle(duration: float):
    assert weight_share(duration, duration) == 1
    assert weight_share(duration / 2, duration) == 0.5
    assert weight_share(0, duration) == FLOOR
