"""The simulation of the balancers, and what the documentation says of it."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.balancers import CONTENDERS, PATIENCE, SCENARIOS, TARGETS, Outcome, simulate

SECONDS = 20.0


@cache
def outcome(contender: str, scenario: str) -> Outcome:
    return simulate(contender, SCENARIOS[scenario], seconds=SECONDS)


def share(contender: str, scenario: str) -> float:
    """What the target in trouble gets while it is in it."""
    found = outcome(contender, scenario)
    return sum(found.picked[12:20]) / sum(found.asked[12:20])


def test_the_same_seed_makes_the_same_figures_and_another_one_others():
    one, same, other = (simulate("p2c", SCENARIOS["slow"], seed, seconds=3.0) for seed in (1, 1, 2))
    assert one.seconds == same.seconds
    assert one.seconds != other.seconds


def test_all_contenders_get_the_same_requests():
    assert len({len(outcome(contender, "slow").seconds) for contender in ("round_robin", "least_conn", "hash")}) == 1


@pytest.mark.parametrize("contender", CONTENDERS)
def test_targets_that_are_alike_get_alike(contender: str):
    assert share(contender, "alike") == pytest.approx(1 / TARGETS, abs=0.04)


@pytest.mark.parametrize("contender", ["round_robin", "random", "hash"])
def test_a_slow_target_gets_as_much_as_ever_from_those_that_do_not_look(contender: str):
    assert share(contender, "slow") == pytest.approx(1 / TARGETS, abs=0.04)
    assert outcome(contender, "slow").percentile(0.99) == PATIENCE


@pytest.mark.parametrize("contender", ["p2c", "least_conn", "least_time", "hash, slack 25%"])
def test_a_slow_target_gets_half_or_less_from_those_that_look(contender: str):
    assert share(contender, "slow") < 0.5 / TARGETS + 0.01
    assert outcome(contender, "slow").percentile(0.99) < PATIENCE / 3


def test_who_remembers_sends_less_to_a_target_that_stalls_again_and_again():
    assert share("least_time", "stalling") < 0.6 * min(share("p2c", "stalling"), share("least_conn", "stalling"))


def test_the_more_gateways_there_are_the_more_does_it_help_to_remember():
    def slowest(contender: str, gateways: int) -> float:
        return simulate(contender, SCENARIOS["slow"], seconds=SECONDS, gateways=gateways).percentile(0.99)

    assert slowest("least_time", 20) < 0.8 * min(slowest("p2c", 20), slowest("least_conn", 20))
    assert slowest("p2c", 20) > 1.3 * slowest("p2c", 1)


@pytest.mark.parametrize("contender", ["round_robin", "least_time", "hash"])
def test_a_target_that_is_gone_gets_nothing(contender: str):
    assert sum(outcome(contender, "recovering").picked[11:20]) == 0
