"""What a successful unsafe request makes invalid (RFC 9111 section 4.4, RFC 9875 section 3): its URL and those that its answer
names, as far as they are of the same origin, and groups of that origin.

A URL stands at the beginning of keys as the routes spell it: without parameters that do not count, or with them in order.
Whoever names one means all that is stored for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from gateway.cache.key import url_of_request
from gateway.cache.purge import Purge, Scope, origin_of
from gateway.cache.tags import INVALIDATION, groups_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.cache.key import KeyRule
    from gateway.cache.siblings import Siblings
    from gateway.cache.store import Store
    from gateway.exchange import Exchange, Headers, ResponseHead

_LOCATIONS: Final = frozenset({b"location", b"content-location"})
_PORTS: Final = {b"http": b":80", b"https": b":443"}


class Spellings:
    """How all routes spell URLs."""

    __slots__ = ("_rules",)

    def __init__(self) -> None:
        self._rules: dict[object, KeyRule] = {}  # one of each kind

    def add(self, rule: KeyRule, kind: object) -> None:
        """kind: what the spelling depends on."""
        if not rule.is_plain:
            self._rules.setdefault(kind, rule)

    def of(self, url: bytes) -> set[bytes]:
        """url: `scheme://host/path?query`, or a path with its query; this is one of its spellings."""
        same = {url, *_with_and_without_port(url)}
        return same.union(rule.target(one) for rule in self._rules.values() for one in same)


def _with_and_without_port(url: bytes) -> Iterable[bytes]:
    """The other way to name the default port."""
    scheme, separator, rest = url.partition(b"://")
    port = _PORTS.get(scheme)
    if not separator or port is None:
        return ()
    host, slash, path = rest.partition(b"/")
    other = host.removesuffix(port) if host.endswith(port) else host + port
    return (b"".join((scheme, separator, other, slash, path)),) if b":" not in other.removesuffix(port) else ()


class Invalidator:
    """Of one store, for all who share it. siblings: who have one of their own."""

    __slots__ = ("_siblings", "_store", "spellings")

    def __init__(self, store: Store, spellings: Spellings, siblings: Siblings | None = None) -> None:
        self._store = store
        self._siblings = siblings
        self.spellings = spellings

    async def purge(self, purge: Purge) -> int:
        """As `Store.purge`, of URLs as clients ask for them."""
        if purge.scope is Scope.URL:
            urls = dict.fromkeys(spelt for url in purge.values for spelt in self.spellings.of(url))
            purge = Purge(purge.scope, tuple(urls), purge.soft)
        return await self._store.purge(purge)

    async def succeeded(self, url: bytes, headers: Headers) -> None:
        """An unsafe request of this URL has been answered so. When this returns, nothing of it is found any more."""
        urls = {spelt for named in (url, *locations(url, headers)) for spelt in self.spellings.of(named)}
        purges = [Purge(Scope.URL, tuple(urls))]
        groups = groups_of(headers, INVALIDATION, origin_of(url))
        if groups:
            purges.append(Purge(Scope.TAG, tuple(groups)))
        for purge in purges:
            await self._store.purge(purge)
            if self._siblings is not None:
                await self._siblings.tell(purge)


class Invalidation:
    """The observer of an unsafe request on a route that has no cache: another one, that has, may have stored what it changes
    (see `gateway.cache.source.Observer`)."""

    __slots__ = ("_exchange", "_invalidator")

    def __init__(self, invalidator: Invalidator, exchange: Exchange) -> None:
        self._invalidator = invalidator
        self._exchange = exchange

    def seen(self, _head: ResponseHead) -> None:
        """Nothing of it is stored."""

    async def before(self, head: ResponseHead) -> None:
        if 200 <= head.status < 400:
            await self._invalidator.succeeded(url_of_request(self._exchange), head.headers)


def locations(url: bytes, headers: Headers) -> set[bytes]:
    """The URLs that Location and Content-Location name, as far as they are of the same origin."""
    found = set()
    for name, value in headers:
        if name in _LOCATIONS:
            try:
                named = urljoin(url.decode("latin-1"), value.decode("latin-1")).encode("latin-1").partition(b"#")[0]
            except ValueError:
                continue
            if origin_of(named).lower() == origin_of(url):
                found.add(origin_of(url) + named[len(origin_of(url)) :])
    return found
