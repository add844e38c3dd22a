"""Which requests an entry answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.reuse import Verdict, held_span, may_bridge, reuse, select
from gateway.rfc.ranges import UNSATISFIABLE
from support.caching import NOW, asking, stored

SECONDS = st.integers(-300, 300)


def verdict(*lines: str, control: str = "max-age=60", after: float = 0.0, etag: str = 'ETag: "1"') -> Verdict:
    return reuse(stored(f"Cache-Control: {control}", etag), asking(*lines), NOW + after)


def test_a_fresh_entry_is_used_and_a_stale_one_validated():
    assert verdict(after=59) is Verdict.USE
    assert verdict(after=60) is Verdict.VALIDATE
    assert verdict("Range: bytes=0-1", after=59) is Verdict.USE
    assert verdict("Range: bytes=0-1", after=60) is Verdict.VALIDATE


def test_no_cache_of_the_response_is_validated_always():
    assert verdict(control="no-cache") is Verdict.VALIDATE
    assert verdict("If-None-Match: x", control="no-cache, max-age=60") is Verdict.VALIDATE


def test_stale_while_revalidate_is_used_inside_its_window_only():
    control = "max-age=60, stale-while-revalidate=10"
    assert verdict(control=control, after=59) is Verdict.USE
    assert verdict(control=control, after=70) is Verdict.USE_AND_VALIDATE
    assert verdict(control=control, after=70.5) is Verdict.VALIDATE
    assert verdict(control=control + ", must-revalidate", after=61) is Verdict.VALIDATE
    assert verdict("Cache-Control: max-age=1", control=control, after=61) is Verdict.VALIDATE
    assert verdict("Cache-Control: foo", control=control, after=61) is Verdict.USE_AND_VALIDATE


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("Cache-Control: no-cache", 0, Verdict.ASKED_TO_VALIDATE),
        ("Pragma: no-cache", 0, Verdict.ASKED_TO_VALIDATE),
        ("Pragma: foo", 0, Verdict.USE),
        ("Cache-Control: no-store", 0, Verdict.PASS),
        ("Cache-Control: max-age=0", 0, Verdict.USE),
        ("Cache-Control: max-age=0", 1, Verdict.ASKED_TO_VALIDATE),
        ("Cache-Control: max-age=10", 9, Verdict.USE),
        ("Cache-Control: max-age=10", 11, Verdict.ASKED_TO_VALIDATE),
        ("Cache-Control: max-age=10", 61, Verdict.VALIDATE),
        ("Cache-Control: max-age=oops", 1, Verdict.ASKED_TO_VALIDATE),
        ("Cache-Control: min-fresh=50", 10, Verdict.USE),
        ("Cache-Control: min-fresh=50", 11, Verdict.ASKED_TO_VALIDATE),
        ("Cache-Control: max-stale=10", 70, Verdict.USE),
        ("Cache-Control: max-stale=10", 71, Verdict.VALIDATE),
        ("Cache-Control: max-stale", 9999, Verdict.USE),
        ("Cache-Control: only-if-cached", 1, Verdict.USE),
        ("Cache-Control: only-if-cached", 61, Verdict.VALIDATE),
    ],
)
def test_a_request_may_ask_for_more_or_less(line: str, after: float, expected: Verdict):
    assert verdict(line, after=after) is expected


def test_pragma_does_not_count_beside_cache_control():
    assert verdict("Pragma: no-cache", "Cache-Control: max-age=100") is Verdict.USE


def test_requests_are_not_heeded_where_the_route_says_so():
    assert reuse(stored("Cache-Control: max-age=60"), asking("Cache-Control: no-cache", heed=False), NOW) is Verdict.USE


def test_max_stale_does_not_overrule_the_response():
    assert verdict("Cache-Control: max-stale=10", control="max-age=60, must-revalidate", after=61) is Verdict.VALIDATE


def test_credentials_are_answered_from_the_store_only_where_the_response_allows_it():
    assert verdict("Authorization: x") is Verdict.PASS
    assert verdict("Authorization: x", control="max-age=60, public") is Verdict.USE


# ---------------------------------------------------------------- when the target fails


@pytest.mark.parametrize(
    ("control", "line", "after", "bridged"),
    [
        ("max-age=60", "", 119, True),
        ("max-age=60", "", 121, False),
        ("max-age=60, stale-if-error=600", "", 659, True),
        ("max-age=60, stale-if-error=0", "", 61, False),
        ("max-age=60, stale-if-error=0", "Cache-Control: stale-if-error=10", 69, True),
        ("max-age=60, must-revalidate", "Cache-Control: stale-if-error=10", 61, False),
        ("max-age=60, proxy-revalidate", "", 61, False),
        ("s-maxage=60", "", 61, False),
        ("no-cache", "", 1, False),
        ("max-age=60", "Cache-Control: no-cache", 61, False),
        ("max-age=60", "Authorization: x", 61, False),
    ],
)
def test_a_stale_entry_helps_out_within_its_window(control: str, line: str, after: float, bridged: bool):
    entry = stored(f"Cache-Control: {control}", 'ETag: "1"')
    assert may_bridge(entry, asking(*([line] if line else [])), NOW + after) is bridged


# ---------------------------------------------------------------- variants and ranges


def test_the_newest_variant_that_the_request_selects_is_taken():
    german = stored("Cache-Control: max-age=60", "Vary: Accept-Language", ask=asking("Accept-Language: de"))
    english = stored("Cache-Control: max-age=60", "Vary: Accept-Language", ask=asking("Accept-Language: en"))
    variants = (english, german)
    assert select(variants, asking("Accept-Language: de")) is german
    assert select(variants, asking("Accept-Language: EN")) is english
    assert select(variants, asking()) is None
    assert select((), asking()) is None
    assert select((stored("Cache-Control: max-age=60"), german), asking("Accept-Language: de")) is not german


def test_a_language_is_matched_by_what_the_entry_says_of_itself():
    lines = ("Cache-Control: max-age=60", "Vary: Accept-Language", "Content-Language: de")
    entry = stored(*lines, ask=asking("Accept-Language: en, de"))
    assert select((entry,), asking("Accept-Language: fr;q=0.5, de;q=1.0")) is entry
    assert select((entry,), asking("Accept-Language: fr")) is None
    twice = stored(*lines, "Content-Language: en", ask=asking("Accept-Language: en, de"))
    assert select((twice,), asking("Accept-Language: de")) is None


@pytest.mark.parametrize(
    ("line", "span"),
    [
        ("", (0, 10)), ("Range: bytes=2-4", (2, 5)), ("Range: bytes=-3", (7, 10)), ("Range: bytes=9-", (9, 10)), ("Range: bytes=10-", UNSATISFIABLE),
        ("Range: bytes=1-2,4-5", (0, 10)), ("Range: rows=1-2", (0, 10)),
    ],
)  # fmt: skip
def test_a_whole_entry_has_every_range(line: str, span: tuple[int, int]):
    entry = stored("Cache-Control: max-age=60", body=b"0123456789")
    assert held_span(entry, asking(*([line] if line else []))) == span


@pytest.mark.parametrize(
    ("line", "span"),
    [
        ("", None), ("Range: bytes=6-8", (1, 4)), ("Range: bytes=5-", (0, 5)), ("Range: bytes=-1", (4, 5)), ("Range: bytes=-6", None),
        ("Range: bytes=0-1", None), ("Range: bytes=4-5", None), ("Range: bytes=10-", UNSATISFIABLE),
    ],
)  # fmt: skip
def test_a_part_has_the_ranges_inside_it(line: str, span: tuple[int, int] | None):
    entry = stored("Cache-Control: max-age=60", "Content-Range: bytes 5-9/10", status=206, body=b"56789")
    assert held_span(entry, asking(*([line] if line else []))) == span


def test_ranges_are_for_gets_of_a_200_alone():
    assert held_span(stored("Cache-Control: max-age=60", status=404), asking("Range: bytes=0-1")) == (0, 5)
    assert held_span(stored("Cache-Control: max-age=60"), asking("Range: bytes=0-1", method="HEAD")) == (0, 5)
    assert held_span(stored("Cache-Control: max-age=60"), asking("Range: bytes=0-1", "Range: bytes=2-3")) == (0, 5)


@given(SECONDS, st.sampled_from(["max-age", "min-fresh", "max-stale"]), st.integers(0, 200))
def test_what_is_used_without_a_word_of_the_request_is_fresh(after: int, name: str, seconds: int):
    entry = stored("Cache-Control: max-age=100", 'ETag: "1"')
    if reuse(entry, asking(f"Cache-Control: {name}={seconds}"), NOW + after) is Verdict.USE:
        stale_for = after - 100
        assert stale_for < 0 or (name == "max-stale" and stale_for <= seconds)
    assert (reuse(entry, asking(), NOW + after) is Verdict.USE) is (after < 100)
