"""`python -m benchmarks.entry_memory`: how much memory a stored response takes, in this process and in Redis.

Entries of the usual fields, each with a body and values of its own. In this process it is the growth of the resident memory;
beside it stands what the store counts, by which `cache.memory` is kept. In Redis it is the growth of `used_memory`.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import redis as redis_py
import uvloop

from benchmarks.redis_hits import FIELDS, opened, redis_server
from gateway.cache.entry import Entry
from gateway.cache.memory import MemoryStore

if TYPE_CHECKING:
    from gateway.cache.store import Store

COUNT: Final = 20_000  # entries of a measurement
SIZES: Final = (100, 1024, 10_000)  # bytes of a body
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def fill(store: Store, count: int, size: int) -> None:
    now = time.time()
    for number in range(count):
        fields = [(name + b"", b"%b%d" % (value, number)) for name, value in FIELDS]
        entry = Entry(200, fields, born_at=now, stored_at=now, fresh_until=now + 3600, kept_until=now + 3600, etag=b'"%d"' % number)
        writer = store.begin(b"https://shop.example/%d/%d news.5d1f0c9a27b4" % (size, number), entry, store.mark())
        writer.append(number.to_bytes(8, "big") + bytes(size - 8))
        if await writer.commit() is None:
            raise RuntimeError("nothing was stored")


async def run(port: int, count: int) -> None:
    print(f"{'bytes of a body':>16}{'in memory':>12}{'counted':>10}{'in Redis':>10}")
    stores = []  # none goes, so that no memory is used again
    for size in SIZES:
        memory = MemoryStore(1 << 34, time.time)
        before = resident()
        await fill(memory, count, size)
        real, counted = resident() - before, memory.usage().bytes_held
        shared = await opened(port)
        with redis_py.Redis(port=port) as asked:
            used = asked.info("memory")["used_memory"]
            await fill(shared, count, size)
            used = asked.info("memory")["used_memory"] - used
        await shared.stop()
        print(f"{size:16}{real / count:12.0f}{counted / count:10.0f}{used / count:10.0f}", flush=True)
        stores.append(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help="entries of a measurement (default: %(default)s)")
    options = parser.parse_args()
    with redis_server() as port:
        uvloop.run(run(port, options.count))


if __name__ == "__main__":
    main()
