"""Cookies in requests (RFC 6265 sections 4.2 and 5.4): pure."""

from __future__ import annotations

Pair = tuple[bytes, bytes]


def cookie(headers: list[Pair], name: bytes) -> bytes | None:
    """The value of the first cookie of this name, as it came; None where there is none."""
    for field, value in headers:
        if field == b"cookie" and name in value:
            for pair in value.split(b";"):
                own, equals, content = pair.strip(b" \t").partition(b"=")
                if own == name and equals:
                    return content
    return None
