"""Structured Fields (RFC 9651): reading Dictionaries and Lists as far as caches need them. Pure.

Parameters are checked and dropped. A field that is not well-formed as a whole is none at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY: Final = rb"[a-z*][a-z0-9_\-.*]*"
_BARE: Final = (
    rb"(?P<decimal>-?[0-9]{1,12}\.[0-9]{1,3})"
    rb"|(?P<integer>-?[0-9]{1,15})"
    rb'|"(?P<string>(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
    rb"|\?(?P<boolean>[01])"
    rb"|:(?P<binary>[A-Za-z0-9+/=]*):"
    rb"|(?P<token>[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*)"
)
_UNNAMED: Final = re.sub(rb"\?P<[a-z]+>", b"?:", _BARE)
_PARAMETERS: Final = rb"(?:; *%b(?:=(?:%b))?)*" % (_KEY, _UNNAMED)
_INNER: Final = rb"\( *(?:(?:%b)%b(?: +(?:%b)%b)* *)?\)" % (_UNNAMED, _PARAMETERS, _UNNAMED, _PARAMETERS)
_SEPARATOR = re.compile(rb"[ \t]*,[ \t]*")
_MEMBER = re.compile(rb"(?P<key>%b)(?:=(?:%b|(?P<inner>%b)))?(?:%b)" % (_KEY, _BARE, _INNER, _PARAMETERS))
_ITEM = re.compile(rb"(?:%b)%b" % (_BARE, _PARAMETERS))
_ESCAPED = re.compile(rb"\\(.)")
_MAX_MEMBERS: Final = 1024

Value = int | float | bytes | bool | None


class Malformed(ValueError):
    """Not a Structured Field of that type."""


def parse_dictionary(text: bytes) -> Mapping[bytes, Value]:
    """The members in order; a later one replaces an earlier one of its name. Strings, tokens and bytes as bytes, inner
    lists as None. Raises Malformed."""
    members: dict[bytes, Value] = {}
    for matched in _members(text, _MEMBER):
        members.pop(matched["key"], None)
        members[matched["key"]] = _value(matched) if matched["inner"] is None else None
    return members


def parse_strings(text: bytes) -> list[bytes]:
    """A List that has Strings alone. Raises Malformed."""
    strings = []
    for matched in _members(text, _ITEM):
        if matched["string"] is None:
            raise Malformed("a member is no String")
        strings.append(_ESCAPED.sub(rb"\1", matched["string"]))
    return strings


def _members(text: bytes, member: re.Pattern[bytes]) -> list[re.Match[bytes]]:
    text = text.strip(b" ")
    found: list[re.Match[bytes]] = []
    at = 0
    while at < len(text):
        matched = member.match(text, at)
        if matched is None or len(found) == _MAX_MEMBERS:
            raise Malformed(repr(text[at : at + 40]))
        found.append(matched)
        at = matched.end()
        if at == len(text):
            break
        separator = _SEPARATOR.match(text, at)
        if separator is None or separator.end() == len(text):
            raise Malformed(repr(text[at : at + 40]))
        at = separator.end()
    return found


def _value(matched: re.Match[bytes]) -> Value:
    kind = matched.lastgroup
    if kind == "key":
        return True
    text = matched[str(kind)]
    if kind == "integer":
        return int(text)
    if kind == "decimal":
        return float(text)
    if kind == "boolean":
        return bool(text == b"1")
    return _ESCAPED.sub(rb"\1", text) if kind == "string" else bytes(text)
