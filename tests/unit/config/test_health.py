"""The words for what keeps an upstream up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Fault

UPSTREAM = '[upstreams.a]\ntargets = ["http://a"]\n'


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["503"], {503}),
        (["2xx"], set(range(200, 300))),
        (["204", "3xx"], {204, *range(300, 400)}),
        ([], set()),
    ],
)
def test_a_status_is_a_number_or_a_class(words: list[str], numbers: set[int]):
    assert statuses(words) == numbers


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"),
    [
        ('health_check = { path = "healthz" }', "health_check.path", '"healthz" is not a path', 'write "/healthz"'),
        ('health_check = { path = "/a b" }', "health_check.path", '"/a b" is not a path', "write it as it is sent, percent-encoded"),
        ('health_check = { status = "ok" }', "health_check.status[0]", '"ok" is not a status', 'write "503" or "5xx"'),
        ("health_check = { status = [true] }", "health_check.status[0]", "a status is wanted, not true", 'write "503" or "5xx"'),
        ("health_check = { rise = 2 }", "health_check.rise", "unknown key", 'did you mean "passes"?'),
        ('health_check = { headers = { "a b" = "x" } }', "health_check.headers.a b", '"a b" is not a header field name', ""),
        ('health_uri = "/"', "health_uri", "unknown key", 'did you mean "health_check"?'),
        ("passive = { min_requests = 5 }", "passive.min_requests", "has no effect without error_rate", "add error_rate"),
        ('passive = { max_ejected = "0%" }', "passive.max_ejected", "must be more than 0", ""),
        ('passive = "on"', "passive", 'a table, true or false is wanted, not the text "on"', ""),
        ('passive = false\nslow_start = "5s"', "slow_start", "has no effect where no target is taken out", "add health_check or passive"),
    ],
)
def test_each_fault_is_told_with_its_hint(
    faults: Callable[..., list[Fault]], text: str, key: str, message: str, hint: str
):
    (fault,) = faults(UPSTREAM + text)
    assert (fault.key, fault.message.rstrip("."), fault.hint) == (f"upstreams.a.{key}", message, hint)


def test_apps_of_this_process_are_not_probed(faults: Callable[..., list[Fault]]):
    (fault,) = faults('[upstreams.a]\ntargets = ["asgi://shop:app"]\nhealth_check = { path = "/" }')
    assert (fault.key, fault.message) == ("upstreams.a.health_check", "has no effect for asgi:// apps: they are in this process")


def test_statuses_may_be_numbers():
    config = Config.model_validate({"upstreams": {"a": {"targets": ["http://a"], "passive": {"status": [500, "503"]}}}})
    passive = config.upstreams["a"].passive
    assert not isinstance(passive, bool)
    assert passive.status == ["500", "503"]
