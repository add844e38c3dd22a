"""Which `traceparent` is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.trace import check, trace_parent

VALID = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_example_of_the_specification_is_valid():
    assert check(VALID)


@pytest.mark.parametrize(
    "value", [b"cc" + VALID[2:], b"cc" + VALID[2:] + b"-what-the-future-will-be-like", b"01" + VALID[2:] + b"-"]
)
def test_a_later_version_is_judged_by_its_beginning(value):
    assert check(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"ff" + VALID[2:],
        b"0" + VALID[2:],
        VALID.upper(),
        VALID + b"-",
        VALID + b"-extra",
        VALID + b" ",
        VALID + b"\n",
        VALID[:-1],
        VALID.replace(b"-", b"_"),
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        b"01" + VALID[2:] + b".extra",
        b"01" + VALID[2:] + b"01",
        b"01" + VALID[2:] + b"-\xff",
        b"01" + VALID[2:] + b"-" + b"a" * 500,
    ],
)
def test_what_breaks_a_rule_is_invalid(value):
    assert not check(value)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_all_ids_but_zero_are_valid(trace, parent, flags):
    assert check(f"00-{trace:032x}-{parent:016x}-{flags:02x}".encode())


@given(st.integers(0, 54), st.integers(0, 255))
def test_a_changed_byte_is_valid_only_as_a_lowercase_hex_digit(position, byte):
    changed = VALID[:position] + bytes([byte]) + VALID[position + 1 :]
    if check(changed):
        assert chr(changed[position]) in "0123456789abcdef-"
        assert changed[:2] != b"ff"


def test_two_traceparents_are_none():
    assert trace_parent([(b"traceparent", VALID)]) == VALID
    assert trace_parent([(b"traceparent", VALID), (b"traceparent", VALID)]) == b""
    assert trace_parent([(b"traceparent", VALID), (b"traceparent", b"x")]) == b""
