"""What newer answers make of an entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.entry import Entry, Part
from gateway.cache.reuse import Verdict, reuse
from gateway.cache.rules import Rules
from gateway.cache.update import describes, head_agrees, joined, joins, merged, updated
from support.caching import NOW, answer, asking, date, fields, stored

LATER = NOW + 100


def entry(*lines: str) -> Entry:
    return stored("Cache-Control: max-age=60", *lines)


@pytest.mark.parametrize(
    ("held", "told", "about_it"),
    [
        (['ETag: "1"'], ['ETag: "1"'], True),
        (['ETag: "1"'], ['ETag: "2"'], False),
        (['ETag: W/"1"'], ['ETag: "1"'], True),
        (['ETag: "1"'], ['ETag: W/"1"'], True),
        (['ETag: W/"1"'], ['ETag: W/"2"'], False),
        (['ETag: "1"'], [], True),
        ([], ['ETag: "1"'], True),
        ([f"Last-Modified: {date(-9)}"], [f"Last-Modified: {date(-9)}"], True),
        ([f"Last-Modified: {date(-9)}"], [f"Last-Modified: {date(-8)}"], False),
        ([f"Last-Modified: {date(-9)}", 'ETag: "1"'], [f"Last-Modified: {date(-8)}"], True),
        ([], [f"Last-Modified: {date(-8)}"], True),
    ],
)
def test_a_304_is_about_an_entry_with_its_validators(held: list[str], told: list[str], about_it: bool):
    assert describes(entry(*held), fields(*told)) is about_it


def test_a_304_replaces_fields_keeps_the_others_and_never_touches_what_describes_the_body():
    held = fields("A: 1", "A: 2", "B: 3", "Content-Length: 5", "Content-Encoding: br", "ETag: x")
    newer = fields("a: 9", "C: 4", "Content-Length: 0", "Content-Encoding: gzip", "Content-MD5: z")
    assert merged(held, newer) == fields("B: 3", "Content-Length: 5", "Content-Encoding: br", "ETag: x", "A: 9", "C: 4")


def test_a_304_makes_the_entry_fresh_again_with_its_body():
    held = entry('ETag: "1"', "X-Own: a", "Vary: Accept")
    newer, stays = updated(held, asking(), answer("Cache-Control: max-age=30", "X-Own: b", status=304, at=LATER), Rules())
    assert stays
    assert (newer.fresh_until, newer.stored_at, newer.chunks, newer.length) == (LATER + 30, LATER, held.chunks, 5)
    assert (b"x-own", b"b") in newer.headers
    assert newer.etag == b'"1"'
    assert newer.vary == held.vary


def test_a_304_without_freshness_of_its_own_starts_that_of_the_entry_again():
    newer, _ = updated(entry('ETag: "1"'), asking(), answer(f"Date: {date(100)}", status=304, at=LATER), Rules())
    assert newer.fresh_until == LATER + 60


def test_a_304_that_forbids_to_store_answers_this_request_and_leaves_the_entry_alone():
    held = entry('ETag: "1"')
    newer, stays = updated(held, asking(), answer("Cache-Control: no-store", "X-Own: b", status=304, at=LATER), Rules())
    assert not stays
    assert newer is not held
    assert reuse(newer, asking("Cache-Control: max-stale"), LATER) is Verdict.VALIDATE  # nobody else's, stale or not
    assert (b"x-own", b"b") in newer.headers
    assert held.fresh_until == NOW + 60


@pytest.mark.parametrize(
    ("status", "told", "agrees"),
    [
        (200, [], True),
        (200, ['ETag: "1"', "Content-Length: 5", f"Last-Modified: {date(-9)}"], True),
        (200, ['ETag: "2"'], False),
        (200, [f"Last-Modified: {date(-8)}"], False),
        (200, ["Content-Length: 6"], False),
        (410, [], False),
    ],
)
def test_a_head_is_compared_by_status_validators_and_length(status: int, told: list[str], agrees: bool):
    held = entry('ETag: "1"', f"Last-Modified: {date(-9)}")
    assert head_agrees(held, status, fields(*told)) is agrees


def part(first: int, last: int, etag: str = '"1"', total: int = 10, letter: bytes = b"") -> Entry:
    body = letter * (last + 1 - first) if letter else b"0123456789"[first : last + 1]
    lines = ("Cache-Control: max-age=60", f"ETag: {etag}", f"Content-Range: bytes {first}-{last}/{total}")
    return stored(*lines, status=206, body=body)


def test_the_length_of_a_part_is_that_of_the_whole():
    assert head_agrees(part(0, 4), 200, fields("Content-Length: 10"))


@pytest.mark.parametrize(
    ("one", "other", "fit"),
    [
        (part(0, 4), part(5, 9), True),
        (part(5, 9), part(0, 4), True),
        (part(0, 6), part(5, 9), True),
        (part(0, 3), part(5, 9), False),
        (part(6, 9), part(0, 4), False),
        (part(0, 4), part(5, 9, etag='"2"'), False),
        (part(0, 4, etag='W/"1"'), part(5, 9, etag='W/"1"'), False),
        (part(0, 4), part(5, 9, total=11, letter=b"x"), False),
        (part(0, 4), entry('ETag: "1"'), False),
    ],
)
def test_parts_of_one_representation_without_a_gap_fit(one: Entry, other: Entry, fit: bool):
    assert joins(one, other) is fit


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_two_parts_become_one_with_all_their_bytes(a: int, b: int, c: int, d: int):
    one, other = part(min(a, b), max(a, b)), part(min(c, d), max(c, d))
    if not joins(one, other):
        return
    assert one.chunks is not None
    assert other.chunks is not None
    made, chunks = joined(one, one.chunks, other, other.chunks)
    first, last = min(a, b, c, d), max(a, b, c, d)
    assert b"".join(chunks) == b"0123456789"[first : last + 1]
    assert made.part == (None if (first, last) == (0, 9) else Part(first, last, 10))
