"""What a response's head says to a cache, found in one pass over its fields. Pure.

Most fields mean nothing to a cache, and most of those that do are not there: `kinds` tells which are, so that whoever
decides looks for no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from gateway.cache.rules import DEFAULT_TAGS_HEADER, OUR_TARGET, TARGETS
from gateway.cache.tags import CACHE_TAG, GROUPS
from gateway.rfc.cache_control import Directives, directives_in, targeted_directives
from gateway.rfc.dates import parse_date
from gateway.rfc.freshness import age_in

if TYPE_CHECKING:
    from gateway.exchange import Headers

# What is among the fields: bits of `Answered.kinds`.
CONTROL: Final = 1  # Cache-Control
TARGETED: Final = 2  # the targeted field that all caches of this kind heed
OURS: Final = 4  # that for us alone
DATED: Final = 8  # Date
AGED: Final = 16  # Age
ETAGGED: Final = 32  # ETag
MODIFIED: Final = 64  # Last-Modified
CHOSEN: Final = 128  # what shows that the request's fields have selected it
TAGGED: Final = 256  # tags; those of an operator's own field are not known here
GROUPED: Final = 512  # tags that belong to the origin
COOKIE: Final = 1024  # Set-Cookie
TOLD: Final = 2048  # Cache-Status
NOT_KEPT: Final = OURS | AGED | TOLD  # what is never stored

_KINDS: Final = {
    b"cache-control": CONTROL,
    b"cdn-cache-control": TARGETED,
    OUR_TARGET: OURS,
    b"date": DATED,
    b"age": AGED,
    b"etag": ETAGGED,
    b"last-modified": MODIFIED,
    b"vary": CHOSEN,
    b"content-encoding": CHOSEN,
    DEFAULT_TAGS_HEADER: TAGGED,
    CACHE_TAG: TAGGED,
    GROUPS: GROUPED,
    b"set-cookie": COOKIE,
    b"cache-status": TOLD,
}


def names_of(kinds: int) -> frozenset[bytes]:
    """The fields of these kinds."""
    return frozenset(name for name, kind in _KINDS.items() if kind & kinds)


@mypyc_attr(acyclic=True, free_list_len=1)
class Answered:
    """A final response's head.

    headers: end-to-end fields. length: of its body, None where that is not known. asked_at, received_at: Unix seconds.
    url: what it was asked for, `scheme://host/path?query`; only groups and answers to POST are judged by it.
    control: all of Cache-Control. etag, last_modified: empty where there is none; the first, where there are more.
    """

    __slots__ = (
        "_age", "_date", "asked_at", "control", "etag", "headers", "kinds", "last_modified", "length", "received_at", "status", "url",
    )  # fmt: skip

    def __init__(
        self, status: int, headers: Headers, length: int | None, asked_at: float, received_at: float, url: bytes
    ) -> None:
        self.status = status
        self.headers = headers
        self.length = length
        self.asked_at = asked_at
        self.received_at = received_at
        self.url = url
        self.control = self.etag = self.last_modified = self._date = self._age = b""
        kinds = 0
        for name, value in headers:
            kind = _KINDS.get(name)
            if kind is None:
                continue
            if kind == CONTROL:
                self.control = b"%b,%b" % (self.control, value) if kinds & CONTROL else value
            elif not kinds & kind:  # the first of them counts
                if kind == DATED:
                    self._date = value
                elif kind == ETAGGED:
                    self.etag = value
                elif kind == MODIFIED:
                    self.last_modified = value
                elif kind == AGED:
                    self._age = value
            kinds |= kind
        self.kinds = kinds

    @property
    def sent_at(self) -> float:
        """By Date, or else when it was received."""
        stated = parse_date(self._date, self.received_at) if self.kinds & DATED else None
        return self.received_at if stated is None else stated

    @property
    def born_at(self) -> float:
        """When it was made: what Date or Age tells, whichever is longer ago (RFC 9111 section 4.2.3)."""
        apparent = max(self.received_at - self.sent_at, 0.0)
        stated = (age_in(self._age) if self.kinds & AGED else 0) + (self.received_at - self.asked_at)
        return self.received_at - max(apparent, stated)


@mypyc_attr(acyclic=True, free_list_len=1)
class Control:
    """The directives that count for us, and whether they are those of a targeted field."""

    __slots__ = ("directives", "targeted")

    def __init__(self, directives: Directives, *, targeted: bool) -> None:
        self.directives = directives
        self.targeted = targeted


def control_of(answered: Answered) -> Control:
    """Of the first targeted field that is valid, or else of Cache-Control (RFC 9213 section 2.2)."""
    if answered.kinds & (TARGETED | OURS):
        for target in TARGETS:
            values = [value for name, value in answered.headers if name == target]
            if values and (directives := targeted_directives(values)) is not None:
                return Control(directives, targeted=True)
    return Control(directives_in(answered.control), targeted=False)
