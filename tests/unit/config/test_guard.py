"""The words for what an upstream takes on at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import AdaptiveOptions, Config

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Fault

UPSTREAM = '[upstreams.a]\ntargets = ["http://a"]\n'


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"),
    [
        ("max_requests = 0", "max_requests", "must be at least 1", ""),
        ("adaptive_concurrency = { min = 5, max = 4, initial = 5 }", "adaptive_concurrency.min", "is more than max = 4", "swap them"),
        ("adaptive_concurrency = { max = 10, initial = 20 }", "adaptive_concurrency.initial", "is not from 1 to 10", "choose it between min and max"),
        ('circuit_breaker = { error_rate = "0%" }', "circuit_breaker.error_rate", "must be more than 0", ""),
        ("circuit_breakers = true", "circuit_breakers", "unknown key", 'did you mean "circuit_breaker"?'),
    ],
)
def test_each_fault_is_told_with_its_hint(
    faults: Callable[..., list[Fault]], text: str, key: str, message: str, hint: str
):
    fault = faults(UPSTREAM + text)[0]
    assert (fault.key, fault.message, fault.hint) == (f"upstreams.a.{key}", message, hint)


def test_true_is_all_the_defaults():
    config = Config.model_validate({"upstreams": {"a": {"targets": ["http://a"], "adaptive_concurrency": True}}})
    assert config.upstreams["a"].adaptive_concurrency == AdaptiveOptions()
