"""The caches of all routes together: one store, one owner of what runs beside requests, one table of numbers."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.cache.flight import Kept
from gateway.cache.forms import Forms
from gateway.cache.invalidate import Invalidator, Spellings
from gateway.cache.key import QUERY, Bypass, KeyRule, QueryRule
from gateway.cache.memory import MemoryStore
from gateway.cache.redis import RedisStore
from gateway.cache.rules import Rules
from gateway.cache.serve import RouteCache
from gateway.policies.headers import filled_in

if TYPE_CHECKING:
    from gateway import config as c
    from gateway.cache.note import CacheNote
    from gateway.cache.siblings import Siblings
    from gateway.cache.store import FetchLock, Store
    from gateway.cache.tasks import Tasks
    from gateway.policies.compression import Compression
    from gateway.redis.client import Fill


# Keys of a route that do not change what its targets answer, or only who answers what they could all answer.
_NEUTRAL: Final = frozenset(
    {
        "access", "cache", "compression", "hash_on", "hsts", "max_body", "mirror", "name", "redirect", "respond", "response_headers",
        "split", "sticky", "timeouts", "upstream",
    }
)  # fmt: skip


def known_as(route: c.RouteOptions) -> str:
    """What the keys of a route's entries say of it: its name, and a digest of what decides which answers it stores. So
    another configuration, after a reload or in another gateway, does not find what was stored by other rules."""
    deciding = route.model_dump(mode="json", exclude=set(_NEUTRAL), exclude_defaults=True)
    deciding["upstreams"] = sorted(share.upstream for share in route.shares)
    digest = blake2b(json.dumps(deciding, sort_keys=True).encode(), digest_size=6)
    return f"{route.name}.{digest.hexdigest()}"


class Look(NamedTuple):
    """A key, for people who look into the cache. size: bytes of its entries."""

    key: bytes
    hits: int
    size: int
    entries: int
    tags: frozenset[bytes]


class Caching:
    """routes: their caches, by name. lock: of all who share the store, if somebody does.
    id_field: the name of the request id's field."""

    def __init__(
        self, options: c.CacheOptions, store: Store, lock: FetchLock | None, tasks: Tasks, note: CacheNote, *, siblings: Siblings,
        id_field: bytes,
    ) -> None:  # fmt: skip
        self.options = options
        self.store = store
        self._lock = lock
        self.tasks = tasks
        self.note = note
        self._id_field = id_field
        self._kept = Kept()
        self.routes: dict[str, RouteCache] = {}
        self.invalidator = Invalidator(store, Spellings(), siblings if store.shows_all else None)

    def add(self, route: c.RouteOptions, options: c.RouteCacheOptions, compression: Compression | None) -> RouteCache:
        """The cache of a route. compression: its policy, where it has one."""
        query = options.query
        rule = None if query is None else QueryRule(query.include, query.exclude, sort=query.sort)
        keys = KeyRule(known_as(route), options.key, rule)
        self.invalidator.spellings.add(keys, (QUERY in options.key, None if query is None else query.model_dump_json()))
        cache = RouteCache(
            keys,
            self._rules(options, self._written(route)),
            self.store,
            self.tasks,
            self.invalidator,
            bypass=Bypass(options.bypass) if options.bypass else None,
            collapses=options.coalesce != "off",
            lock=self._lock if options.coalesce == "global" else None,
            kept=self._kept,
            forms=None if compression is None else Forms(compression, self.store, self.tasks),
        )
        self.routes[route.name] = cache
        return cache

    def held(self) -> list[Look]:
        """What lies in the memory of this process; where it holds nothing itself, what it has lately found in Redis."""
        if isinstance(self.store, RedisStore):
            return [
                Look(key, one.hits, one.size, len(one.tags), frozenset().union(*one.tags)) for key, one in self.store.looked_up()
            ]
        memory: object = getattr(self.store, "memory", self.store)
        assert isinstance(memory, MemoryStore)
        return [
            Look(key, shelf.hits, shelf.size, len(shelf.entries), frozenset(tag for entry in shelf.entries for tag in entry.tags))
            for key, shelf in memory.shelves()
        ]

    async def fill(self) -> Fill | None:
        """Of Redis; None where there is none, or none that answers."""
        shared: object = getattr(self.store, "shared", self.store)
        return await shared.fill() if isinstance(shared, RedisStore) else None

    def _written(self, route: c.RouteOptions) -> frozenset[bytes]:
        """The request fields that are ours."""
        edits = route.request_headers
        return frozenset({self._id_field}) | (filled_in(edits.set, edits.add) if edits is not None else frozenset())

    def _rules(self, options: c.RouteCacheOptions, written: frozenset[bytes]) -> Rules:
        return Rules(
            ttl=options.ttl,
            negative={int(status): ttl for status, ttl in options.negative.items()},
            stale_while_revalidate=options.stale_while_revalidate,
            stale_if_error=options.stale_if_error,
            max_object=options.max_object or self.options.max_object,
            methods=frozenset(method.encode() for method in options.methods),
            tags_header=self.options.tags_header.lower().encode(),
            heed_requests=options.request_directives,
            written=written,
        )
