"""`mirror`: what can be written, and what each mistake is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import build, lint, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Fault

ROUTE = '[[routes]]\nupstream = "http://a"\n'


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"),
    [
        ("mirror = {}", "mirror.upstream", "is missing", ""),
        ('mirror = { upstream = "serach" }', "mirror.upstream", 'there is no upstream "serach"', 'did you mean "search"?'),
        ('mirror = { upstream = "http://b", percent = 0 }', "mirror.percent", "must be more than 0", ""),
        ('mirror = { upstream = "http://b", percent = 101 }', "mirror.percent", "must be at most 100", ""),
        ('mirror = { upstream = "http://b", percent = "5%" }', "mirror.percent", 'a number is wanted, not the text "5%"', "write 5"),
        ('mirror = { upstream = "http://b", percent = true }', "mirror.percent", "a number is wanted, not true", "write for example 5"),
        ('mirror = { upstream = "http://b", percent = "${HOME}" }', "mirror.percent", "is not a number", ""),
        ('mirror = { upstream = "http://b", timeout = 5 }', "mirror.timeout", "5 has no unit", 'write "5s"'),
        ('mirror = { upstream = "http://b", max_in_flight = 0 }', "mirror.max_in_flight", "must be at least 1", ""),
        ('mirror = { upstream = "http://b", sample = 5 }', "mirror.sample", "unknown key", 'did you mean "percent"?'),
        ('shadow = { upstream = "http://b" }', "shadow", "unknown key", 'did you mean "mirror"?'),
    ],
)
def test_every_mistake_has_its_words(fault: Callable[..., Fault], text: str, key: str, message: str, hint: str):
    found = fault(f'[upstreams.search]\ntargets = ["http://s"]\n{ROUTE}{text}', HOME="/root")
    assert (found.line, found.key) == (5, f"routes[0].{key}")
    assert message in found.message
    assert found.hint == hint


def test_a_route_that_forwards_nothing_mirrors_nothing(fault: Callable[..., Fault]):
    found = fault('[[routes]]\nrespond = { status = 200 }\nmirror = { upstream = "http://b" }')
    assert found.key == "routes[0].mirror"
    assert "nothing is forwarded" in found.message


def test_a_part_of_a_percent_and_a_number_from_the_environment_are_taken():
    text = ROUTE + 'mirror = { upstream = "http://b", percent = "${PART:-0.5}" }'
    mirror = parse(text, environ={}).routes[0].mirror
    assert mirror is not None
    assert mirror.percent == 0.5


def test_an_upstream_that_is_only_mirrored_to_is_used():
    text = f'[upstreams.search]\ntargets = ["http://s"]\n{ROUTE}mirror = {{ upstream = "search" }}'
    assert lint(parse(text, environ={})) == []


def test_a_url_that_is_only_mirrored_to_is_an_upstream():
    config = build({"routes": [{"upstream": "http://a", "mirror": {"upstream": "http://b"}}]})
    assert set(config.all_upstreams()) == {"http://a", "http://b"}
