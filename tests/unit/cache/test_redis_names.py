"""Names that can be told apart, in one slot for a URL, and marks that are ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.redis_names import Names, field_of, read_mark

VARIES = st.lists(st.tuples(st.binary(max_size=3), st.none() | st.binary(max_size=3)), max_size=3).map(tuple)


def test_all_of_a_url_lies_in_one_slot():
    one, other = Names(b"gw:", b"https://a/x GET"), Names(b"gw:", b"https://a/x GET tenant=1")
    assert one.mark == other.mark
    assert one.hash != other.hash
    braced = one.mark.partition(b"{")[2]
    for name in (*one.both, one.lock, one.chunk(b"12345678", 0)):
        assert name.startswith(b"gw:{" + braced)
    assert len({*one.both, one.lock, one.chunk(b"12345678", 0), one.chunk(b"12345678", 1), other.hash}) == 6


def test_another_url_is_elsewhere():
    assert Names(b"gw:", b"https://a/x GET").mark != Names(b"gw:", b"https://a/y GET").mark


@given(VARIES, VARIES)
def test_variants_have_fields_of_their_own(one: tuple[tuple[bytes, bytes | None], ...], other: tuple[tuple[bytes, bytes | None], ...]):
    assert (field_of(one) == field_of(other)) == (one == other)


@pytest.mark.parametrize(
    ("said", "times"),
    [(b"m1 1764041234567890 0", (1764041234567890, 0)), (b"m1 5 7", (5, 7)), (None, None), (b"", None), (b"m1 5", None),
     (b"m1 5 7 ", None), (b"m2 5 7", None), (b"m1 -5 7", None), (b"m1 99999999999999999 0", None), (5, None), ([], None)],
)  # fmt: skip
def test_a_mark_is_two_times_or_nothing(said: object, times: tuple[int, int] | None):
    assert read_mark(said) == times  # type: ignore[arg-type]
