"""Where the keys of a TOML text stand."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.positions import Positions


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        ("a = 1", ("a",), (1, 1)),
        ("# c\n\n  a = 1", ("a",), (3, 3)),
        ("a.b.c = 1", ("a", "b"), (1, 3)),
        ("a . b = 1", ("a", "b"), (1, 5)),
        ("[t]\na = 1", ("t",), (1, 1)),
        ("[t]\na = 1", ("t", "a"), (2, 1)),
        ("[ t . u ]\na = 1", ("t", "u", "a"), (2, 1)),
        ("[t.u]\n", ("t",), (1, 1)),
        ("[[r]]\na = 1\n[[r]]\na = 2", ("r", 1), (3, 1)),
        ("[[r]]\na = 1\n[[r]]\na = 2", ("r", 1, "a"), (4, 1)),
        ("[[r]]\n[r.s]\na = 1\n[[r]]\n[r.s]\na = 2", ("r", 1, "s", "a"), (6, 1)),
        ("[[r]]\n[[r.s]]\n[[r.s]]\na = 1\n[[r]]\n[[r.s]]\na = 2", ("r", 1, "s", 0, "a"), (7, 1)),
        ("[[r]]\n[[r.s]]\n[[r.s]]\na = 1\n[[r]]\n[[r.s]]\na = 2", ("r", 0, "s", 1, "a"), (4, 1)),
        ("t = { a = 1, b = { c = 2 } }", ("t", "b", "c"), (1, 20)),
        ("l = [1,\n 2, # two\n 3]\nb = 1", ("l", 2), (3, 2)),
        ("l = [1,\n 2, # ]\n 3,\n]\nb = 1", ("b",), (5, 1)),
        ("l = [{ a = 1 },\n { a = 2 }]", ("l", 1, "a"), (2, 4)),
        ("l = [[1], [2,\n3]]", ("l", 1, 1), (2, 1)),
        ("a = '''\nb = 1\n'''\nb = 2", ("b",), (4, 1)),
        ('a = """\nb = 1 \\""" \n"""\nb = 2', ("b",), (4, 1)),
        ('a = """x"""""\nb = 2', ("b",), (2, 1)),
        ('a = ""\nb = 2', ("b",), (2, 1)),
        ('a = """"""\nb = 2', ("b",), (2, 1)),
        ("a = ''''''\nb = 2", ("b",), (2, 1)),
        ('a = "x # \\" = "\nb = 2', ("b",), (2, 1)),
        ("a = 'C:\\'\nb = 2", ("b",), (2, 1)),
        ('"a.b" = 1', ("a.b",), (1, 1)),
        ("'a b'.\"c\\u0021\" = 1", ("a b", "c!"), (1, 7)),
        ('["x y"]\na = 1', ("x y", "a"), (2, 1)),
        ("a = 1979-05-27 07:32:00 # d\nb = 1", ("b",), (2, 1)),
        ("a = 1979-05-27\nb = 1", ("b",), (2, 1)),
        ("a = 1 # c = 2\r\nb = 1", ("b",), (2, 1)),
        ("a = []\nt = {}\nb = 1", ("b",), (3, 1)),
        ("\ta = 1", ("a",), (1, 2)),
    ],
)
def test_a_key_has_the_place_where_it_is_written(text: str, path: tuple[str | int, ...], place: tuple[int, int]):
    tomllib.loads(text)  # the text is valid
    assert Positions(text).of(path) == place


def test_a_key_that_is_not_there_has_the_place_of_the_table_around_it():
    assert Positions("x = 1\n[t]\na = 1").of(("t", "missing", 3)) == (2, 1)


def test_nothing_has_no_place():
    assert Positions("a = 1").of(("b",)) == (0, 0)
    assert Positions("").of(()) == (0, 0)


def test_a_table_that_is_opened_again_keeps_its_first_place():
    assert Positions("[a.b]\nx = 1\n[a]\ny = 2").of(("a",)) == (1, 1)


def paths(value: Any, at: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every key and index of parsed TOML."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: set[tuple[str | int, ...]] = set()
    for key, item in items:
        found |= {(*at, key)} | paths(item, (*at, key))
    return found


_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
_scalars = st.one_of(
    st.integers(-(2**31), 2**31),
    st.booleans(),
    st.floats(allow_nan=False),
    st.datetimes(),
    st.dates(),
    st.times(),
    _texts,
)
_keys = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True), _texts.filter(bool))
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(_keys, _values, max_size=5))
def test_every_key_that_is_parsed_has_a_place_and_no_other(document: dict[str, Any]):
    text = tomlkit.dumps(document)
    assert Positions(text).paths() == paths(tomllib.loads(text))


@given(st.lists(st.sampled_from(
    ["[a]", "[a.b]", "[[r]]", "[r.s]", "[[r.t]]", "[r.t.u]", "x = 1", "x.y = [1, { z = 2 }]", "# x = 3", "", "y = '''\n[q]\n'''",
     'z = """\\"""\n"""', "k = [\n # c ]\n 'v',\n]", "d = 1979-05-27 07:32:00", "[[r.t.v]]"]), max_size=12))  # fmt: skip
def test_lines_in_any_order_that_is_valid_have_their_keys_placed(lines: list[str]):
    text = "\n".join(lines)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    positions = Positions(text)
    assert positions.paths() == paths(parsed)
    for path in positions.paths():
        line, column = positions.of(path)
        assert 1 <= line <= text.count("\n") + 1
        assert column >= 1
