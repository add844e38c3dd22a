"""The quantile of latencies."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.quantile import ENOUGH, GROWTH, HALF_LIFE, LOWEST, Latency

SECONDS = st.floats(0, 80)


@given(st.lists(SECONDS, min_size=ENOUGH, max_size=300), st.floats(0.01, 1))
def test_it_is_that_of_the_sorted_list_up_to_the_width_of_a_bucket(seen: list[float], share: float):
    latency = Latency()
    for seconds in seen:
        latency.add(seconds)
    exact = max(sorted(seen)[ceil(share * len(seen) - 1e-9) - 1], LOWEST)
    found = latency.quantile(share)
    assert found is not None
    assert exact / GROWTH * 0.999 <= found <= exact * GROWTH * 1.001


def test_nothing_is_said_before_enough_was_seen():
    latency = Latency()
    for _ in range(ENOUGH - 1):
        latency.add(1.0)
    assert latency.quantile(0.95) is None


def test_what_was_long_ago_is_forgotten():
    latency = Latency()
    for _ in range(2 * HALF_LIFE):
        latency.add(10.0)
    for _ in range(10 * HALF_LIFE):
        latency.add(0.01)
    found = latency.quantile(0.99)
    assert found is not None
    assert found < 0.02


def test_what_is_longer_than_all_buckets_is_in_the_last():
    latency = Latency()
    for _ in range(ENOUGH):
        latency.add(1e6)
    assert latency.quantile(0.5) == LOWEST * GROWTH**127
