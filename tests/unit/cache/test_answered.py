"""What a response's head says to a cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.answered import Answered
from gateway.rfc.cache_fields import (
    AGED,
    CHOSEN,
    CONTROL,
    COOKIE,
    DATED,
    ETAGGED,
    GROUPED,
    MODIFIED,
    OURS,
    TAGGED,
    TARGETED,
    TOLD,
)
from support.caching import NOW, URL, answer, date, fields

KINDS = {
    "Cache-Control": CONTROL, "CDN-Cache-Control": TARGETED, "Gateway-Cache-Control": OURS, "Date": DATED, "Age": AGED, "ETag": ETAGGED,
    "Last-Modified": MODIFIED, "Vary": CHOSEN, "Content-Encoding": CHOSEN, "Surrogate-Key": TAGGED, "Cache-Tag": TAGGED,
    "Cache-Groups": GROUPED, "Set-Cookie": COOKIE, "Cache-Status": TOLD, "Content-Type": 0, "X-Own": 0,
}  # fmt: skip


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=20))
def test_every_field_that_is_there_is_found_in_any_order(names: list[str]):
    kinds = 0
    for name in names:
        kinds |= KINDS[name]
    assert answer(*(f"{name}: x" for name in names)).kinds == kinds


def test_of_a_field_that_comes_twice_the_first_counts():
    found = answer(f"Date: {date(-7)}", f"Date: {date(-9)}", 'ETag: "1"', 'ETag: "2"', "Last-Modified: 1", "Last-Modified: 2")
    assert (found.sent_at, found.etag, found.last_modified) == (NOW - 7, b'"1"', b"1")


def test_lines_of_cache_control_are_one_list():
    assert answer().control == b""
    assert answer("Cache-Control: a", "X: y", "Cache-Control: b=1", "Cache-Control: c").control == b"a,b=1,c"


@pytest.mark.parametrize(
    ("lines", "seconds"), [([], 0), (["30"], 30), (["7200, 0"], 7200), (["7200", "0"], 7200), (["0", "7200"], 0), (["abc"], 0)]
)
def test_the_first_member_of_age_counts(lines: list[str], seconds: int):
    assert NOW - answer("Cache-Status: other", *(f"Age: {line}" for line in lines)).born_at == seconds


@given(st.integers(-200_000, 200_000), st.integers(0, 200_000), st.floats(0, 100))
def test_the_age_is_at_least_what_date_and_age_say_and_never_negative(sent: int, age: int, delay: float):
    born = Answered(200, fields(f"Date: {date(sent)}", f"Age: {age}"), 5, NOW - delay, NOW, URL).born_at
    assert NOW - born >= max(age, -sent) - 0.001
    assert NOW - born == pytest.approx(max(-sent, age + delay, 0), abs=0.001)


@pytest.mark.parametrize("lines", [(), ("Date: ?",)])
def test_without_a_date_it_was_sent_when_it_came(lines: tuple[str, ...]):
    assert answer(*lines).sent_at == NOW
