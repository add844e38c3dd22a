"""Negotiating a coding, and the fields that go with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.encoding import _MEMBERS, add_vary, negotiate, weaken

OURS = (b"br", b"gzip")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"GZip", b"gzip"),
        (b"gzip, br", b"br"),
        (b"gzip;q=1.0, br;q=0.9", b"gzip"),
        (b"gzip;q=0.5, br;q=0.5", b"br"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.000", None),
        (b"gzip;q=0.001", b"gzip"),
        (b"*", b"br"),
        (b"*;q=0", None),
        (b"br;q=0, *", b"gzip"),
        (b"gzip;q=0, *;q=0.1", b"br"),
        (b"identity", None),
        (b"identity, gzip;q=0.9", None),
        (b"identity;q=0.5, gzip;q=0.5", b"gzip"),
        (b"identity;q=0, gzip;q=0.1", b"gzip"),
        (b"", None),
        (b",, gzip ,", b"gzip"),
        (b" gzip ; q=0.3\t", b"gzip"),
        (b"gzip;Q=0", None),
        (b"deflate", None),
        (b"gzip2", None),
    ],
)
def test_a_coding_is_chosen_as_the_client_weighs_it(accepted: bytes, coding: bytes | None):
    assert negotiate(accepted, OURS) == coding


@pytest.mark.parametrize(
    "member", [b"gzip;q=2", b"gzip;q=1.5", b"gzip;q=-1", b"gzip;q=0.1234", b"gzip;q=", b"gzip;x=1", b"gzip gzip", b"gz/ip", b"gzip;q=.5"]
)
def test_a_malformed_member_accepts_nothing(member: bytes):
    assert negotiate(member, OURS) is None
    assert negotiate(member + b", br;q=0.1", OURS) == b"br"


def test_only_so_many_members_are_looked_at():
    assert negotiate(b"x," * (_MEMBERS - 1) + b"gzip", OURS) == b"gzip"
    assert negotiate(b"x," * _MEMBERS + b"gzip", OURS) is None


WEIGHTS = st.integers(0, 1000)
CODINGS = [b"br", b"gzip", b"zstd"]


@given(st.dictionaries(st.sampled_from([*CODINGS, b"identity", b"*"]), WEIGHTS), st.permutations(CODINGS))
def test_no_other_coding_is_better_than_the_chosen_one(weights: dict[bytes, int], ours: list[bytes]):
    accepted = b", ".join(b"%b;q=%b" % (name, b"%.3f" % (weight / 1000)) for name, weight in weights.items())
    weight = {coding: weights.get(coding, weights.get(b"*", 0)) for coding in ours}
    identity = weights.get(b"identity", 0)
    usable = [coding for coding in ours if weight[coding] > 0 and weight[coding] >= identity]
    best = max(usable, key=weight.__getitem__, default=None)  # the first of the best
    assert negotiate(accepted, ours) == best


@given(st.binary(max_size=64))
def test_any_bytes_are_answered_with_one_of_ours_or_none(accepted: bytes):
    assert negotiate(accepted, OURS) in (None, *OURS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"accept-encoding"]),
        ([b"Origin"], [b"Origin, accept-encoding"]),
        ([b"a", b"b"], [b"a", b"b, accept-encoding"]),
        ([b""], [b"accept-encoding"]),
        ([b"Accept-Encoding"], [b"Accept-Encoding"]),
        ([b"a, ACCEPT-ENCODING ,b", b"c"], [b"a, ACCEPT-ENCODING ,b", b"c"]),
        ([b"a", b", *"], [b"a", b", *"]),
        ([b"x-accept-encoding"], [b"x-accept-encoding, accept-encoding"]),
    ],
)
def test_vary_names_a_field_once(before: list[bytes], after: list[bytes]):
    headers = [(b"a", b"b"), *((b"vary", value) for value in before), (b"c", b"d")]
    add_vary(headers, b"accept-encoding")
    assert [value for name, value in headers if name == b"vary"] == after
    add_vary(headers, b"accept-encoding")
    assert [value for name, value in headers if name == b"vary"] == after
    assert [pair for pair in headers if pair[0] != b"vary"] == [(b"a", b"b"), (b"c", b"d")]


@pytest.mark.parametrize(("etag", "weak"), [(b'"a"', b'W/"a"'), (b'W/"a"', b'W/"a"'), (b'""', b'W/""'), (b"a", b"a"), (b"", b"")])
def test_a_strong_tag_becomes_weak_once(etag: bytes, weak: bytes):
    assert weaken(etag) == weak
    assert weaken(weak) == weak
