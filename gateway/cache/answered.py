"""What a response's head says to a cache, found in one pass over its fields. Pure.

Most fields mean nothing to a cache, and most of those that do are not there: `kinds` tells which are, so that whoever
decides looks for no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import i64, mypyc_attr

from gateway.rfc.cache_control import Directives, directives_in, targeted_directives
from gateway.rfc.cache_fields import AGED, CONTROL, DATED, ETAGGED, KINDS, MODIFIED, OURS, TARGETED, TARGETS
from gateway.rfc.dates import parse_date
from gateway.rfc.freshness import age_in

if TYPE_CHECKING:
    from gateway.exchange import Headers
    from gateway.rfc.lines import Line


@mypyc_attr(acyclic=True, free_list_len=1)
class Answered:
    """A final response's head.

    headers: end-to-end fields. length: of its body, None where that is not known. asked_at, received_at: Unix seconds.
    url: what it was asked for, `scheme://host/path?query`; only groups and answers to POST are judged by it.
    lines: given where `headers` are made of these and will never change; they may hold more, but nothing that has a kind.
    control: all of Cache-Control. etag, last_modified: empty where there is none; the first, where there are more.
    size: bytes of the fields, about. is_lasting: `headers` will never change.
    """

    __slots__ = (
        "_age", "_date", "asked_at", "control", "etag", "headers", "is_lasting", "kinds", "last_modified", "length", "received_at", "size",
        "status", "url",
    )  # fmt: skip

    def __init__(
        self, status: int, headers: Headers, length: int | None, asked_at: float, received_at: float, url: bytes, *,
        lines: list[Line] | None = None,
    ) -> None:  # fmt: skip
        self.status = status
        self.headers = headers
        self.length = length
        self.asked_at = asked_at
        self.received_at = received_at
        self.url = url
        self.control = self.etag = self.last_modified = self._date = self._age = b""
        self.kinds: i64 = 0
        self.is_lasting = lines is not None
        size: i64 = 0
        if lines is None:
            for name, value in headers:
                size += len(name) + len(value)
                known = KINDS.get(name)
                if known is not None:
                    self._note(known, value)
        else:
            for line in lines:
                size += len(line.text)
                kind = line.name.kind
                if kind:
                    self._note(kind, line.value)
        self.size = int(size)

    def _note(self, kind: i64, value: bytes) -> None:
        kinds = self.kinds
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
        self.kinds = kinds | kind

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
