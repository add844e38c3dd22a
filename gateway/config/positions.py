"""Where in a TOML text each key stands, which neither tomllib nor tomlkit tells (CPython issue 115516 declined it).

The text has been read by tomllib before, so that it is known to be valid: here only the ends of keys and values are
found, and nothing is checked or decoded but quoted keys.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.faults import KeyPath

_TRIVIA = re.compile(r"(?:[ \t\r\n]+|\#[^\n]*)*")
_BLANKS = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# The first three quotes that are not escaped end a multi-line string, and it may itself end in one or two more.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{1,2}(?!"))?|"(?:\\.|[^"\\])*"' + r"|'''.*?'''(?:'{1,2}(?!'))?|'[^']*'", re.DOTALL
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d[^\s,\]}#]*|[^\s,\]}#]+")  # a date may be parted from its time by a space


class Positions:
    """The places of a text's keys, array elements and table headers, by their path."""

    def __init__(self, text: str) -> None:
        self._newlines = [index for index, char in enumerate(text) if char == "\n"]
        self._offsets = _Scanner(text).scan()

    def paths(self) -> set[KeyPath]:
        return set(self._offsets)

    def of(self, path: KeyPath) -> tuple[int, int]:
        """Line and column of the key, from 1; of the table around it where the key is not there; (0, 0) of nothing."""
        while path:
            offset = self._offsets.get(path)
            if offset is not None:
                line = bisect_right(self._newlines, offset - 1)
                start = self._newlines[line - 1] + 1 if line else 0
                return line + 1, offset - start + 1
            path = path[:-1]
        return 0, 0


class _Scanner:
    """One walk over the text. A header or key that comes again, as `[[routes]]` does, keeps its first place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._offsets: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}  # of arrays of tables

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_TRIVIA)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_TRIVIA)
        return self._offsets

    def _header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`; the path of the table that begins."""
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        self._at += brackets
        keys = [key for key, _ in self._key()]
        self._at += brackets
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._last_of((*path, key))
            self._offsets.setdefault(path, start)
        path = (*path, keys[-1])
        self._offsets.setdefault(path, start)
        if brackets == 1:
            return self._last_of(path)
        index = self._lengths.get(path, 0)
        self._lengths[path] = index + 1
        self._offsets[(*path, index)] = start
        return (*path, index)

    def _last_of(self, path: KeyPath) -> KeyPath:
        """A header that goes through an array of tables means its last element."""
        length = self._lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _pair(self, table: KeyPath) -> None:
        path = table
        for key, offset in self._key():
            path = (*path, key)
            self._offsets.setdefault(path, offset)
        self._at += 1  # the equals sign
        self._skip(_BLANKS)
        self._value(path)

    def _key(self) -> list[tuple[str, int]]:
        """The parts of a dotted key with their offsets; leaves us at what follows."""
        parts = []
        while True:
            self._skip(_BLANKS)
            start = self._at
            if self._text[start] in "\"'":
                quoted = self._take(_STRING)
                parts.append((next(iter(tomllib.loads(f"{quoted} = 0"))), start))
            else:
                parts.append((self._take(_BARE_KEY), start))
            self._skip(_BLANKS)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        opening = self._text[self._at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._take(_STRING if opening in "\"'" else _SCALAR)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while not self._closes("]"):
            element = (*path, index)
            self._offsets[element] = self._at
            self._value(element)
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while not self._closes("}"):
            self._pair(path)

    def _closes(self, bracket: str) -> bool:
        """Goes on to the next element, over its comma, or over the closing bracket: then true."""
        self._skip(_TRIVIA)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_TRIVIA)
        if self._text[self._at] != bracket:
            return False
        self._at += 1
        return True

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, f"not valid TOML at offset {self._at}"
        self._at = match.end()
        return match[0]
