"""Conditional requests answered from a stored response (RFC 9110 section 13, RFC 9111 section 4.3.2). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.rfc.dates import parse_date

if TYPE_CHECKING:
    from collections.abc import Iterable

Pair = tuple[bytes, bytes]

CONDITIONS: Final = frozenset({b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since"})
_TAGS: Final = re.compile(rb'[ \t]*(?:((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|$)').match
_STRONG_AFTER: Final = 60  # seconds between Last-Modified and Date that make a date a strong validator

# What a 304 has of the fields of the 200 (RFC 9110 section 15.4.5), and what is needed to use or trace it.
_ABOUT_CONTENT: Final = frozenset(
    {b"content-encoding", b"content-language", b"content-length", b"content-range", b"content-type", b"content-md5",
     b"content-digest", b"repr-digest", b"digest", b"accept-ranges", b"last-modified"}
)  # fmt: skip


def is_not_modified(request: list[Pair], etag: bytes, last_modified: bytes, date: float, now: float) -> bool:
    """Whether a GET or HEAD with these fields is answered with 304 by a 200 with these validators.

    date: when the response was sent, for a response without Last-Modified. If-None-Match goes before
    If-Modified-Since, and a request with several dates has none.
    """
    tags = [value for name, value in request if name == b"if-none-match"]
    if tags:
        return bool(etag) and matches(tags, etag)
    dates = [value for name, value in request if name == b"if-modified-since"]
    if len(dates) != 1:
        return False
    since = parse_date(dates[0], now)
    if since is None:
        return False
    modified = parse_date(last_modified, now) if last_modified else date
    return modified is not None and modified <= since


def matches(values: Iterable[bytes], etag: bytes) -> bool:
    """Whether If-None-Match names the entity tag, by the weak comparison (RFC 9110 section 8.8.3.2)."""
    wanted = opaque(etag)
    for value in values:
        if value.strip(b" \t") == b"*":
            return True
        if any(opaque(tag) == wanted for tag in entity_tags(value)):
            return True
    return False


def entity_tags(value: bytes) -> list[bytes]:
    """The well-formed entity tags of a list, up to what is none."""
    tags = []
    at = 0
    while at < len(value):
        matched = _TAGS(value, at)
        if matched is None:
            break
        if matched[1] is not None:
            tags.append(matched[1])
        at = matched.end()
    return tags


def opaque(etag: bytes) -> bytes:
    """An entity tag without its mark of weakness."""
    return etag.removeprefix(b"W/")


def is_strong(etag: bytes) -> bool:
    return etag[:1] == b'"' and etag[-1:] == b'"' and len(etag) > 1


def range_applies(value: bytes | None, etag: bytes, last_modified: bytes, date: float, now: float) -> bool:
    """Whether If-Range lets the Range count: it names the stored response by a strong validator (RFC 9110 section
    13.1.5). date: when the stored response was sent."""
    if value is None:
        return True
    if value[:1] == b'"' or value[:2] == b"W/":
        return is_strong(value) and value == etag
    if value != last_modified:
        return False
    modified = parse_date(last_modified, now)
    return modified is not None and date - modified >= _STRONG_AFTER


def not_modified_fields(headers: list[Pair]) -> list[Pair]:
    """Of the fields of a 200 those that its 304 has: none that describe content which is not there. A new list.

    Last-Modified stays where there is no entity tag to do its work.
    """
    has_etag = any(name == b"etag" for name, _ in headers)
    return [
        pair
        for pair in headers
        if pair[0] not in _ABOUT_CONTENT or (pair[0] == b"last-modified" and not has_etag)
    ]
