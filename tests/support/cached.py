"""Entries for tests of stores, and stores on loops of their own."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from gateway.cache.entry import Entry
from gateway.cache.memory import MemoryStore
from gateway.cache.redis import RedisStore
from gateway.cache.tiered import TieredStore
from gateway.redis.address import Endpoint, Form, RedisAddress
from gateway.redis.client import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.cache.store import Store

BOUND = 0.05
KEY = b"https://test/a GET"


def entry(**fields: Any) -> Entry:
    """Fresh for an hour, without a body."""
    now = time.time()
    times = {"born_at": now, "stored_at": now, "fresh_until": now + 3600, "kept_until": now + 7200}
    return Entry(**{"status": 200, "headers": [(b"content-type", b"text/plain")], **times, **fields})


async def put(store: Store, key: bytes = KEY, body: bytes = b"body", *, piece: int = 5000, **fields: Any) -> Entry | None:
    """Write a response as a fetch does."""
    writer = store.begin(key, entry(**fields), store.mark())
    for start in range(0, len(body), piece):
        writer.append(body[start : start + piece])
    return await writer.commit()


async def bodies(store: Store, key: bytes = KEY) -> list[bytes]:
    """Of all variants that are found, the newest first."""
    return [await body_of(store, one, key) for one in await store.find(key)]


async def body_of(store: Store, found: Entry, key: bytes = KEY) -> bytes:
    if found.chunks is not None:
        return b"".join(found.chunks)
    return b"".join([piece async for piece in store.body(key, found, 0, found.length)])


def vary(name: bytes, value: bytes | None) -> tuple[tuple[bytes, bytes | None], ...]:
    return ((name, value),)


def single(port: int) -> RedisAddress:
    return RedisAddress(Form.SINGLE, (Endpoint("127.0.0.1", port),))


@asynccontextmanager
async def redis_store(where: RedisAddress, bound: float = BOUND, **options: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore(Redis(where, bound), b"gw:", **options)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def newest(entries: Sequence[Entry]) -> Entry:
    assert entries
    return entries[0]


@asynccontextmanager
async def tiered_store(where: RedisAddress, bound: float = BOUND, **options: Any) -> AsyncIterator[TieredStore]:
    store = TieredStore(MemoryStore(512 << 20, time.time), Redis(where, bound), b"gw:", **options)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()
