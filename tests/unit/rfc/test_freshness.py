"""Lifetimes and ages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.cache_control import MAX_AGE, parse_directives
from gateway.rfc.dates import format_date
from gateway.rfc.freshness import HEURISTIC_LIMIT, age_in, date_of, explicit_lifetime, heuristic_lifetime

NOW = 1_800_000_000.0
DELTAS = st.integers(-200_000, 200_000)
Headers = list[tuple[bytes, bytes]]


def date(seconds: float = 0.0, name: bytes = b"date") -> tuple[bytes, bytes]:
    return name, format_date(NOW + seconds)


def lifetime(headers: Headers, control: bytes = b"", *, targeted: bool = False) -> float | None:
    return explicit_lifetime(parse_directives([control]), headers, NOW, targeted=targeted)


def test_nothing_said_is_no_lifetime():
    assert lifetime([date()], b"public") is None


def test_s_maxage_goes_before_max_age_and_both_before_expires():
    headers = [date(), date(500, b"expires")]
    assert lifetime(headers, b"max-age=10, s-maxage=20") == 20
    assert lifetime(headers, b"s-maxage=20, max-age=10") == 20
    assert lifetime(headers, b"max-age=10") == 10
    assert lifetime(headers) == 500
    assert lifetime([(b"expires", b"0")], b"max-age=10") == 10


@pytest.mark.parametrize("control", [b"max-age=-1", b"max-age=x", b"max-age=0", b"max-age=1, max-age=2", b"s-maxage=?, max-age=100"])
def test_an_invalid_lifetime_has_ended(control: bytes):
    assert lifetime([date(500, b"expires")], control) == 0


def test_the_lifetime_by_expires_runs_from_date():
    assert lifetime([date(-100), date(50, b"expires")]) == 150
    assert lifetime([date(50, b"expires")]) == 50
    assert lifetime([(b"date", b"yesterday"), date(50, b"expires")]) == 50
    assert lifetime([date(60), date(50, b"expires")]) == 0


@pytest.mark.parametrize("value", [b"0", b"", b"never", b"Thu, 18 Aug 2050 02:01:18 UTC"])
def test_an_expires_that_is_no_date_has_passed(value: bytes):
    assert lifetime([(b"expires", value)]) == 0


def test_two_expires_have_passed():
    assert lifetime([date(500, b"expires"), date(500, b"expires")]) == 0


def test_a_date_of_the_far_future_is_clamped():
    assert lifetime([(b"expires", b"Fri, 31 Dec 9999 23:59:59 GMT")]) == MAX_AGE


def test_expires_does_not_count_beside_a_targeted_field():
    assert lifetime([date(500, b"expires")], b"must-revalidate", targeted=True) is None


@given(st.integers(0, 40 * 86400), DELTAS)
def test_a_tenth_of_the_time_without_change_is_guessed(unchanged: int, sent: int):
    headers = [date(sent), date(sent - unchanged, b"last-modified")]
    assert heuristic_lifetime(headers, NOW) == pytest.approx(min(unchanged / 10, HEURISTIC_LIMIT))


def test_nothing_is_guessed_from_the_future_or_from_no_date():
    assert heuristic_lifetime([date(), date(100, b"last-modified")], NOW) == 0
    assert heuristic_lifetime([date(), (b"last-modified", b"2020-01-01")], NOW) == 0
    assert heuristic_lifetime([date()], NOW) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"30", 30), (b"7200, 0", 7200), (b"0, 7200", 0), (b"7200.0", 0), (b"-7200", 0), (b"abc", 0), (b"7200;a=b", 0), (b" 30 ", 30),
        (b"2147483649", MAX_AGE), (b"", 0),
    ],
)  # fmt: skip
def test_the_first_member_of_age_counts_if_it_is_a_number(value: bytes, seconds: int):
    assert age_in(value) == seconds


def test_without_a_date_it_was_sent_when_it_came():
    assert date_of([], NOW) == NOW
    assert date_of([(b"date", b"?")], NOW) == NOW
    assert date_of([date(-5)], NOW) == NOW - 5
