"""The words of `retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, RetryOptions
from gateway.limits.retry import Reason, RetryRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Fault

UPSTREAM = '[upstreams.a]\ntargets = ["http://a"]\n'


def test_the_defaults_of_the_words_are_those_of_the_rules():
    assert RetryOptions().rules() == RetryRules()


def test_words_and_statuses_are_told_apart():
    rules = RetryOptions(on=["timeout", "5xx", "429"]).rules()
    assert rules.reasons == {Reason.TIMEOUT}
    assert rules.statuses == {429, *range(500, 600)}


def test_an_upstreams_table_takes_the_place_of_the_default():
    config = Config.model_validate(
        {
            "defaults": {"retry": {"retries": 5}},
            "upstreams": {
                "inherits": {"targets": ["http://a"]},
                "own": {"targets": ["http://a"], "retry": {"budget": 0.5}},
                "none": {"targets": ["http://a"], "retry": False},
            },
        }
    )
    found = {name: config.retry_for(upstream) for name, upstream in config.upstreams.items()}
    assert found == {"inherits": RetryOptions(retries=5), "own": RetryOptions(budget=0.5), "none": None}


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"),
    [
        ('on = ["timeot"]', "on[0]", '"timeot" is no reason to send a request again', 'did you mean "timeout"?'),
        ('on = ["5x"]', "on[0]", '"5x" is not a status', 'write "503" or "5xx"'),
        ("on = [true]", "on[0]", "a word or a status is wanted, not true", 'write "refused" or "503"'),
        ('methods = ["GET", "POST"]', "methods[1]", "POST must not be sent twice", "what was never sent goes to the next target whatever its method"),
        ('per_try_timeout = "1s"', "per_try_timeout", 'has no effect without "timeout" in on', 'add "timeout" to on'),
        ('retries = 0\nbackoff = "1s"', "backoff", "has no effect with retries = 0", "leave it out"),
        ("attempts = 3", "attempts", "unknown key", 'did you mean "retries"?'),
    ],
)
def test_each_fault_is_told_with_its_hint(
    faults: Callable[..., list[Fault]], text: str, key: str, message: str, hint: str
):
    (fault,) = faults(UPSTREAM + "[upstreams.a.retry]\n" + text)
    assert (fault.key, fault.message, fault.hint) == (f"upstreams.a.retry.{key}", message, hint)
