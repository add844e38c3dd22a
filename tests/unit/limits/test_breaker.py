"""The circuit breaker."""

from __future__ import annotations

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.limits.breaker import Breaker, BreakerRules, Circuit

RULES = BreakerRules(error_rate=0.5, min_requests=4, window=10, open_for=5)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(RULES)
    for requests in range(1, 5):
        breaker.failed(requests, now)
    return breaker


def test_it_opens_when_enough_attempts_failed():
    breaker = Breaker(RULES)
    for requests in range(1, 4):
        breaker.failed(requests, 0.0)
        assert breaker.state is Circuit.CLOSED
    breaker.failed(4, 0.0)
    assert breaker.state is Circuit.OPEN
    assert breaker.open_until == 5


def test_it_stays_closed_while_most_attempts_succeed():
    breaker = Breaker(BreakerRules(error_rate=0.5, min_requests=20, window=10, open_for=5))
    for requests in range(3, 300, 3):
        breaker.failed(requests, 0.0)
    assert breaker.state is Circuit.CLOSED


def test_failures_of_another_window_do_not_count():
    breaker = Breaker(RULES)
    for requests in range(1, 4):
        breaker.failed(requests, 0.0)
    breaker.failed(4, 10.0)
    assert breaker.state is Circuit.CLOSED


def test_open_it_lets_nothing_through_until_one_may_try():
    breaker = opened()
    assert not breaker.asks(4.9)
    assert breaker.asks(5.0)
    assert breaker.state is Circuit.HALF_OPEN
    assert not breaker.asks(9.9)


def test_one_whose_end_is_not_seen_is_not_waited_for():
    breaker = opened()
    breaker.asks(5.0)
    assert breaker.asks(10.0)
    assert breaker.state is Circuit.HALF_OPEN


@pytest.mark.parametrize(("failed", "state"), [(False, Circuit.CLOSED), (True, Circuit.OPEN)])
def test_the_one_that_tries_decides(failed: bool, state: Circuit):
    breaker = opened()
    breaker.asks(5.0)
    breaker.tried(6.0, failed=failed)
    assert breaker.state is state
    assert breaker.asks(6.0) is (not failed)


def test_another_one_tries_at_once_where_it_came_to_nothing():
    breaker = opened()
    breaker.asks(5.0)
    breaker.tried(6.0, failed=None)
    assert breaker.asks(6.0)


def test_attempts_that_began_before_it_opened_change_nothing():
    breaker = opened()
    breaker.failed(5, 1.0)
    assert breaker.open_until == 5
    breaker.asks(5.0)
    breaker.failed(6, 5.0)
    assert breaker.state is Circuit.HALF_OPEN


class Life(RuleBasedStateMachine):
    """Whatever happens, no two attempts try within `open_for`, unless the first has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(RULES)
        self.now = 0.0
        self.requests = 0
        self.trying = False
        self.trying_since = 0.0

    @rule()
    def time_passes(self) -> None:
        self.now += 2

    @rule()
    def a_request_comes(self) -> None:
        was_closed = self.breaker.state is Circuit.CLOSED
        if self.breaker.asks(self.now):
            self.requests += 1
            if not was_closed:
                assert not self.trying or self.now - self.trying_since >= RULES.open_for
                self.trying = True
                self.trying_since = self.now

    @rule()
    def an_attempt_fails(self) -> None:
        self.breaker.failed(self.requests, self.now)

    @precondition(lambda self: self.trying)
    @rule()
    def the_trial_fails(self) -> None:
        self.trying = False
        self.breaker.tried(self.now, failed=True)
        assert not self.breaker.asks(self.now)

    @precondition(lambda self: self.trying)
    @rule()
    def the_trial_succeeds(self) -> None:
        self.trying = False
        self.breaker.tried(self.now, failed=False)

    @precondition(lambda self: self.trying)
    @rule()
    def the_trial_is_given_up(self) -> None:
        self.trying = False
        self.breaker.tried(self.now, failed=None)

    @invariant()
    def a_trial_means_half_open(self) -> None:
        assert self.trying is (self.breaker.state is Circuit.HALF_OPEN)


TestLife = Life.TestCase
