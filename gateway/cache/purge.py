"""What a purge takes: entries by key, URL, prefix or tag, or all of them. Pure.

A key begins with the URL that it is for, up to its first space (see `gateway.cache.key`). Where the host is not part of
a route's key that URL is a path with its query, and it is meant by every URL with that path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Scope(Enum):
    """What the values of a purge are."""

    KEY = "key"  # whole keys
    URL = "url"  # `https://host/path?query`, or `/path?query` for every host: all keys of that URL
    PREFIX = "prefix"  # the beginning of a URL, with or without its host
    TAG = "tag"
    ALL = "all"  # without values


@dataclass(frozen=True, slots=True)
class Purge:
    """soft: the entries become stale, so that they are validated as such; else they are dropped."""

    scope: Scope
    values: tuple[bytes, ...] = ()
    soft: bool = False

    def takes(self, key: bytes, tags: Sequence[bytes]) -> bool:
        """Whether it is about an entry with these tags under this key."""
        if self.scope is Scope.ALL:
            return True
        if self.scope is Scope.KEY:
            return key in self.values
        if self.scope is Scope.TAG:
            return any(tag in self.values for tag in tags)
        url = url_of(key)
        if self.scope is Scope.URL:
            return any(url == value or _same_path(url, value) for value in self.values)
        return any(_begins(url, value) for value in self.values)


def as_keyed(url: bytes) -> bytes:
    """A URL as keys begin: `scheme://host/path?query` with scheme and host in lowercase, or a path for every host. ValueError
    where it is neither."""
    if url.startswith(b"/"):
        return url
    scheme, separator, rest = url.partition(b"://")
    if scheme.lower() not in (b"http", b"https") or not separator:
        said = url.decode("utf-8", "backslashreplace")
        raise ValueError(f'"{said}" is neither a URL nor a path; write "https://host/path" or "/path"')
    host = re.split(b"[/?#]", rest, maxsplit=1)[0]
    target = rest[len(host) :].partition(b"#")[0]
    return b"".join((scheme.lower(), b"://", host.lower(), b"" if target.startswith(b"/") else b"/", target))


def url_of(key: bytes) -> bytes:
    """The URL that a key is for."""
    return key.partition(b" ")[0]


def origin_of(url: bytes) -> bytes:
    """Scheme and authority of a whole URL."""
    scheme, _, rest = url.partition(b"://")
    return scheme + b"://" + rest.partition(b"/")[0]


def path_of(url: bytes) -> bytes:
    """Path and query of a URL; what has no host is one already."""
    if url[:1] == b"/":
        return url
    _scheme, _, rest = url.partition(b"://")
    _host, slash, path = rest.partition(b"/")
    return slash + path


def urls_meant(url: bytes) -> tuple[bytes, ...]:
    """The URLs that keys for this one may begin with: itself, and its path for routes without the host in their keys."""
    return (url,) if url[:1] == b"/" else (url, path_of(url))


def _same_path(url: bytes, value: bytes) -> bool:
    """One of the two has no host, and their paths are the same."""
    return (url[:1] == b"/" or value[:1] == b"/") and path_of(url) == path_of(value)


def _begins(url: bytes, prefix: bytes) -> bool:
    if url[:1] == b"/" or prefix[:1] == b"/":
        return path_of(url).startswith(path_of(prefix))
    return url.startswith(prefix)
