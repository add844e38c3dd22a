"""Byte ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.ranges import (
    UNSATISFIABLE,
    content_range,
    cut,
    parse_content_range,
    parse_range,
    resolve,
    unsatisfied_range,
)


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        (b"bytes=0-1", (0, 1)), (b"bytes=5-", (5, None)), (b"bytes=-5", (None, 5)), (b"Bytes = 1-2 ", (1, 2)), (b"bytes=3-3", (3, 3)),
        (b"bytes=2-1", None), (b"bytes=-", None), (b"bytes=", None), (b"items=0-1", None), (b"bytes=0-1,3-4", None), (b"bytes=a-b", None),
        (b"bytes=0-1x", None), (b"bytes=+1-2", None), (b"bytes=1-" + b"9" * 30, None),
    ],
)  # fmt: skip
def test_one_range_is_read_and_all_else_ignored(value: bytes, asked: object):
    assert parse_range(value) == asked


@pytest.mark.parametrize(
    ("asked", "total", "span"),
    [
        ((0, 1), 10, (0, 2)), ((1, None), 10, (1, 10)), ((None, 3), 10, (7, 10)), ((None, 30), 10, (0, 10)), ((5, 100), 10, (5, 10)),
        ((10, None), 10, UNSATISFIABLE), ((10, 20), 10, UNSATISFIABLE), ((None, 0), 10, UNSATISFIABLE), ((None, 1), 0, UNSATISFIABLE),
        ((0, None), 0, UNSATISFIABLE),
    ],
)  # fmt: skip
def test_a_range_is_fitted_to_the_representation(asked: tuple[int | None, int | None], total: int, span: tuple[int, int]):
    assert resolve(asked, total) == span


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"bytes 4-9/10", (4, 10, 10)), (b"bytes 0-0/1", (0, 1, 1)), (b"bytes 4-10/10", None), (b"bytes 5-4/10", None),
        (b"bytes 4-9/*", None), (b"bytes */10", None), (b"items 4-9/10", None), (b"bytes=4-9/10", None), (b"", None),
    ],
)  # fmt: skip
def test_a_content_range_has_to_fit(value: bytes, found: object):
    assert parse_content_range(value) == found


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(0, 1000))
def test_what_is_written_is_read(first: int, size: int, more: int):
    total = first + size + more
    assert parse_content_range(content_range(first, first + size, total)) == (first, first + size, total)
    assert unsatisfied_range(total) == b"bytes */%d" % total


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=8), st.integers(0, 70), st.integers(0, 70))
def test_a_cut_is_a_slice_of_the_whole(chunks: list[bytes], first: int, end: int):
    pieces = cut(tuple(chunks), first, end)
    assert b"".join(pieces) == b"".join(chunks)[first:end]
    assert all(pieces)
