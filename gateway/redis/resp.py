"""The bytes of Redis: commands out, replies in (RESP 2, the protocol that every version speaks). Pure.

Replies are read as they come, in any pieces. A bulk string is copied once, however many pieces it came in. What is not
RESP, or larger than anything that was asked for, raises: such a connection can only be closed.
"""

from __future__ import annotations

from typing import Final, TypeAlias

MAX_BULK: Final = 4 << 20  # bytes of one string; we ask for pieces of far less
MAX_ITEMS: Final = 1 << 20  # of one array, and so of a list of purges
MAX_DEPTH: Final = 8  # arrays within arrays; CLUSTER SLOTS has four
MAX_LINE: Final = 65536  # bytes of a status, an error or a number

_BULK: Final = ord("$")


class ErrorReply:
    """What Redis says in place of a result. It is a value: of several commands one may have failed."""

    __slots__ = ("code", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.code = text.partition(b" ")[0]  # such as b"MOVED", b"OOM", b"WRONGTYPE"

    def __repr__(self) -> str:
        return f"ErrorReply({self.text!r})"


Reply: TypeAlias = "bytes | int | ErrorReply | list[Reply] | None"
Argument: TypeAlias = bytes | int


class NotResp(Exception):
    """Whoever answers is not a Redis, or gave more than was asked for."""


def command(*arguments: Argument) -> bytes:
    """One command as it is sent."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else b"%d" % argument
        parts += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(parts)


class ReplyReader:
    """Of one connection. `feed` gives the replies that are complete."""

    __slots__ = ("_arrays", "_left", "_parts", "_rest")

    def __init__(self) -> None:
        self._rest = b""  # a line that has not ended
        self._parts: list[bytes] = []  # of a string that is not whole
        self._left = 0  # what it lacks, with its final line break
        self._arrays: list[tuple[list[Reply], int]] = []  # those that are open, with their lengths, the innermost last

    def feed(self, data: bytes) -> list[Reply]:
        """Raises NotResp; the reader is of no use then."""
        replies: list[Reply] = []
        if self._left:
            if len(data) < self._left:
                self._parts.append(data)
                self._left -= len(data)
                return replies
            self._parts.append(data[: self._left])
            data = data[self._left :]
            self._left = 0
            whole, self._parts = b"".join(self._parts), []
            self._add(_without_break(whole), replies)
        elif self._rest:
            data = self._rest + data
        position = 0
        while position < len(data):
            end = data.find(b"\r\n", position)
            if end < 0:
                if len(data) - position > MAX_LINE:
                    raise NotResp("a line without an end")
                break
            if data[position] == _BULK:
                position = self._read_bulk(data, end + 2, _length(data[position + 1 : end], MAX_BULK), replies)
            else:
                self._read(data[position : position + 1], data[position + 1 : end], replies)
                position = end + 2
        self._rest = data[position:] if not self._left else b""
        return replies

    def _read(self, kind: bytes, line: bytes, replies: list[Reply]) -> None:
        """A reply of one line, or the beginning of an array."""
        if kind == b"*":
            self._open(_length(line, MAX_ITEMS), replies)
        elif kind == b":":
            self._add(_number(line), replies)
        elif kind == b"+":
            self._add(line, replies)
        elif kind == b"-":
            self._add(ErrorReply(line), replies)
        else:
            raise NotResp(f"a reply begins with {kind!r}")

    def _read_bulk(self, data: bytes, start: int, length: int, replies: list[Reply]) -> int:
        if length < 0:
            self._add(None, replies)
            return start
        stop = start + length + 2
        if stop > len(data):
            self._parts = [data[start:]]
            self._left = stop - len(data)
            return len(data)
        if data[stop - 2 : stop] != b"\r\n":
            raise NotResp("a string is longer than it says")
        self._add(data[start : stop - 2], replies)
        return stop

    def _open(self, length: int, replies: list[Reply]) -> None:
        if length <= 0:
            self._add([] if length == 0 else None, replies)
        elif len(self._arrays) >= MAX_DEPTH:
            raise NotResp("arrays within arrays without an end")
        else:
            self._arrays.append(([], length))

    def _add(self, value: Reply, replies: list[Reply]) -> None:
        """A value belongs to the innermost open array, and may complete it and those around it."""
        while self._arrays:
            items, length = self._arrays[-1]
            items.append(value)
            if len(items) < length:
                return
            self._arrays.pop()
            value = items
        replies.append(value)


def _without_break(data: bytes) -> bytes:
    if not data.endswith(b"\r\n"):
        raise NotResp("a string is longer than it says")
    return data[:-2]


def _number(line: bytes) -> int:
    digits = line.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 20:
        raise NotResp(f"{line[:32]!r} is no number")
    return int(line)


def _length(line: bytes, limit: int) -> int:
    length = _number(line)
    if not -1 <= length <= limit:
        raise NotResp(f"a length of {length}")
    return length
