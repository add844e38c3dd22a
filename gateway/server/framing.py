"""The head of an answer as it goes to the client (RFC 9112 sections 4 and 5): pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.exchange import Headers, Reply
    from gateway.rfc.message import AnswerHead


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode()


STATUS_LINES: Final = {status: _status_line(status) for status in range(100, 1000)}


def answer_lines(status: int, headers: Headers) -> bytes:
    """The status line and the field lines, each with its CRLF. Raises RuntimeError where a field holds a line break."""
    return STATUS_LINES[status] + b"\r\n" + field_lines(headers)


def field_lines(headers: Headers) -> bytes:
    """Each with its CRLF. Raises RuntimeError where a field holds a line break."""
    data = b"\r\n".join([*map(b": ".join, headers), b""])
    if has_stray_break(data, len(headers)):
        raise RuntimeError("a header field holds a line break")
    return data


def passed_on(source: AnswerHead | Reply, fields: Headers, status: int, headers: Headers) -> bytes:
    """`answer_lines` for what was made of a target's answer or of a reply that had these `fields`: where policies have
    only added to them, what is known to be well written is not written again."""
    known = len(fields)
    if status != source.status or headers[:known] != fields:
        return answer_lines(status, headers)
    lines = source.lines
    if lines is None:
        lines = source.lines = answer_lines(status, fields)
    return lines + field_lines(headers[known:])


def interim_lines(status: int, headers: Headers) -> bytes:
    """A 1xx answer, whole."""
    return answer_lines(status, headers) + b"\r\n"


def has_stray_break(data: bytes, lines: int) -> bool:
    """Other line breaks than the CRLFs of so many lines: a value would become a field, or an answer, of its own."""
    return data.count(b"\n") != lines or data.count(b"\r") != lines or 0 in data


def chunk(data: bytes) -> bytes:
    """A chunk of the chunked coding (RFC 9112 section 7.1); nothing for no data, since an empty one would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK: Final = b"0\r\n\r\n"


class Stamps:
    """The fields that the server itself adds to every answer, such as Date, as they are sent."""

    __slots__ = ("_fields", "_parts", "_said", "block")

    def __init__(self, fields: Headers) -> None:
        self._fields = fields
        self._parts: dict[bytes, Stamps] = {}
        self._said = [(b"\r\n%b: " % name, name) for name, _ in fields]
        self.block = b"".join([b"%b: %b\r\n" % pair for pair in fields])

    def without(self, name: bytes) -> Stamps:
        """The others, where the app says one of them itself."""
        part = self._parts.get(name)
        if part is None:
            part = self._parts[name] = Stamps([pair for pair in self._fields if pair[0] != name])
        return part

    def beside(self, lines: bytes) -> bytes:
        """Those that are not among these lines, whose names are in lowercase."""
        for mark, name in self._said:
            if lines.find(mark) >= 0:
                return self.without(name).beside(lines)
        return self.block
