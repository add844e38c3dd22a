"""Which fields end at us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.headers import HOP_BY_HOP, accepts_trailers, end_to_end, nominated

NAMES = st.sampled_from([b"accept", b"connection", b"content-length", b"cookie", b"host", b"te", b"upgrade", b"x-a", b"x-b"])
VALUES = st.sampled_from([b"", b"close", b"keep-alive", b"X-A", b"x-b , host", b",x-a,", b"content-length", b"te;q"])


def test_fields_that_connection_names_end_here_on_whatever_line():
    headers = [(b"connection", b"close, X-A"), (b"x-a", b"1"), (b"x-b", b"2"), (b"connection", b"\tx-B\t, ,"), (b"x-c", b"3")]
    assert end_to_end(headers) == [(b"x-c", b"3")]


def test_order_and_duplicates_survive():
    headers = [(b"set-cookie", b"a"), (b"vary", b"x"), (b"set-cookie", b"b")]
    assert end_to_end(headers) == headers
    assert end_to_end(headers) is not headers


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_end_here_without_being_named(name: bytes):
    assert end_to_end([(name, b"keep-alive"), (b"a", b"b")]) == [(b"a", b"b")]


def test_what_frames_or_addresses_a_message_can_not_be_taken_away():
    headers = [(b"connection", b"Host, Content-Length, x"), (b"host", b"a"), (b"content-length", b"5"), (b"x", b"")]
    assert end_to_end(headers) == [(b"host", b"a"), (b"content-length", b"5")]
    assert nominated(b"HOST,content-length") == frozenset()


def test_more_may_be_dropped_on_the_same_walk():
    assert end_to_end([(b"via", b"a"), (b"b", b"c")], HOP_BY_HOP | {b"via"}) == [(b"b", b"c")]


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_the_result_is_the_input_without_the_named(headers: list[tuple[bytes, bytes]]):
    named = {
        option.strip() for name, value in headers if name == b"connection" for option in value.lower().split(b",")
    } - {b"host", b"content-length"}
    assert end_to_end(headers) == [pair for pair in headers if pair[0] not in HOP_BY_HOP and pair[0] not in named]


@pytest.mark.parametrize(
    ("te", "accepted"),
    [
        ([b"trailers"], True),
        ([b"deflate;q=0.5, Trailers"], True),
        ([b"gzip", b" trailers ;q=1"], True),
        ([b"xtrailers"], False),
        ([b""], False),
        ([], False),
    ],
)
def test_te_says_whether_trailers_are_kept(te: list[bytes], accepted: bool):
    assert accepts_trailers(te) is accepted
