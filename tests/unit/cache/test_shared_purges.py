"""Messages of purges: whole, or not to be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.shared_purges import read_message


@given(st.integers(0, 2**53), st.integers(0, 2**53), st.lists(st.binary(max_size=20), max_size=4))
def test_a_message_says_what_was_before_and_its_records(before: int, at: int, records: list[bytes]):
    said = b"%d %d " % (before, at) + b"".join(b"%d:%b" % (len(record), record) for record in records)
    assert read_message(said) == (before, at, records)


@pytest.mark.parametrize("message", [b"", b"1", b"1 2", b"a b c", b"1 2 x:y", b"1 2 5:abc", b"1 2 -1:abc", b"1 2 3"])
def test_what_is_no_message_raises(message: bytes):
    with pytest.raises(ValueError):  # noqa: PT011  # all of them
        read_message(message)


@given(st.binary(max_size=60))
def test_garbage_raises_nothing_else(message: bytes):
    try:
        read_message(message)
    except ValueError:
        return
