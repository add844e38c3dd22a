"""Byte ranges (RFC 9110 section 14): one range of one representation. Pure.

Several ranges at once are answered with the whole, which every server may do. Positions count from 0, and a range ends
behind its last byte, as slices do.
"""

from __future__ import annotations

import re
from typing import Final

_RANGE: Final = re.compile(rb"bytes[ \t]*=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE).fullmatch
_CONTENT_RANGE: Final = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE).fullmatch

Span = tuple[int, int]
UNSATISFIABLE: Final = (0, 0)


def parse_range(value: bytes) -> tuple[int | None, int | None] | None:
    """First and last position of a Range of one part; (None, n) for the last n bytes, (n, None) for all from n on.

    None where it is to be ignored: another unit, several parts, or malformed.
    """
    matched = _RANGE(value)
    if matched is None:
        return None
    if matched[3] is not None:
        return None, int(matched[3])
    first = int(matched[1])
    last = int(matched[2]) if matched[2] else None
    return None if last is not None and last < first else (first, last)


def resolve(asked: tuple[int | None, int | None], total: int) -> Span:
    """The bytes of a representation of `total` bytes that are asked for; UNSATISFIABLE where it has none of them."""
    first, last = asked
    if first is None:
        assert last is not None
        return (max(total - last, 0), total) if last and total else UNSATISFIABLE
    if first >= total:
        return UNSATISFIABLE
    return first, total if last is None else min(last + 1, total)


def parse_content_range(value: bytes) -> tuple[int, int, int] | None:
    """First position, end and total of Content-Range; None where one of them is unknown or they do not fit."""
    matched = _CONTENT_RANGE(value)
    if matched is None:
        return None
    first, last, total = int(matched[1]), int(matched[2]), int(matched[3])
    return (first, last + 1, total) if first <= last < total else None


def content_range(first: int, end: int, total: int) -> bytes:
    return b"bytes %d-%d/%d" % (first, end - 1, total)


def unsatisfied_range(total: int) -> bytes:
    """The Content-Range of a 416."""
    return b"bytes */%d" % total


def cut(chunks: tuple[bytes, ...], first: int, end: int) -> list[bytes]:
    """The bytes from `first` to `end` of a body in pieces."""
    pieces = []
    at = 0
    for chunk in chunks:
        if at >= end:
            break
        piece = chunk[max(first - at, 0) : end - at]
        if piece:
            pieces.append(piece)
        at += len(chunk)
    return pieces
