"""The head of an answer as it goes to the client (RFC 9112 sections 4 and 5): pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from gateway.rfc.octets import has_break

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.exchange import Headers, Reply
    from gateway.rfc.message import Original


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode()


CONTENT_LENGTH: Final = b"content-length"
_HOW_IT_ENDS: Final = frozenset({b"keep-alive", b"transfer-encoding"})
_SAID_ONCE: Final = frozenset({b"date", b"server"})
BROKEN: Final = "a header field holds a line break"

STATUS_LINES: Final = {status: _status_line(status) for status in range(100, 1000)}


def answer_lines(status: int, headers: Sequence[Any]) -> bytes:
    """The status line and the field lines, each with its CRLF. headers: pairs, or other sequences as long. Raises RuntimeError
    where a field holds a line break."""
    lines = [STATUS_LINES[status]]
    for pair in headers:
        name: bytes = pair[0]
        value: bytes = pair[1]
        lines.append(b"%b: %b" % (name, value))
    if has_break(b"".join(lines)):
        raise RuntimeError(BROKEN)
    lines.append(b"")
    return b"\r\n".join(lines)


def app_lines(status: int, headers: Iterable[Any], stamps: Stamps) -> tuple[bytes, int, bool]:
    """The lines of an app's answer and of those stamps that it does not say itself, without what is the server's to say: how
    the body ends. Its length, -1 where it is not told; and whether the app wants the connection closed. Names may be in any
    case, and pairs any sequences. Raises RuntimeError where a field holds a line break."""
    kept: list[Any] = []
    length = -1
    closes = False
    for pair in headers:
        name: bytes = pair[0].lower()
        if name == CONTENT_LENGTH:
            length = int(pair[1])
        elif name == b"connection":
            closes = closes or b"close" in pair[1].lower()
        elif name not in _HOW_IT_ENDS:
            kept.append(pair)
            if name in _SAID_ONCE:
                stamps = stamps.without(name)
    return answer_lines(status, kept) + stamps.block, length, closes


class Written:
    """The head of an answer as it is written, but for how its body ends: what a target or a reply says, and what of these
    stamps it does not say itself. lines: each with its CRLF. says_length: Content-Length is among them. lacks: a field that
    somebody has looked for, and that is not. first: of the fields that somebody added behind them, where there were more than
    one, and with_first: the lines with that one, since it is often the same."""

    __slots__ = ("first", "lacks", "lines", "says_length", "stamps", "with_first")

    def __init__(self, status: int, headers: Headers, stamps: Stamps) -> None:
        self.stamps = stamps
        self.says_length = False
        self.lacks = b""
        self.first: object = None
        self.with_first = b""
        for name, _ in headers:
            if name == CONTENT_LENGTH:
                self.says_length = True
        self.lines = answer_lines(status, headers) + stamps.beside(headers).block


def passed_on(source: Original, status: int, headers: list[Any], stamps: Stamps) -> tuple[bytes, bool]:
    """What `Written` says, of what was made of this: where policies have only added to its fields, what is known to be well
    written is not written again. Raises RuntimeError where a field holds a line break."""
    fields = source.forwarded
    assert fields is not None  # the headers were made of them
    known = len(fields)
    if status != source.status or not _begins_with(headers, fields):
        return _anew(status, headers, stamps)
    written = source.written
    if not isinstance(written, Written) or written.stamps is not stamps:
        source.written = written = Written(status, fields, stamps)
    count = len(headers)
    start = known
    lines = written.lines
    if count > known + 1 and headers[known] is written.first:
        start = known + 1
        lines = written.with_first
    for index in range(start, count):
        name, value = headers[index]
        if name == CONTENT_LENGTH or name in stamps.names:
            return _anew(status, headers, stamps)
        if has_break(name) or has_break(value):
            raise RuntimeError(BROKEN)
        lines = b"%b%b: %b\r\n" % (lines, name, value)
        if index == known and count > known + 1:
            written.first = headers[index]
            written.with_first = lines
    return lines, written.says_length


def with_id(reply: Reply, field: bytes, value: bytes, stamps: Stamps) -> tuple[bytes, bool] | None:
    """What `passed_on` says of a reply to which only this field was added; None where it has that itself."""
    written = reply.written
    if not isinstance(written, Written) or written.stamps is not stamps or written.lacks != field:
        fields = reply.fields
        if field in stamps.names or any(name == field for name, _ in fields):
            return None
        reply.written = written = Written(reply.status, fields, stamps)
        written.lacks = field
    if has_break(value):
        raise RuntimeError(BROKEN)
    return b"%b%b: %b\r\n" % (written.lines, field, value), written.says_length


def _begins_with(headers: list[Any], fields: list[Any]) -> bool:
    """Mostly by the same pairs, so that those that are need no comparing. (A Pair that is declared so would be made anew.)"""
    known = len(fields)
    if len(headers) < known:
        return False
    for index in range(known):
        if headers[index] is not fields[index]:
            return headers[:known] == fields
    return True


def _anew(status: int, headers: Headers, stamps: Stamps) -> tuple[bytes, bool]:
    written = Written(status, headers, stamps)
    return written.lines, written.says_length


def interim_lines(status: int, headers: Headers) -> bytes:
    """A 1xx answer, whole."""
    return answer_lines(status, headers) + b"\r\n"


def chunk(data: bytes) -> bytes:
    """A chunk of the chunked coding (RFC 9112 section 7.1); nothing for no data, since an empty one would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK: Final = b"0\r\n\r\n"


class Stamps:
    """The fields that the server itself adds to every answer, such as Date, as they are sent."""

    __slots__ = ("_fields", "_parts", "block", "names")

    def __init__(self, fields: Headers) -> None:
        self._fields = fields
        self._parts: dict[bytes, Stamps] = {}
        self.names = frozenset([name for name, _ in fields])
        self.block = b"".join([b"%b: %b\r\n" % pair for pair in fields])

    def without(self, name: bytes) -> Stamps:
        """The others, where the app says one of them itself."""
        part = self._parts.get(name)
        if part is None:
            part = self._parts[name] = Stamps([pair for pair in self._fields if pair[0] != name])
        return part

    def beside(self, headers: Headers) -> Stamps:
        """Those that are not among these fields, whose names are in lowercase."""
        for name, _ in headers:
            if name in self.names:
                return self.without(name).beside(headers)
        return self
