"""When failures eject a target, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    ClientGone,
    ConnectionLimitReached,
    ConnectionRefused,
    ConnectionTerminated,
    FirstByteTimeout,
    IncompleteResponse,
    TotalTimeout,
)
from gateway.limits.outlier import LONGEST, FailureWindow, Outlier, Passive, is_fault, may_eject

RULES = Passive(max_fails=3, fail_timeout=10)
BY_RATE = Passive(max_fails=1000, fail_timeout=10, error_rate=0.5, min_requests=10)


def failing(outlier: Outlier, rules: Passive, *times: float) -> list[bool]:
    return [outlier.failed(rules, 0, now) for now in times]


def test_the_row_of_failures_ejects():
    assert failing(Outlier(), RULES, 0, 1, 2) == [False, False, True]


def test_a_success_ends_the_row():
    outlier = Outlier()
    failing(outlier, RULES, 0, 1)
    outlier.in_a_row = 0
    assert failing(outlier, RULES, 2, 3, 4) == [False, False, True]


def test_failures_that_are_spread_over_more_than_the_time_do_not_eject():
    assert not any(failing(Outlier(), RULES, 0, 6, 12, 18, 24))


def test_a_target_that_could_not_be_ejected_is_asked_for_at_every_further_failure():
    assert failing(Outlier(), RULES, 0, 1, 2, 3, 4)[2:] == [True, True, True]


@given(st.lists(st.booleans(), max_size=60))
def test_a_share_of_failures_ejects_once_there_are_enough_attempts(results: list[bool]):
    """The window begins with the first failure and holds all of this."""
    outlier = Outlier()
    begun = failures = attempts = 0
    for requests, failed in enumerate(results, 1):
        begun += failed or begun > 0
        attempts = begun
        if failed:
            failures += 1
            expected = attempts >= 10 and failures >= attempts / 2
            assert outlier.failed(BY_RATE, requests, 1.0) is expected


def test_the_share_is_of_one_window_alone():
    outlier = Outlier()
    for requests in range(1, 9):
        assert not outlier.failed(BY_RATE, requests, 0.0)
    assert not outlier.failed(BY_RATE, 1000, 10.0)
    assert not outlier.failed(BY_RATE, 1001, 10.0)


def test_failures_of_attempts_from_before_the_window_do_not_make_it_more_than_all():
    window = FailureWindow()
    for _ in range(5):
        window.failed(100, 10, 0.0)
    assert (window.failures, window.requests) == (5, 5)


@given(st.integers(1, 40))
def test_an_ejection_that_follows_at_once_lasts_twice_as_long_up_to_a_bound(times: int):
    outlier = Outlier()
    now = 0.0
    for index in range(times):
        until = outlier.eject(RULES, now)
        assert until - now == RULES.fail_timeout * min(2**index, LONGEST)
        assert outlier.until == until
        outlier.returned(until)
        now = until


def test_after_a_good_time_it_begins_with_the_shortest_ejection_again():
    outlier = Outlier()
    outlier.returned(outlier.eject(RULES, 0))
    outlier.returned(outlier.eject(RULES, 11))  # 20 seconds, to 31
    assert outlier.eject(RULES, 31 + 30) == 61 + 10


def test_who_returns_has_no_failures():
    outlier = Outlier()
    failing(outlier, RULES, 0, 1, 2)
    outlier.eject(RULES, 2)
    outlier.returned(3)
    assert outlier.until == 3
    assert failing(outlier, RULES, 4, 5, 6) == [False, False, True]


@given(st.integers(1, 20), st.data(), st.floats(0.05, 1))
def test_at_most_the_share_is_ejected_and_one_stays(undrained: int, data: st.DataObject, share: float):
    down = data.draw(st.integers(0, undrained))
    ejected = 0
    while may_eject(ejected, undrained - down - ejected, undrained, share):
        ejected += 1
    assert ejected <= share * undrained
    assert undrained - down - ejected >= min(1, undrained - down)


@pytest.mark.parametrize(
    ("error", "reused", "fault"),
    [
        (ConnectionRefused(), False, True),
        (FirstByteTimeout(), False, True),
        (IncompleteResponse(), True, True),
        (ConnectionTerminated(), False, True),
        (ConnectionTerminated(), True, False),
        (ConnectionLimitReached(), False, False),
        (TotalTimeout(), False, False),
        (ClientGone(), False, False),
        (KeyboardInterrupt(), False, False),
    ],
)
def test_only_what_the_target_did_speaks_against_it(error: BaseException, reused: bool, fault: bool):
    assert is_fault(error, reused=reused) is fault
