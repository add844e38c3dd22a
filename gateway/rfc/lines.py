"""Field lines, and what is remembered of them (RFC 9112 section 5).

A line is validated when it is first seen and then remembered, since clients and targets repeat most of theirs. The memo
holds at most `MEMO_LINES` lines of at most `MEMO_LINE` bytes (2 MiB, and as much again for pairs that other servers have read),
and is emptied when full, so a sender of ever new lines gains nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mypy_extensions import i64, mypyc_attr

from gateway.rfc.cache_fields import ASKING, KINDS
from gateway.rfc.headers import NOT_PASSED_ON, SPECIAL
from gateway.rfc.octets import changing_all_but

if TYPE_CHECKING:
    from collections.abc import Iterable

Pair = tuple[bytes, bytes]

SPACE: Final = 0x20
COLON: Final = 0x3A
MEMO_LINES: Final = 4096
MEMO_LINE: Final = 160
LINES_OF_A_NAME: Final = 256
MEMO_NAMES: Final = 1024

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED: Final = rb'"(?:[\t\x20-\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'  # RFC 9110 section 5.6.4
_TOKEN: Final = re.compile(TOKEN).fullmatch
_IN_VALUES: Final = changing_all_but([9, *range(32, 127), *range(128, 256)])


def is_token(text: bytes) -> bool:
    """RFC 9110 section 5.6.2, of methods and field names."""
    return _TOKEN(text) is not None


class MalformedField(ValueError):
    """A field line that RFC 9112 section 5 does not allow."""


# What those who read a message look for among its names: bits of `Name.marks`.
IN_REQUESTS: Final = 1  # a proxy itself acts on the field of a request (`headers.SPECIAL`)
IN_ANSWERS: Final = 2  # the same of an answer (`ANSWER_SPECIAL`)
ENDS_HERE: Final = 4  # of an answer, it goes no further as it is (`headers.NOT_PASSED_ON`)
SAYS_LENGTH: Final = 8  # Content-Length
ASKS: Final = 16  # of a request, it concerns caches (`cache_fields.ASKING`)

ANSWER_SPECIAL: Final = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"via"})


class Name:
    """A field name as it was spelled. marks: what it is to those who read messages; kind: what it is to a cache in a
    response (`cache_fields.KINDS`), 0 for nothing. lines: how many of its lines were remembered."""

    __slots__ = ("_asked", "_is_in", "kind", "lines", "lowercase", "marks")

    def __init__(self, lowercase: bytes) -> None:
        self.lowercase = lowercase
        self.kind: i64 = KINDS.get(lowercase, 0)
        marks: i64 = 0
        if lowercase in SPECIAL:
            marks |= IN_REQUESTS
        if lowercase in ANSWER_SPECIAL:
            marks |= IN_ANSWERS
        if lowercase in NOT_PASSED_ON:
            marks |= ENDS_HERE
        if lowercase == b"content-length":
            marks |= SAYS_LENGTH
        if lowercase in ASKING:
            marks |= ASKS
        self.marks: i64 = marks
        self.lines = 0
        self._asked = frozenset[bytes]()
        self._is_in = False

    def is_in(self, names: frozenset[bytes]) -> bool:
        """The same as `lowercase in names`, for who asks about the same names again and again."""
        if self._asked is not names:
            self._asked = names
            self._is_in = self.lowercase in names
        return self._is_in


@mypyc_attr(acyclic=True, free_list_len=1)
class Line:
    """A valid field line. text: as received."""

    __slots__ = ("name", "pair", "text", "value")

    def __init__(self, text: bytes, name: Name, value: bytes) -> None:
        self.text = text
        self.name = name
        self.value = value
        self.pair: Any = (name.lowercase, value)  # a Pair; compiled, one that is declared so is made anew for each who reads it


_memo: Final[dict[bytes, Line]] = {}
_names: Final[dict[bytes, Name]] = {}
_of_pairs: Final[dict[Pair, Line]] = {}


def read_lines(texts: list[bytes]) -> tuple[list[Line], bool]:
    """Lines without their CRLF, and whether all of them were remembered. Raises MalformedField."""
    lines: list[Line] = []
    repeated = True
    for text in texts:
        line = _memo.get(text)
        if line is None:
            repeated = False
            line = _learn(text)
        lines.append(line)
    return lines, repeated


def _learn(text: bytes) -> Line:
    """A line that is not in the memo. Where a name's lines are ever new ones, they soon take no more room there."""
    spelled, colon, value = text.partition(b":")
    name = _names.get(spelled) or _learn_name(spelled, text)
    if not colon or value.translate(_IN_VALUES) != value:
        raise MalformedField(repr(text[:80]))
    is_usual = len(value) > 1 and value[0] == SPACE and value[1] > SPACE and value[-1] > SPACE
    line = Line(text, name, value[1:] if is_usual else value.strip(b" \t"))
    if name.lines < LINES_OF_A_NAME and len(text) <= MEMO_LINE:
        name.lines += 1
        if len(_memo) >= MEMO_LINES:
            _memo.clear()
        _memo[text] = line
    return line


def _learn_name(spelled: bytes, text: bytes) -> Name:
    if not is_token(spelled):
        raise MalformedField(repr(text[:80]))
    name = Name(spelled.lower())
    if len(spelled) <= MEMO_LINE:
        if len(_names) >= MEMO_NAMES:
            _names.clear()
        _names[spelled] = name
    return name


def lines_of(headers: Iterable[Any]) -> list[Line]:
    """The lines of fields that another parser has read; ASGI lets a pair be any sequence. Raises MalformedField where one of
    them is none."""
    lines: list[Line] = []
    for pair in headers:
        line = _of_pairs.get(pair if isinstance(pair, tuple) else tuple(pair))
        lines.append(_learn_pair(pair[0], pair[1]) if line is None else line)
    return lines


def _learn_pair(name: bytes, value: bytes) -> Line:
    """Remembered where its line is."""
    if COLON in name:
        raise MalformedField(repr(name[:80]))
    text = b"%b: %b" % (name, value)
    line = _memo.get(text) or _learn(text)
    if text in _memo:
        if len(_of_pairs) >= MEMO_LINES:
            _of_pairs.clear()
        _of_pairs[name, value] = line
    return line


def read_fields(texts: list[bytes]) -> list[Pair]:
    """The same as pairs, names in lowercase. Raises MalformedField."""
    return [line.pair for line in read_lines(texts)[0]]
