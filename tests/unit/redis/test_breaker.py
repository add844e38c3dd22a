"""One fault is enough; pauses double, and a short recovery does not make up for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.redis.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker


def test_one_fault_opens_it():
    breaker = Breaker()
    assert not breaker.is_open
    assert breaker.failed(10.0) == 10.0 + FIRST_PAUSE
    assert (breaker.is_open, breaker.opened) == (True, 1)


def test_pauses_double_up_to_the_longest():
    breaker = Breaker()
    pauses = [breaker.failed(0.0) for _ in range(8)]
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert breaker.opened == 1


def test_a_try_that_works_closes_it():
    breaker = Breaker()
    breaker.failed(0.0)
    breaker.worked(1.0)
    assert not breaker.is_open


def test_a_short_recovery_does_not_shorten_the_pause():
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
    breaker.worked(5.0)
    assert breaker.failed(5.1) == 5.1 + 16 * FIRST_PAUSE


def test_a_long_recovery_does():
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
    breaker.worked(5.0)
    assert breaker.failed(6.0) == 6.0 + FIRST_PAUSE


def test_working_on_is_no_news():
    breaker = Breaker()
    breaker.failed(0.0)
    breaker.worked(1.0)
    breaker.worked(9.0)
    assert breaker.failed(9.02) == 9.02 + FIRST_PAUSE


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=30))
def test_the_next_try_is_never_now_and_never_far(steps: list[tuple[bool, float]]):
    breaker, now = Breaker(), 0.0
    for fault, passed in steps:
        now += passed
        if fault:
            assert now + FIRST_PAUSE * 0.99 <= breaker.failed(now) <= now + LONGEST_PAUSE
        else:
            breaker.worked(now)
        assert breaker.is_open is fault
