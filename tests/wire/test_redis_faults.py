"""Nothing that happens to Redis fails a request: to one server, to a Cluster, to a master that Sentinel watches.

Whole processes under load. 99 of 100 requests are in time while it happens, none waits for long, what is served is
right, and a purge that was acknowledged holds.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.admin.api import Order
from gateway.admin.client import give
from support.fleet import Load, Member, Site, fleet, site
from support.redis import RedisServer, redis_cluster, redis_sentinel, redis_server, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from support.fleet import Result

pytestmark = pytest.mark.timeout(180)

BOUND = 0.4  # seconds for 99 of 100 requests while something happens to Redis, on a machine that has much else to do
LONGEST = 2.0  # seconds for any request, for the same reason
TOLD = 0.1  # seconds after a purge from which nobody serves what was there before it
LOG = "gw:{purges}"  # of the slot that has the log of purges
PATHS = [f"/news/{number}" for number in range(40)]


@pytest.fixture
def origin() -> Iterator[Site]:
    with site() as server:
        yield server


def spoil(redis: RedisServer) -> None:
    """Everything in it becomes garbage, each name of another kind than before or of the same."""
    with redis.client() as asked:
        for number, name in enumerate(list(asked.scan_iter(count=1000))):
            if number % 3 == 0 and asked.type(name) == b"hash":
                asked.hset(name, mapping={field: os.urandom(200) for field in asked.hkeys(name)})
            elif number % 3 == 1:
                asked.set(name, os.urandom(2000))
            else:
                asked.pipeline().delete(name).lpush(name, b"garbage").execute()  # at once: the fleet writes as well


def fill(redis: RedisServer) -> None:
    with redis.client() as asked:
        asked.config_set("maxmemory-policy", "noeviction")
        asked.config_set("maxmemory", "1")


def make_room(redis: RedisServer) -> None:
    with redis.client() as asked:
        asked.config_set("maxmemory", "0")


def flush(redis: RedisServer) -> None:
    with redis.client() as asked:
        asked.flushall()


def stored(servers: Sequence[RedisServer]) -> int:
    """Pages of which something is stored."""
    found = 0
    for server in servers:
        with server.client() as asked:
            found += sum(1 for _ in asked.scan_iter(f"gw:{{{'?' * 32}}}:{'?' * 16}", count=1000))
    return found


def judge(results: list[Result], phase: str = "") -> None:
    """No request failed, 99 of 100 were in time, none waited for long, and each got its page."""
    assert [(phase, result.status, result.problem) for result in results if not result.well] == []
    seconds = sorted(result.seconds for result in results)
    assert seconds[len(seconds) * 99 // 100] < BOUND, phase
    assert seconds[-1] < LONGEST, phase
    assert all(result.version for result in results), phase


def is_purged(member: Member, tag: str) -> bool:
    """Whether it was acknowledged."""
    return give(member.config, Order("POST", "/cache/purge", {"tag": tag})).well


class Trial:
    """A fleet under load, and what happens to its Redis one after the other."""

    def __init__(self, origin: Site, members: list[Member], load: Load) -> None:
        self.origin = origin
        self.members = members
        self.load = load

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """What is asked meanwhile is judged by itself."""
        before = len(self.load.results)
        yield
        judge(self.load.results[before:], name)

    def purge(self) -> None:
        """By tag and by one member, once all of them have noticed that Redis is there: it holds for all."""
        for member in self.members:
            until(lambda member=member: is_purged(member, "nothing"))
        self.origin.version = version = self.origin.version + 1
        assert is_purged(self.members[version % 2], "news")
        holds = time.perf_counter() + TOLD

        def late() -> list[Result]:
            return [result for result in self.load.results[-1000:] if result.at > holds]

        until(lambda: len(late()) > 50)
        assert {result.version for result in late()} == {version}

    def stores_and_hits(self, servers: Sequence[RedisServer]) -> None:
        """Of all pages, in Redis and from there, though it has just lost everything."""
        for server in servers:
            flush(server)

        def all_hit() -> bool:
            before = sum(self.origin.asked.values())
            self.load.until(200)
            return sum(self.origin.asked.values()) == before and stored(servers) == len(PATHS)

        until(all_hit)


@contextmanager
def trial(tmp_path: Path, origin: Site, redis: str) -> Iterator[Trial]:
    """One member keeps nothing in memory, the other does."""
    with fleet(tmp_path, origin.url, redis, store=["redis", "tiered"]) as members:
        with Load([member.port for member in members], PATHS) as load:
            load.until(300)
            yield Trial(origin, members, load)
            load.until(100)
    judge(load.results)


# ---------------------------------------------------------------- one server


FAULTS: dict[str, tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]] = {
    "killed": (RedisServer.kill, RedisServer.start),
    "frozen": (RedisServer.freeze, RedisServer.thaw),
    "flushed": (flush, flush),
    "garbage": (spoil, spoil),
    "full": (fill, flush),
}


@pytest.mark.parametrize("store", ["redis", "tiered"])
def test_nothing_that_happens_to_redis_fails_a_request(tmp_path: Path, origin: Site, store: str):
    """All of it to one fleet, one after the other, while the load runs."""
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, store=store) as members:
        with Load([member.port for member in members], PATHS) as load:
            load.until(300)
            for name, (begin, end) in FAULTS.items():
                before = len(load.results)
                begin(redis)
                load.until(300)
                end(redis)
                load.until(200)
                judge(load.results[before:], name)
            flush(redis)
            make_room(redis)
            load.until(300)
            if store == "redis":  # memory serves, and need not fetch what Redis has lost
                until(lambda: stored([redis]) > len(PATHS) // 2)
            before = sum(origin.asked.values())
            load.until(200)
            assert sum(origin.asked.values()) - before < 100
    judge(load.results)


def test_large_bodies_come_whole_while_redis_is_killed(tmp_path: Path, origin: Site):
    origin.size = 700_000
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, store="redis", gateways=1) as [member]:
        with Load([member.port], PATHS[:5]) as load:
            load.until(40)
            for _ in range(3):
                redis.kill()
                load.until(20)
                redis.start()
                load.until(40)
    assert [(result.status, result.problem) for result in load.results if not result.well] == []
    assert {len(result.body) for result in load.results} == {700_000}


# ---------------------------------------------------------------- a Cluster


def test_nothing_that_happens_to_a_cluster_fails_a_request(tmp_path: Path, origin: Site):
    with redis_cluster() as redis, trial(tmp_path, origin, redis.url) as on:
        for node in redis.nodes:
            with on.fault("frozen"):
                node.freeze()
                on.load.until(200)
                if node is not redis.owner(LOG):
                    on.purge()
                node.thaw()
                on.purge()
            with on.fault("killed"):
                node.kill()
                on.load.until(200)
                if node is not redis.owner(LOG):
                    on.purge()
                node.start()
                until(redis.is_whole)
                on.purge()
        for name, happens in {"flushed": flush, "garbage": spoil, "full": fill}.items():
            for node in redis.nodes:
                with on.fault(name):
                    happens(node)
                    on.purge()
        for node in redis.nodes:
            make_room(node)
        on.stores_and_hits(redis.nodes)


def test_nodes_of_a_cluster_that_are_killed_one_by_one_fail_no_request(tmp_path: Path, origin: Site):
    """Those that are left refuse all keys once they have noticed."""
    with redis_cluster() as redis, fleet(tmp_path, origin.url, redis.url, store="tiered", gateways=1) as [member]:
        with Load([member.port], PATHS) as load:
            for node in redis.nodes:
                load.until(200)
                node.kill()
                if node is redis.nodes[0]:
                    until(lambda: b"cluster_state:fail" in redis.nodes[1].raw("CLUSTER", "INFO"))
            load.until(200)
    judge(load.results)


# ---------------------------------------------------------------- a master that Sentinel watches


def test_nothing_that_happens_to_the_master_of_a_sentinel_fails_a_request(tmp_path: Path, origin: Site):
    with redis_sentinel() as redis, trial(tmp_path, origin, redis.url) as on:
        with on.fault("frozen for a moment"):
            redis.master().freeze()
            on.load.until(100)
            redis.master().thaw()
            on.purge()
        with on.fault("killed"):
            before = redis.master()
            before.kill()
            until(lambda: redis.master() is not before)
            on.purge()
        before.start("--replicaof", "127.0.0.1", str(redis.master().port))
        until(redis.knows_all)
        with on.fault("frozen"):
            before = redis.master()
            before.freeze()
            until(lambda: redis.master() is not before)
            on.purge()
            before.thaw()  # and takes itself for the master until Sentinel tells it
            on.purge()
        for name, happens in {"flushed": flush, "garbage": spoil, "full": fill}.items():
            with on.fault(name):
                happens(redis.master())
                on.load.until(100)
                on.purge()
        make_room(redis.master())
        on.stores_and_hits([redis.master()])


# ---------------------------------------------------------------- one that is slow


def test_a_redis_that_is_slow_for_ever_costs_hardly_anything(tmp_path: Path, origin: Site):
    """Each of its answers takes 200 ms: the breaker lets nobody wait for them but now and then its own try."""

    async def slow(port: int, ready: threading.Event, ports: list[int], stop: asyncio.Event) -> None:
        async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind, before = await asyncio.open_connection("127.0.0.1", port)

            async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
                try:
                    while data := await source.read(65536):
                        await asyncio.sleep(delay)
                        sink.write(data)
                except ConnectionError:
                    return
                finally:
                    sink.close()

            await asyncio.gather(pass_on(reader, before, 0.0), pass_on(behind, writer, 0.2))

        server = await asyncio.start_server(between, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # their transports close in the next turn

    with redis_server() as redis:
        ready, ports = threading.Event(), list[int]()
        loop, stop = asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(target=lambda: loop.run_until_complete(slow(redis.port, ready, ports, stop)))
        thread.start()
        assert ready.wait(20)
        try:
            with fleet(tmp_path, origin.url, f"redis://127.0.0.1:{ports[0]}", store="redis", gateways=1) as [member]:
                with Load([member.port], PATHS) as load:
                    load.until(500)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(20)
            loop.close()
    judge(load.results)
