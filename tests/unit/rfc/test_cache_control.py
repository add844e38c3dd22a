"""Directives of Cache-Control and of targeted fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc import cache_control
from gateway.rfc.cache_control import (
    _MAX_DIRECTIVES,
    _MEMO_ENTRIES,
    INVALID,
    MAX_AGE,
    delta_seconds,
    parse_directives,
    targeted_directives,
)

NAMES = st.sampled_from([b"max-age", b"s-maxage", b"stale-if-error", b"no-store", b"private", b"no-cache", b"public", b"x-own"])


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([b"max-age=3600"], 3600),
        ([b"MaX-aGe=3600"], 3600),
        ([b'max-age="3600"'], 3600),
        ([b"max-age=003600"], 3600),
        ([b"max-age=2147483648"], MAX_AGE),
        ([b"max-age=99999999999"], MAX_AGE),
        ([b"max-age=" + b"9" * 500], MAX_AGE),
        ([b"max-age=0000000000000007"], 7),
        ([b'extension="max-age=3600", max-age=1'], 1),
        ([b'max-age=1, extension="max-age=3600"'], 1),
        ([b'extension="a \\" , max-age=3600", max-age=1'], 1),
        ([b",, max-age=5 ,,"], 5),
        ([b"no-store", b"max-age=5"], 5),
        ([b"max-age=5, max-age=5"], 5),
        ([b"max-age=5", b"max-age=6"], INVALID),
        ([b"max-age=6, max-age=5"], INVALID),
        ([b"max-age=-1"], INVALID),
        ([b"max-age='3600'"], INVALID),
        ([b"max-age=3600.0"], INVALID),
        ([b"max-age=a3600"], INVALID),
        ([b"max-age=3600a"], INVALID),
        ([b"max-age=+5"], INVALID),
        ([b"max-age=1_0"], INVALID),
        ([b"max-age =3600"], INVALID),
        ([b"max-age= 3600"], INVALID),
        ([b"max-age"], INVALID),
        ([b"max-age="], INVALID),
        ([b"max-age=1 2"], INVALID),
        ([b'max-age="1" x'], INVALID),
        (["max-age=\u0663".encode()], INVALID),
    ],
)
def test_seconds_are_digits_and_nothing_else(values: list[bytes], seconds: int):
    assert parse_directives(values).seconds[b"max-age"] == seconds


def test_what_stands_in_quotes_is_no_directive():
    directives = parse_directives([b'extension="no-store, max-age=3600", other="a\\", private"'])
    assert directives.names == {b"extension", b"other"}
    assert directives.seconds == {}


@pytest.mark.parametrize("value", [b"no-store", b"No-StOrE", b"no-store=x", b"no-store ;x", b"max-age=1,no-store ", b'no-store="'])
def test_a_directive_that_is_there_counts_however_it_is_written(value: bytes):
    assert b"no-store" in parse_directives([value])


def test_max_stale_alone_takes_any_staleness():
    assert parse_directives([b"max-stale"]).seconds == {b"max-stale": MAX_AGE}


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (b'private="a, B"', {b"a", b"b"}),
        (b"private=a", {b"a"}),
        (b'private="a", private="b"', {b"a", b"b"}),
        (b"private", set()),
        (b'private="a", private', set()),
        (b'private, private="a"', set()),
        (b'private=""', set()),
        (b'private="a" x', set()),
    ],
)
def test_private_may_be_about_some_fields_alone(value: bytes, fields: set[bytes]):
    directives = parse_directives([value])
    assert directives.fields[b"private"] == fields
    assert directives.forbids(b"private") is not bool(fields)
    assert not directives.forbids(b"no-cache")


@given(st.lists(st.tuples(NAMES, st.sampled_from([b"", b"=1", b'="2"', b"=x"])), max_size=6), st.randoms())
def test_lines_and_members_are_the_same(members: list[tuple[bytes, bytes]], chance: object):
    written = [name + value for name, value in members]
    one, many = parse_directives([b", ".join(written)]), parse_directives(written)
    assert (one.names, one.seconds, one.fields) == (many.names, many.seconds, many.fields)
    assert one.names == {name for name, _ in members}


@given(st.binary(max_size=80))
def test_nothing_that_comes_is_a_fault(value: bytes):
    directives = parse_directives([value])
    assert all(INVALID <= seconds <= MAX_AGE for seconds in directives.seconds.values())
    assert directives.seconds.keys() | directives.fields.keys() <= directives.names


def test_only_so_many_directives_are_looked_at():
    assert b"no-store" in parse_directives([b"x," * (_MAX_DIRECTIVES - 1) + b"no-store"])
    assert b"no-store" not in parse_directives([b"x," * _MAX_DIRECTIVES + b"no-store"])


def test_the_memo_is_bounded_and_long_values_are_not_kept():
    for number in range(_MEMO_ENTRIES + 10):
        parse_directives([b"x%d" % number])
        assert len(cache_control._memo) <= _MEMO_ENTRIES
    kept = len(cache_control._memo)
    parse_directives([b"y" * 1000])
    assert len(cache_control._memo) == kept
    assert parse_directives([b"max-age=77"]) is parse_directives([b"max-age=77"])


@given(st.integers(0, 2**70))
def test_numbers_are_clamped(number: int):
    assert delta_seconds(b"%d" % number) == min(number, MAX_AGE)


@pytest.mark.parametrize(
    ("values", "names", "seconds"),
    [
        ([b"max-age=3600"], {b"max-age"}, {b"max-age": 3600}),
        ([b"max-age=99999999999"], {b"max-age"}, {b"max-age": MAX_AGE}),
        ([b"max-age=60", b"no-store"], {b"max-age", b"no-store"}, {b"max-age": 60}),
        ([b"no-store=?1, private=?0"], {b"no-store"}, {}),
        ([b"own=abc, max-age=5;x=1"], {b"own", b"max-age"}, {b"max-age": 5}),
    ],
)
def test_a_targeted_field_is_a_dictionary(values: list[bytes], names: set[bytes], seconds: dict[bytes, int]):
    directives = targeted_directives(values)
    assert directives is not None
    assert (directives.names, directives.seconds) == (names, seconds)


@pytest.mark.parametrize(
    "value",
    [b"", b"max-age=10000, &&&&&", b'max-age="10000"', b"max-age=1.5", b"max-age=-1", b"max-age", b"max-age=?1", b"no-store=1", b"MAX-AGE=1", b"private=()"],
)
def test_a_targeted_field_with_a_fault_or_nothing_in_it_is_ignored(value: bytes):
    assert targeted_directives([value]) is None
