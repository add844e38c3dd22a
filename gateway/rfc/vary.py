"""Which request fields a response was chosen by, and whether another request would choose it (RFC 9111 section 4.1).

Values are compared as far as HTTP lets them differ: lines joined, white space around commas gone; where the order and
case of members mean nothing, sorted and in lowercase. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Pair = tuple[bytes, bytes]

UNORDERED: Final = frozenset({b"accept", b"accept-charset", b"accept-encoding", b"accept-language"})  # weights order these
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_COMMA: Final = re.compile(rb"[ \t]*,[ \t]*")
_SPACE_IN_MEMBER: Final = re.compile(rb"[ \t]*([;=])[ \t]*")
_PREFERENCE: Final = re.compile(rb"([a-z0-9*-]+)(?:;q=([01](?:\.[0-9]{0,3})?))?").fullmatch


def vary_names(values: Iterable[bytes]) -> tuple[bytes, ...] | None:
    """The fields that Vary names, lowercase, sorted and each once; None for `*`, which no request is known to match, and
    for what is no list of names."""
    names = set()
    for value in values:
        for member in value.lower().split(b","):
            name = member.strip(b" \t")
            if name == b"*" or (name and _NAME(name) is None):
                return None
            names.add(name)
    return tuple(sorted(names - {b""}))


def normalised(name: bytes, headers: list[Pair]) -> bytes | None:
    """The value of a request field as it is compared; None where the request does not have it."""
    values = [value for field, value in headers if field == name]
    if not values:
        return None
    joined = _COMMA.sub(b",", b",".join(values).strip(b" \t"))
    if name in UNORDERED:
        members = {_SPACE_IN_MEMBER.sub(rb"\1", member) for member in joined.lower().split(b",")}
        return b",".join(sorted(members - {b""}))
    return joined


def selects(vary: Iterable[tuple[bytes, bytes | None]], headers: list[Pair], language: bytes = b"") -> bool:
    """Whether a request with these fields would be answered with the response that was chosen by `vary`.

    language: the response's Content-Language, by which a request that prefers exactly this language is matched too.
    """
    for name, value in vary:
        asked = normalised(name, headers)
        if asked != value and not (name == b"accept-language" and language and asked and _prefers(asked, language)):
            return False
    return True


def _prefers(accepted: bytes, language: bytes) -> bool:
    """The language is one of the request's, and weighs more than any other."""
    wanted = language.strip(b" \t").lower()
    weights: dict[bytes, float] = {}
    for member in accepted.split(b","):
        matched = _PREFERENCE(member)
        if matched is None:
            return False
        weights[matched[1]] = float(matched[2]) if matched[2] is not None else 1.0
    weight = weights.pop(wanted, 0.0)
    return weight > max(weights.values(), default=0.0)
