"""Whatever stands anywhere in a configuration, reading it ends with a Config or with faults that have their place."""


from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import tomlkit
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.config import Config, ConfigError, lint, parse

DOCUMENT = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
COMPLETE = tomllib.loads(DOCUMENT.rpartition("```toml")[2].partition("```")[0])

_words = st.sampled_from(
    ["a", "/", "/*", "/{a}", "*", "5s", "5B", "5", "http://a", "asgi://a:b", "unix:/a", "unix:", ":80", "10.0.0.0/8",
     "{path}", "re:(", "GET", "${A", "${A:-b}", "${file:a}", "http://[", "[::1]:1", "true", "none", "\x00", "\u00fc"]
)  # fmt: skip
_scalars = st.one_of(_words, st.text(max_size=5), st.integers(-2, 1000), st.booleans(), st.floats(), st.dates())
_keys = st.sampled_from(["upstream", "path", "proxy_pass", "url", "set", "x", "gzip", "to", "weight"])
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_keys, inner, max_size=2), max_leaves=4
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(*at, key), *places(item, (*at, key))]]


_places = st.sampled_from(places(COMPLETE))


def mutated(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> None:
    """Sets the value, unless an earlier mutation took the place away."""
    here: Any = document
    for key in place[:-1]:
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            return
    last = place[-1]
    is_place = last < len(here) if isinstance(here, list) and isinstance(last, int) else isinstance(here, dict)
    if is_place and isinstance(last, str) == isinstance(here, dict):
        here[last] = value


@settings(deadline=None, max_examples=40)
@example([(("server", "listen"), {}), (("server", "listen", 0), [])])
@example([(("upstreams", "own", "balance"), [])])
@given(st.lists(st.tuples(_places, _values), min_size=1, max_size=4))
def test_any_value_in_any_place_is_taken_or_refused(changes: list[tuple[tuple[Any, ...], Any]]):
    document = copy.deepcopy(COMPLETE)
    del document["server"]["tls"], document["upstreams"]["billing"]["tls"]  # whose files are not here
    for place, value in changes:
        mutated(document, place, value)
    text = tomlkit.dumps(document)
    try:
        config = parse(text, environ={})
    except ConfigError as error:
        assert error.faults
        assert all(fault.line > 0 and fault.key and fault.message for fault in error.faults)
    else:
        lint(config)
        assert Config.model_validate(config.model_dump(exclude_unset=True)) == config


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(_keys, _values, max_size=3))
def test_any_table_is_taken_or_refused_in_code(table: dict[str, Any]):
    for document in ({"routes": [table]}, {"upstreams": {"a": table}}, {"defaults": table}, {"server": table}, table):
        try:
            Config.model_validate(document)
        except ValueError as error:
            assert str(error)
