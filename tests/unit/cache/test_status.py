"""Cache-Status and the words of log and metrics."""

from __future__ import annotations

import pytest

from gateway.cache.status import WORDS, Forward, Outcome
from gateway.rfc.structured import _MEMBER


def outcome(fwd: Forward | None = None, **values: object) -> Outcome:
    made = Outcome(fwd, ttl=values.pop("ttl", None), detail=values.pop("detail", b""))  # type: ignore[arg-type]
    for name, value in values.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("made", "value", "word"),
    [
        (outcome(ttl=30), b"gateway; hit; ttl=30", "hit"),
        (outcome(ttl=0), b"gateway; hit; ttl=0", "hit"),
        (outcome(ttl=-3), b"gateway; hit; ttl=-3", "stale"),
        (outcome(), b"gateway; hit", "hit"),
        (outcome(Forward.URI_MISS, stored=True), b"gateway; fwd=uri-miss; stored", "miss"),
        (outcome(Forward.VARY_MISS, collapsed=True), b"gateway; fwd=vary-miss; collapsed", "collapsed"),
        (outcome(Forward.STALE, fwd_status=304), b"gateway; fwd=stale; fwd-status=304", "revalidated"),
        (outcome(Forward.STALE, fwd_status=503, ttl=-7), b"gateway; fwd=stale; fwd-status=503; ttl=-7", "stale"),
        (outcome(Forward.STALE, ttl=-7), b"gateway; fwd=stale; ttl=-7", "stale"),
        (outcome(Forward.URI_MISS, detail=b"no-store"), b"gateway; fwd=uri-miss; detail=no-store", "miss"),
        (outcome(Forward.BYPASS), b"gateway; fwd=bypass", "bypass"),
        (outcome(Forward.METHOD), b"gateway; fwd=method", "bypass"),
        (outcome(Forward.REQUEST), b"gateway; fwd=request", "miss"),
        (outcome(Forward.PARTIAL), b"gateway; fwd=partial", "miss"),
    ],
)
def test_an_outcome_is_said_in_the_words_of_the_rfc(made: Outcome, value: bytes, word: str):
    assert made.value() == value
    assert made.word == word
    assert word in WORDS
    assert _MEMBER.fullmatch(value) is not None  # a well-formed member of a List
