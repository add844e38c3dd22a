"""The three forms of an HTTP date, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.dates import format_date, parse_date

NOW = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
SECONDS = st.integers(0, 253402300799)  # to the end of the year 9999


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", at(1994, 11, 6, 8, 49, 37)),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", at(1994, 11, 6, 8, 49, 37)),
        (b"Sun Nov  6 08:49:37 1994", at(1994, 11, 6, 8, 49, 37)),
        (b"Sun Nov 16 08:49:37 1994", at(1994, 11, 16, 8, 49, 37)),
        (b"THU, 18 AUG 2050 02:01:18 gmt", at(2050, 8, 18, 2, 1, 18)),
        (b"Thursday, 18-Aug-50 02:01:18 GMT", at(2050, 8, 18, 2, 1, 18)),
        (b"Friday, 25-Nov-76 00:00:00 GMT", at(2076, 11, 25)),
        (b"Friday, 25-Nov-77 00:00:00 GMT", at(1977, 11, 25)),
        (b"Tue, 29 Feb 2028 00:00:00 GMT", at(2028, 2, 29)),
        (b"Tue, 29 Feb 2000 00:00:00 GMT", at(2000, 2, 29)),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", at(2017, 1, 1)),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
    ],
)
def test_the_three_forms_are_read(text: bytes, seconds: float):
    assert parse_date(text, NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        b"", b"0", b"-1", b"now", b"Thu, 18 Aug 2050 02:01:18 UTC", b"Thu, 18 Aug 2050 02:01:18 AEST", b"Thu, 18 Aug 50 02:01:18 GMT",
        b"Thu 18 Aug 2050 02:01:18 GMT", b"Thu, 18  Aug  2050 02:01:18 GMT", b"Thu, 18-Aug-2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 02.01.18 GMT", b"Thu, 18 Aug 2050 2:01:18 GMT", b"Thu, 8 Aug 2050 02:01:18 GMT", b"Thu, 18 Aug 2050 02:01:18 +0000",
        b"Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT", b" Thu, 18 Aug 2050 02:01:18 GMT", b"Thu, 00 Aug 2050 02:01:18 GMT",
        b"Thu, 31 Jun 2050 02:01:18 GMT", b"Thu, 29 Feb 2027 02:01:18 GMT", b"Thu, 29 Feb 2100 02:01:18 GMT", b"Thu, 18 Aug 2050 24:01:18 GMT",
        b"Thu, 18 Aug 2050 02:60:18 GMT", b"Thu, 18 Aug 2050 02:01:61 GMT", "Thu, 1\u0668 Aug 2050 02:01:18 GMT".encode(),
    ],
)  # fmt: skip
def test_everything_else_is_no_date(text: bytes):
    assert parse_date(text, NOW) is None


@given(SECONDS)
def test_what_is_written_is_read_again_and_is_what_others_write(seconds: int):
    written = format_date(seconds)
    assert parse_date(written, NOW) == seconds
    assert written == format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True).encode()


@given(st.datetimes(datetime(1977, 1, 1), datetime(2076, 1, 1)))  # noqa: DTZ001 - hypothesis wants them naive
def test_two_digits_of_a_year_are_enough_for_the_fifty_years_around_now(day: datetime):
    text = day.strftime("%A, %d-%b-%y %H:%M:%S GMT").encode()
    assert parse_date(text, NOW) == day.replace(tzinfo=UTC, microsecond=0).timestamp()
