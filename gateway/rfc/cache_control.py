"""Cache-Control: reading its directives (RFC 9111 section 5.2), and those of targeted fields (RFC 9213). Pure.

A directive that is there counts, however it is written; only what needs a value can be written wrongly. So a broken
`no-store` forbids still, and a broken `max-age` is a lifetime that has ended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.rfc.structured import Malformed, parse_dictionary

if TYPE_CHECKING:
    from collections.abc import Iterable

Pair = tuple[bytes, bytes]

MAX_AGE: Final = 2**31  # seconds; what is longer counts as this (RFC 9111 section 1.2.2)
INVALID: Final = -1  # a directive that needs seconds has none, or says two different things
_DELTA: Final = frozenset({b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error", b"min-fresh", b"max-stale"})
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*"'
_REST: Final = rb'(?:[^,"]+|%b|")*' % _QUOTED  # of a member that is malformed; a quote that is not closed hides nothing
_MEMBER: Final = re.compile(rb"[ \t]*(?:(%b)(?:=(%b|%b))?)?(%b)(?:,|$)" % (_TOKEN, _TOKEN, _QUOTED, _REST), re.S)
_DIGITS: Final = re.compile(rb"[0-9]+").fullmatch
_ESCAPED: Final = re.compile(rb"\\(.)", re.S)
_NAMES: Final = re.compile(_TOKEN).findall
_MAX_DIRECTIVES: Final = 256  # that are looked at
_MEMO_ENTRIES: Final = 1024  # field values whose directives are remembered; a full memo is cleared
_MEMO_VALUE: Final = 256  # bytes; longer values are not worth their place


class Directives:
    """The directives of a message, by lowercase name. Never changed, since many messages share one.

    seconds: those that have a number of seconds, clamped to MAX_AGE, or INVALID. `max-stale` without a value is MAX_AGE.
    fields: the field names that `no-cache` and `private` are restricted to, lowercase; none of them where it is not.

    Of a response, for a shared cache: lifetime, the seconds that it is fresh, None where nothing is said of that; whether it is
    private; must_understand, stored only by those who do, whatever no_store says; always_validate, never used without asking;
    never_stale, not used stale; for_authorized, may answer other requests though its own had credentials (RFC 9111 section 3.5);
    while_revalidate and if_error, seconds in which it is used stale (RFC 5861), None where nothing is said of that.
    """

    __slots__ = (
        "always_validate", "fields", "for_authorized", "if_error", "is_private", "lifetime", "must_understand", "names", "never_stale",
        "no_store", "seconds", "while_revalidate",
    )  # fmt: skip

    def __init__(self, names: frozenset[bytes], seconds: dict[bytes, int], fields: dict[bytes, frozenset[bytes]]) -> None:
        self.names = names
        self.seconds = seconds
        self.fields = fields
        self.lifetime = _not_negative(seconds.get(b"s-maxage", seconds.get(b"max-age")))
        self.while_revalidate = _not_negative(seconds.get(b"stale-while-revalidate"))
        self.if_error = _not_negative(seconds.get(b"stale-if-error"))
        self.must_understand = b"must-understand" in names
        self.no_store = b"no-store" in names
        self.is_private = self.forbids(b"private")
        self.always_validate = self.forbids(b"no-cache")
        self.never_stale = self.always_validate or not names.isdisjoint((b"must-revalidate", b"proxy-revalidate", b"s-maxage"))
        self.for_authorized = not names.isdisjoint((b"public", b"must-revalidate", b"s-maxage"))

    def __contains__(self, name: bytes) -> bool:
        return name in self.names

    def forbids(self, name: bytes) -> bool:
        """`no-cache` or `private` is there and holds for the whole response."""
        return name in self.names and not self.fields.get(name)


def _not_negative(seconds: int | None) -> float | None:
    return None if seconds is None else float(max(seconds, 0))


NONE: Final = Directives(frozenset(), {}, {})
_memo: Final[dict[bytes, Directives]] = {}


def parse_directives(values: Iterable[bytes]) -> Directives:
    """All lines of Cache-Control as one list."""
    return directives_in(b",".join(values))


def directives_in(joined: bytes) -> Directives:
    """The same of lines that are joined by commas."""
    known = _memo.get(joined)
    if known is None:
        known = _parse(joined)
        if len(joined) <= _MEMO_VALUE:
            if len(_memo) >= _MEMO_ENTRIES:
                _memo.clear()
            _memo[joined] = known
    return known


def _parse(joined: bytes) -> Directives:
    names: set[bytes] = set()
    seconds: dict[bytes, int] = {}
    fields: dict[bytes, frozenset[bytes]] = {}
    for count, matched in enumerate(_MEMBER.finditer(joined)):
        if count == _MAX_DIRECTIVES:
            break
        if matched[1] is None:
            continue
        name = matched[1].lower()
        value = None if matched[3].strip(b" \t") else _unquoted(matched[2])
        if name in _DELTA:
            _set_seconds(seconds, name, _seconds(name, value))
        elif name in {b"no-cache", b"private"}:
            listed = frozenset(map(bytes.lower, _NAMES(value or b"")))
            earlier = fields.get(name, listed) if name in names else listed
            fields[name] = earlier | listed if earlier and listed else frozenset()  # once without a list is for all
        names.add(name)
    return Directives(frozenset(names), seconds, fields)


def _seconds(name: bytes, value: bytes | None) -> int:
    if value is None:
        return MAX_AGE if name == b"max-stale" else INVALID
    return delta_seconds(value)


def _set_seconds(seconds: dict[bytes, int], name: bytes, value: int) -> None:
    """Two different values leave it open which one was meant (RFC 9111 section 4.2.1)."""
    seconds[name] = value if seconds.get(name, value) == value else INVALID


def delta_seconds(value: bytes) -> int:
    """1*DIGIT, clamped to MAX_AGE; INVALID for anything else."""
    if _DIGITS(value) is None:
        return INVALID
    digits = value.lstrip(b"0")
    return MAX_AGE if len(digits) > 10 else min(int(digits or b"0"), MAX_AGE)


def _unquoted(value: bytes | None) -> bytes | None:
    if value is None or value[:1] != b'"':
        return value
    return _ESCAPED.sub(rb"\1", value[1:-1])


def targeted_directives(values: list[bytes]) -> Directives | None:
    """The directives of a targeted field, a Structured Fields Dictionary (RFC 9213 section 2.1).

    None where the field is to be ignored: it is not there, empty, not a dictionary, or says something of the wrong type.
    """
    try:
        members = parse_dictionary(b",".join(values))
    except Malformed:
        return None
    names: set[bytes] = set()
    seconds: dict[bytes, int] = {}
    for name, value in members.items():
        if name in _DELTA:
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                return None
            seconds[name] = min(value, MAX_AGE)
        elif name in _SWITCHES:
            if not isinstance(value, bool):
                return None
            if not value:
                continue
        names.add(name)
    return Directives(frozenset(names), seconds, {}) if members else None


_SWITCHES: Final = frozenset(
    {b"immutable", b"must-revalidate", b"must-understand", b"no-cache", b"no-store", b"no-transform", b"private",
     b"proxy-revalidate", b"public"}
)  # fmt: skip
