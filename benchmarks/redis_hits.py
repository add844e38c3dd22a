"""`python -m benchmarks.redis_hits`: what a hit in Redis costs this process, and how long it takes.

A redis-server of its own on loopback, one process on one event loop, entries of the usual size. CPU is this process's
alone, user and system; Redis has its own. What redis-py needs for a bare GET of the same bytes is shown beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from statistics import quantiles
from typing import TYPE_CHECKING, Final, NamedTuple

import redis.asyncio as redis_py
import uvloop

from gateway.cache.entry import Entry
from gateway.cache.redis import RedisStore
from gateway.redis.address import Endpoint, Form, RedisAddress
from gateway.redis.client import Redis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

COUNT: Final = 20_000  # hits of a measurement
BOUND: Final = 1.0  # seconds; nothing is to be given up here
FIELDS: Final = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"public, max-age=60"),
    (b"etag", b'"5f3759df"'),
    (b"last-modified", b"Tue, 03 Nov 2026 09:00:00 GMT"),
    (b"date", b"Wed, 25 Nov 2026 10:00:00 GMT"),
    (b"surrogate-key", b"article-7 front"),
    (b"content-length", b"1024"),
]


class Figures(NamedTuple):
    """Microseconds a hit: of CPU, and of waiting."""

    cpu: float
    median: float
    p99: float


async def measure(work: Callable[[], Awaitable[object]], at_once: int, count: int) -> Figures:
    """So many tasks, each with one hit after the other."""
    waits: list[float] = []

    async def one() -> None:
        for _ in range(count // at_once):
            started = time.perf_counter()
            await work()
            waits.append(time.perf_counter() - started)

    await work()
    before = time.process_time()
    await asyncio.gather(*(one() for _ in range(at_once)))
    cpu = (time.process_time() - before) / len(waits)
    cuts = quantiles(waits, n=100)
    return Figures(cpu * 1e6, cuts[49] * 1e6, cuts[98] * 1e6)


async def store_entry(store: RedisStore, key: bytes, size: int) -> None:
    now = time.time()
    entry = Entry(200, FIELDS, born_at=now, stored_at=now, fresh_until=now + 3600, kept_until=now + 3600, tags=(b"front",))
    writer = store.begin(key, entry, store.mark())
    writer.append(bytes(size))
    if await writer.commit() is None:
        raise RuntimeError("nothing was stored")


async def hit(store: RedisStore, key: bytes) -> None:
    (entry,) = await store.find(key)
    if entry.chunks is None:
        async for _ in store.body(key, entry, 0, entry.length):
            continue


async def opened(port: int) -> RedisStore:
    """The store of a Redis that is about to listen there."""
    store = RedisStore(Redis(RedisAddress(Form.SINGLE, (Endpoint("127.0.0.1", port),)), BOUND), b"gw:")
    await store.start()
    while not store.is_current:  # noqa: ASYNC110  # another process
        await asyncio.sleep(0.02)
    return store


async def run(port: int, count: int) -> None:
    store = await opened(port)
    plain = redis_py.Redis(port=port)
    await plain.set("plain", bytes(1024))
    print(f"{'':38}{'us CPU':>10}{'median us':>12}{'p99 us':>10}")
    for size, name in ((1024, "hit, 1 KB"), (30_000, "hit, 30 KB"), (256 * 1024, "hit, 256 KB")):
        key = b"https://shop.example/%d news" % size
        await store_entry(store, key, size)
        for at_once in (1, 32):
            figures = await measure(lambda key=key: hit(store, key), at_once, count if size < 100_000 else count // 20)  # type: ignore[misc]
            show(f"{name}, {at_once} at once", figures)
    for at_once in (1, 32):
        show(f"redis-py, GET of 1 KB, {at_once} at once", await measure(lambda: plain.get("plain"), at_once, count))
    await plain.aclose()
    await store.stop()


def show(name: str, figures: Figures) -> None:
    print(f"{name:38}{figures.cpu:10.1f}{figures.median:12.0f}{figures.p99:10.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help="hits of a measurement (default: %(default)s)")
    options = parser.parse_args()
    with redis_server() as port:
        uvloop.run(run(port, options.count))


@contextmanager
def redis_server() -> Iterator[int]:
    """One of its own on loopback; its port."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, "--loglevel", "warning"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                yield port
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
