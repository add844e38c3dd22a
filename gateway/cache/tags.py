"""The tags that a response is purged by: Surrogate-Key, Cache-Tag and Cache-Groups (RFC 9875). Pure.

Tags of an operator never hold a space. A group belongs to its origin, so its tag is made of both, with a space between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cache.entry import MAX_TAG, MAX_TAGS
from gateway.rfc.structured import Malformed, parse_strings

if TYPE_CHECKING:
    from gateway.exchange import Headers

CACHE_TAG = b"cache-tag"
GROUPS = b"cache-groups"
INVALIDATION = b"cache-group-invalidation"


def tags_of(headers: Headers, tags_header: bytes, origin: bytes) -> tuple[bytes, ...] | None:
    """All tags of a response, each once and in order; None where there are more, or longer ones, than an entry may have.

    origin: scheme and authority, `https://host`.
    """
    tags: dict[bytes, None] = {}
    for name, value in headers:
        if name in {tags_header, CACHE_TAG}:
            tags.update(dict.fromkeys(value.replace(b",", b" ").split()))
    tags.update(dict.fromkeys(groups_of(headers, GROUPS, origin)))
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in tags):
        return None
    return tuple(tags)


def groups_of(headers: Headers, field: bytes, origin: bytes) -> list[bytes]:
    """The tags of the groups that a response is in (GROUPS), or that it invalidates (INVALIDATION)."""
    values = [value for name, value in headers if name == field]
    if not values:
        return []
    try:
        groups = parse_strings(b",".join(values))
    except Malformed:
        return []
    return [origin + b" " + group for group in groups]
