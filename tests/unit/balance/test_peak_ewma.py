"""The average that believes bad news at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.balance.peak_ewma import DECAY, PeakEwma

SECONDS = st.floats(0, 100)
NEWS = st.lists(st.tuples(SECONDS, st.floats(0, 10)), min_size=1, max_size=20)  # what an answer took, how long after


def told(news: list[tuple[float, float]]) -> tuple[PeakEwma, float]:
    average, now = PeakEwma(), 0.0
    for seconds, later in news:
        now += later
        average.observe(seconds, now)
    return average, now


@given(NEWS, SECONDS)
def test_a_peak_is_believed_at_once(news: list[tuple[float, float]], seconds: float):
    average, now = told(news)
    average.observe(seconds, now)
    assert average.at(now) >= seconds


@given(NEWS)
def test_it_is_never_above_the_worst_nor_below_nothing(news: list[tuple[float, float]]):
    average, now = told(news)
    assert 0 <= average.at(now) <= max(seconds for seconds, _ in news) * (1 + 1e-9)


@given(NEWS, st.floats(0, 100), st.floats(0, 100))
def test_in_silence_it_only_falls(news: list[tuple[float, float]], sooner: float, later: float):
    average, now = told(news)
    assert average.at(now + sooner + later) <= average.at(now + sooner)


@given(NEWS)
def test_a_clock_that_lags_changes_nothing(news: list[tuple[float, float]]):
    average, now = told(news)
    assert average.at(now - 1) == average.at(now)


def test_old_news_counts_for_an_eth_after_its_time():
    average = PeakEwma()
    assert not average.is_known
    average.observe(1.0, 100.0)
    assert average.is_known
    assert average.at(100.0 + DECAY) == pytest.approx(0.367879, rel=1e-5)


def test_good_news_is_believed_slowly():
    average = PeakEwma()
    average.observe(1.0, 0.0)
    average.observe(0.1, DECAY / 10)
    assert 0.9 < average.at(DECAY / 10) < 0.95
