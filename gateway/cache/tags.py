"""The tags that a response is purged by: Surrogate-Key, Cache-Tag and Cache-Groups (RFC 9875). Pure.

Tags of an operator never hold a space. A group belongs to its origin, so its tag is made of both, with a space between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.cache.entry import MAX_TAG, MAX_TAGS
from gateway.cache.purge import origin_of
from gateway.rfc.cache_fields import CACHE_TAG, GROUPS
from gateway.rfc.structured import Malformed, parse_strings

if TYPE_CHECKING:
    from gateway.exchange import Headers

INVALIDATION: Final = b"cache-group-invalidation"
_NAMING: Final = frozenset({CACHE_TAG, GROUPS})


def tags_of(headers: Headers, tags_header: bytes, url: bytes) -> tuple[bytes, ...] | None:
    """All tags of a response, each once and in order; None where there are more, or longer ones, than an entry may have.

    url: whose response it is.
    """
    naming = [pair for pair in headers if pair[0] in _NAMING or pair[0] == tags_header]
    tags: dict[bytes, None] = {}
    for name, value in naming:
        if name != GROUPS:
            tags.update(dict.fromkeys(value.replace(b",", b" ").split()))
    tags.update(dict.fromkeys(groups_of(naming, GROUPS, origin_of(url))))
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in tags):
        return None
    return tuple(tags)


def groups_of(headers: Headers, field: bytes, origin: bytes) -> list[bytes]:
    """The tags of the groups that a response is in (GROUPS), or that it invalidates (INVALIDATION). origin: scheme and
    authority, `https://host`."""
    values = [value for name, value in headers if name == field]
    if not values:
        return []
    try:
        groups = parse_strings(b",".join(values))
    except Malformed:
        return []
    return [origin + b" " + group for group in groups]
