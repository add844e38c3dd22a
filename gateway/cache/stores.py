"""The stores by their names in the configuration, and the lock by which those who share one share a fetch."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from gateway.cache.memory import MemoryStore
from gateway.cache.redis import RedisStore
from gateway.cache.redis_lock import RedisLock
from gateway.cache.tiered import TieredStore
from gateway.redis.client import Redis

if TYPE_CHECKING:
    from gateway import config as c
    from gateway.cache.store import FetchLock, Store


def make_store(options: c.CacheOptions, redis: c.RedisOptions | None) -> Store:
    """redis: with an address, where the store needs it."""
    if options.store == "memory":
        return MemoryStore(options.memory, time)
    assert redis is not None
    assert redis.address is not None
    client, prefix = Redis(redis.address, redis.timeout), redis.prefix.encode()
    if options.store == "redis":
        return RedisStore(client, prefix)
    return TieredStore(MemoryStore(options.memory, time), client, prefix)


def lock_of(store: Store) -> FetchLock | None:
    """None where nobody else has the store."""
    if isinstance(store, TieredStore):
        store = store.shared
    return RedisLock(store) if isinstance(store, RedisStore) else None
