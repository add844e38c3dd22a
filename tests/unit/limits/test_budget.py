"""What an upstream may still afford to repeat."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.budget import WINDOW, Budget

STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 500), st.integers(0, 50)), max_size=30)


@given(STEPS, st.floats(0, 1), st.floats(0, 10))
def test_never_more_is_spent_than_the_share_and_the_minimum_come_to(
    steps: list[tuple[float, int, int]], share: float, minimum: float
):
    budget = Budget(share, minimum, 0.0)
    now = 0.0
    requests = spent = 0
    for seconds, more, wanted in steps:
        now += seconds
        requests += more
        spent += sum(budget.spend(requests, now) for _ in range(wanted))
        assert spent <= share * requests + minimum * (now + 1) + 1e-6


@given(st.floats(0.01, 1), st.integers(1, 100))
def test_a_long_quiet_time_saves_up_no_more_than_a_window(share: float, minimum: int):
    budget = Budget(share, minimum, 0.0)
    now = 100 * WINDOW
    spent = 0
    while budget.spend(0, now):
        spent += 1
    assert spent <= minimum * WINDOW + 1


def test_the_minimum_is_there_without_any_attempts():
    budget = Budget(0.2, 3, 0.0)
    assert [budget.spend(0, 0.0) for _ in range(4)] == [True, True, True, False]
    assert budget.spend(0, 0.34)


def test_attempts_pay_in_their_share():
    budget = Budget(0.2, 0, 0.0)
    assert not budget.spend(0, 0.0)
    assert sum(budget.spend(100, 1.0) for _ in range(100)) == 20


def test_steady_failure_costs_the_share_of_the_load():
    """100 requests a second that all fail and would be repeated, for a minute."""
    budget = Budget(0.2, 0, 0.0)
    requests = spent = 0
    for tick in range(6000):
        requests += 1
        if budget.spend(requests + spent, tick / 100):
            spent += 1
    assert 0.15 <= spent / requests <= 0.26
