"""Dictionaries and Lists of Structured Fields."""

from __future__ import annotations

import pytest

from gateway.rfc.structured import _MAX_MEMBERS, Malformed, parse_dictionary, parse_strings


@pytest.mark.parametrize(
    ("text", "members"),
    [
        (b"", {}),
        (b"  ", {}),
        (b"a", {b"a": True}),
        (b"max-age=60, no-store", {b"max-age": 60, b"no-store": True}),
        (b" a=1 ,\tb=-2 ", {b"a": 1, b"b": -2}),
        (b"a=1.5", {b"a": 1.5}),
        (b"a=?0, b=?1", {b"a": False, b"b": True}),
        (b'a="x, \\"y\\" \\\\"', {b"a": b'x, "y" \\'}),
        (b"a=tok/en:*", {b"a": b"tok/en:*"}),
        (b"a=:aGk=:", {b"a": b"aGk="}),
        (b"a=(1 2;x  \"b\"), b=()", {b"a": None, b"b": None}),
        (b'a;x;y=1;z="q";w=?1, b=2;  k=:aa==:', {b"a": True, b"b": 2}),
        (b"a=1, a=2", {b"a": 2}),
        (b"*a.b-c_d=1", {b"*a.b-c_d": 1}),
    ],
)
def test_a_dictionary_is_read(text: bytes, members: dict[bytes, object]):
    assert parse_dictionary(text) == members


def test_a_repeated_member_stands_at_its_last_place():
    assert list(parse_dictionary(b"a, b, a=1")) == [b"b", b"a"]


@pytest.mark.parametrize(
    "text",
    [
        b"max-age=10000, &&&&&", b"A=1", b"a=", b"a=1,", b",a", b"a,,b", b"a=1 b=2", b"a = 1", b"a=1.", b"a=.5", b"a=1234567890123456",
        b"a=?2", b'a="x', b'a="\\x"', b"a=(1", b"a=1;B", b"a=1;", b"\ta", b"a=\xff",
    ],
)  # fmt: skip
def test_a_fault_anywhere_spoils_the_whole(text: bytes):
    with pytest.raises(Malformed):
        parse_dictionary(text)


def test_a_list_of_strings_is_read():
    assert parse_strings(b'"a", "b c"; x=1,\t"\\"d\\""') == [b"a", b"b c", b'"d"']
    assert parse_strings(b"") == []


@pytest.mark.parametrize("text", [b"a", b'"a", b', b'"a" "b"', b'("a")', b"1", b'"a",'])
def test_a_list_of_anything_else_is_none(text: bytes):
    with pytest.raises(Malformed):
        parse_strings(text)


def test_members_have_a_bound():
    assert len(parse_dictionary(b",".join(b"a%d" % number for number in range(_MAX_MEMBERS)))) == _MAX_MEMBERS
    with pytest.raises(Malformed):
        parse_dictionary(b",".join(b"a%d" % number for number in range(_MAX_MEMBERS + 1)))
