"""Dates of HTTP (RFC 9110 section 5.6.7): the preferred form and both obsolete ones, strictly. Pure.

What is none of the three is no date, and for a cache that means the past. Only the case of letters is forgiven.
"""

from __future__ import annotations

import re
from typing import Final

_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_MONTH_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY: Final = b"(?:%s)" % b"|".join(_DAYS)
_LONG_DAY: Final = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH: Final = b"(?P<month>%s)" % b"|".join(_MONTHS)
_TIME: Final = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE).fullmatch
    for form in (
        rb"%b, (?P<day>[0-9]{2}) %b (?P<year>[0-9]{4}) %b GMT" % (_DAY, _MONTH, _TIME),
        rb"%b, (?P<day>[0-9]{2})-%b-(?P<year>[0-9]{2}) %b GMT" % (_LONG_DAY, _MONTH, _TIME),
        rb"%b %b (?P<day>[0-9]{2}| [0-9]) %b (?P<year>[0-9]{4})" % (_DAY, _MONTH, _TIME),
    )
)
_PREFERRED: Final = 29  # bytes of the preferred form, and of no other with a two-digit year
_MEMO_ENTRIES: Final = 256  # dates that are remembered; a full memo is cleared
_memo: Final[dict[bytes, float]] = {}
_DAY_SECONDS: Final = 86400
_CENTURY: Final = 100
_FUTURE: Final = 50  # years; a two-digit year further ahead is of the century before


def parse_date(value: bytes, now: float) -> float | None:
    """Unix seconds, or None where it is no date. now: decides the century of two-digit years."""
    known = _memo.get(value)
    if known is None:
        known = _parse(value, now)
        if known is not None and len(value) == _PREFERRED:  # these mean the same at any time
            if len(_memo) >= _MEMO_ENTRIES:
                _memo.clear()
            _memo[value] = known
    return known


def _parse(value: bytes, now: float) -> float | None:
    for form in _FORMS:
        matched = form(value)
        if matched is not None:
            break
    else:
        return None
    year = int(matched["year"])
    if len(matched["year"]) == 2:
        year = _full_year(year, now)
    month = _MONTH_NUMBERS[matched["month"].lower()]
    day, hour, minute, second = (int(matched[name]) for name in ("day", "hour", "minute", "second"))
    if not 1 <= day <= _month_length(year, month) or hour > 23 or minute > 59 or second > 60:
        return None
    return float(_days(year, month, day) * _DAY_SECONDS + hour * 3600 + minute * 60 + second)


def format_date(at: float) -> bytes:
    """Unix seconds in the preferred form."""
    days, seconds = divmod(int(at), _DAY_SECONDS)
    year, month, day = _civil(days)
    hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    weekday = _DAYS[(days + 3) % 7]  # the first day of 1970 was a Thursday
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (weekday, day, _MONTHS[month - 1], year, hour, minute, second)


def _full_year(year: int, now: float) -> int:
    """Of the years that end so, the last one that is not more than 50 years ahead (RFC 9110 section 5.6.7)."""
    this_year = _civil(int(now) // _DAY_SECONDS)[0]
    return this_year + _FUTURE - (this_year + _FUTURE - year) % _CENTURY


def _month_length(year: int, month: int) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and is_leap else _MONTH_LENGTHS[month - 1]


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar; years here begin in March."""
    year -= month <= 2
    of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719468


def _civil(days: int) -> tuple[int, int, int]:
    """The date so many days after 1970-01-01, in years from 0 on."""
    days += 719468
    era, of_era = divmod(days, 146097)
    years = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * years + years // 4 - years // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + years + (month <= 2), month, day
