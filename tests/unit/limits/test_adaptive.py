"""Adaptive concurrency, against a target that is simulated: so many places, and a queue before them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.adaptive import MAX_SAMPLES, RECHECK, SAMPLES, WINDOW, Adaptive, AdaptiveRules

RULES = AdaptiveRules(lowest=1, highest=200, initial=20)


def crowd(adaptive: Adaptive, places: int, service: float, seconds: float, start: float = 0.0, seed: int = 1) -> list[float]:
    """Requests without end, as many at a time as the limit lets in. The limit after each answer."""
    chance = Random(seed)
    now = start
    free = [start] * places  # when each place of the target is free
    under_way: list[tuple[float, float]] = []  # end and beginning
    limits = []
    while now < start + seconds:
        while len(under_way) < adaptive.limit:
            place = min(range(places), key=free.__getitem__)
            free[place] = max(now, free[place]) + service * chance.uniform(0.8, 1.2)
            under_way.append((free[place], now))
        under_way.sort()
        now, began = under_way.pop(0)
        adaptive.answered(now - began, len(under_way) + 1, now)
        limits.append(adaptive.limit)
    return limits


@pytest.mark.parametrize("places", [1, 3, 5, 20, 100])
def test_under_a_crowd_the_limit_comes_near_what_the_target_works_on(places: int):
    limits = crowd(Adaptive(RULES, 0.0), places, 0.05, 60)
    late = limits[len(limits) // 2 :]
    mean = sum(late) / len(late)
    assert places * 0.8 <= mean <= places * 1.5 + 1.5


def test_it_follows_a_target_that_gets_smaller_and_larger_again():
    adaptive = Adaptive(RULES, 0.0)
    crowd(adaptive, 20, 0.05, 30)
    smaller = crowd(adaptive, 5, 0.05, 30, start=30)
    assert smaller[-1] <= 10
    larger = crowd(adaptive, 40, 0.05, 60, start=60)
    assert max(larger) >= 30


def test_work_that_gets_longer_for_good_is_not_taken_for_a_queue_for_ever():
    adaptive = Adaptive(RULES, 0.0)
    crowd(adaptive, 20, 0.02, 30)
    slower = crowd(adaptive, 20, 0.2, 2 * RECHECK * 0.3, start=30)
    assert sum(slower[-1000:]) / 1000 >= 15


def test_an_idle_target_keeps_its_limit():
    adaptive = Adaptive(RULES, 0.0)
    for index in range(1000):
        adaptive.answered(0.05, 1, index * 0.05)
    assert adaptive.limit == RULES.initial


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 300), st.floats(0, 1)), max_size=400))
def test_the_limit_stays_within_its_bounds(answers: list[tuple[float, int, float]]):
    rules = AdaptiveRules(lowest=2, highest=50, initial=1000)  # beyond the highest
    adaptive = Adaptive(rules, 0.0)
    now = 0.0
    for latency, in_flight, seconds in answers:
        now += seconds
        adaptive.answered(latency, in_flight, now)
        assert rules.lowest <= adaptive.limit <= rules.highest


def test_a_short_window_is_not_judged():
    adaptive = Adaptive(RULES, 0.0)
    for index in range(MAX_SAMPLES * 2):
        adaptive.answered(0.05, 20, WINDOW * index / (MAX_SAMPLES * 2))
    assert adaptive.limit == RULES.initial


def test_a_few_answers_are_not_judged():
    adaptive = Adaptive(RULES, 0.0)
    for index in range(SAMPLES - 1):
        adaptive.answered(10.0, 20, 10.0 * index)
    assert adaptive.limit == RULES.initial


def test_latency_that_rises_a_little_with_a_moderate_load_costs_nothing():
    adaptive = Adaptive(RULES, 0.0)
    for index in range(600):
        adaptive.answered(0.04 + 0.00001 * index, 5, index * 0.02)
    assert adaptive.limit == RULES.initial


def test_latency_that_falls_is_the_new_measure():
    adaptive = Adaptive(RULES, 0.0)
    for index in range(600):
        adaptive.answered(0.04 if index < 300 else 0.02, 5, index * 0.02)
    for index in range(600, 800):
        adaptive.answered(0.04, 5, index * 0.02)
    assert adaptive.limit < RULES.initial
