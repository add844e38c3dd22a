"""Content codings: what a client accepts, and the fields that go with them (RFC 9110 sections 8.8.3, 12.5.3): pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Pair = tuple[bytes, bytes]

_QVALUE: Final = rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?"
_MEMBER: Final = re.compile(rb"[ \t]*([!#$%%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=(%b)[ \t]*)?" % _QVALUE).fullmatch
_NO_CODING: Final = frozenset({b"", b"identity"})
_MEMBERS: Final = 256  # of Accept-Encoding that are looked at


def negotiate(accepted: bytes, encodings: Sequence[bytes]) -> bytes | None:
    """The coding to use for this Accept-Encoding, or None for none.

    encodings: what we can write, the preferred one first; it decides between codings of equal weight. A coding is only
    used where the client does not prefer `identity`. Members that are malformed accept nothing.
    """
    weights = _weights(accepted)
    otherwise = weights.get(b"*", 0.0)
    best: bytes | None = None
    best_weight = floor = weights.get(b"identity", 0.0)
    for coding in encodings:
        weight = weights.get(coding, otherwise)
        if weight > 0 and weight >= floor and (best is None or weight > best_weight):
            best, best_weight = coding, weight
    return best


def _weights(accepted: bytes) -> dict[bytes, float]:
    weights: dict[bytes, float] = {}
    for member in accepted.split(b",", _MEMBERS)[:_MEMBERS]:
        matched = _MEMBER(member)
        if matched is not None:
            weights[matched[1].lower()] = float(matched[2]) if matched[2] is not None else 1.0
    return weights


def is_coded(headers: list[Pair]) -> bool:
    """Whether a response with these fields has a body in a content coding."""
    return any(name == b"content-encoding" and value.strip(b" \t").lower() not in _NO_CODING for name, value in headers)


def add_vary(headers: list[Pair], name: bytes) -> None:
    """Name a request field in Vary, in place, unless one of its lines does already."""
    last = -1
    for index, (field, value) in enumerate(headers):
        if field == b"vary":
            members = [member.strip() for member in value.lower().split(b",")]
            if name in members or b"*" in members:
                return
            last = index
    if last < 0:
        headers.append((b"vary", name))
        return
    value = headers[last][1].strip(b" \t")
    headers[last] = (b"vary", value + b", " + name if value else name)


def weaken(etag: bytes) -> bytes:
    """A strong entity tag as a weak one; what is no strong tag stays as it is."""
    return b"W/" + etag if etag[:1] == b'"' else etag
