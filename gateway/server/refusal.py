"""The answer to what is no request: short, closing, and the same for everyone."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long"}  # RFC 9110; before Python 3.13 http has the older ones


def refusal(status: int, detail: str) -> bytes:
    """A whole response as bytes; the connection is closed behind it."""
    try:
        phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    body = f'{{"type":"about:blank","title":"{phrase}","status":{status},"detail":"{detail}"}}'.encode()
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
        b"cache-control: no-store\r\nconnection: close\r\n\r\n%s" % (status, phrase.encode(), len(body), body)
    )
