"""The answer that an entry gives to a request: its status, fields and bytes. Pure (RFC 9111 section 4, RFC 9110 section 13.2.2).

Conditions are judged first, then the Range; a HEAD gets the fields of GET.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.cache.reuse import held_span
from gateway.rfc.conditional import is_not_modified, not_modified_fields, range_applies
from gateway.rfc.freshness import date_of
from gateway.rfc.ranges import UNSATISFIABLE, content_range, parse_range, unsatisfied_range

if TYPE_CHECKING:
    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.exchange import Headers
    from gateway.rfc.ranges import Span


class Rendering(NamedTuple):
    """span: where in the entry's body the bytes are that go out. headers: a new list, without Content-Length."""

    status: int
    headers: Headers
    span: Span


def render(entry: Entry, ask: Ask, now: float) -> Rendering | None:
    """None where the entry does not hold all the bytes that are asked for."""
    headers = [pair for pair in entry.headers if pair[0] != b"content-length"]
    headers.append(age_field(entry, now))
    if not ask.concerns:
        return None if entry.part is not None else Rendering(entry.status, headers, (0, entry.length))
    if entry.status == 200 and ask.asks_for_newer and _is_unchanged(entry, ask, now):
        return Rendering(304, not_modified_fields(headers), (0, 0))
    return _ranged(entry, ask, headers, now)


def age_field(entry: Entry, now: float) -> tuple[bytes, bytes]:
    return b"age", b"%d" % max(now - entry.born_at, 0.0)


def _is_unchanged(entry: Entry, ask: Ask, now: float) -> bool:
    sent_at = date_of(entry.headers, entry.stored_at)
    return is_not_modified(ask.concerns, entry.etag, entry.last_modified, sent_at, now)


def _ranged(entry: Entry, ask: Ask, headers: Headers, now: float) -> Rendering | None:
    asked = ask.asked_range
    if asked is None or parse_range(asked) is None or entry.status != 200 or not _range_counts(entry, ask, now):
        return None if entry.part is not None else Rendering(entry.status, headers, (0, entry.length))
    span = held_span(entry, ask)
    if span is None:
        return None
    total = entry.length if entry.part is None else entry.part.total
    if span == UNSATISFIABLE:
        return Rendering(416, [*headers, (b"content-range", unsatisfied_range(total))], span)
    first = span[0] if entry.part is None else span[0] + entry.part.first
    headers.append((b"content-range", content_range(first, first + span[1] - span[0], total)))
    return Rendering(206, headers, span)


def _range_counts(entry: Entry, ask: Ask, now: float) -> bool:
    condition = ask.concern(b"if-range")
    return range_applies(condition, entry.etag, entry.last_modified, date_of(entry.headers, entry.stored_at), now)
