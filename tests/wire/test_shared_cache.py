"""A fleet with one cache: whole processes, a real Redis, and what may happen to it while requests run."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from gateway.admin.api import Order
from gateway.admin.client import give
from support.fleet import Load, Member, Site, all_at_once, fleet, site
from support.process import finished
from support.redis import RedisServer, redis_cluster, redis_sentinel, redis_server, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.fleet import Result

pytestmark = pytest.mark.timeout(180)

BOUND = 0.4  # seconds for 99 of 100 requests while something happens to Redis, on a machine that has much else to do
LONGEST = 2.0  # seconds for any request, for the same reason
PATHS = [f"/news/{number}" for number in range(40)]


@pytest.fixture
def origin() -> Iterator[Site]:
    with site() as server:
        yield server


def purge(member: Member, **what: object) -> None:
    assert give(member.config, Order("POST", "/cache/purge", what)).well


# ---------------------------------------------------------------- one fetch


@pytest.mark.parametrize(("workers", "store"), [(1, "tiered"), (4, "tiered"), (1, "redis")])
def test_two_hundred_clients_of_one_cold_key_are_one_request(tmp_path: Path, origin: Site, workers: int, store: str):
    origin.delay = 1.0
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, workers=workers, store=store) as members:
        results = all_at_once([member.port for member in members], "/cold", 200)
    assert [result.problem for result in results if not result.well] == []
    assert len({result.body for result in results}) == 1
    assert len(results) == 200
    assert origin.asked == {"/cold": 1}


@pytest.mark.parametrize(("cacheable", "status"), [("no-store", 200), ("max-age=60", 503)])
def test_an_answer_that_cannot_be_shared_frees_the_others_at_once(tmp_path: Path, origin: Site, cacheable: str, status: int):
    origin.delay, origin.cacheable, origin.status = 0.3, cacheable, status
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, store="redis") as members:
        started = time.perf_counter()
        results = all_at_once([member.port for member in members], "/mine", 20)
        assert time.perf_counter() - started < 4
    assert {(result.problem, result.status) for result in results} == {("", status)}


# ---------------------------------------------------------------- purges


def test_after_a_purge_no_member_serves_the_old_answer(tmp_path: Path, origin: Site):
    wanted: list[dict[str, object]] = [{"tag": "news"}, {"prefix": "/news/"}, {"all": True}, {"tag": "news", "soft": True}]
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, workers=2) as members:
        with Load([member.port for member in members], PATHS) as load:
            load.until(400)
            assert sum(origin.asked.values()) <= len(PATHS)
            for version, what in enumerate(wanted, 2):
                origin.version = version
                purge(members[version % 2], **what)
                done = time.perf_counter()
                load.until(300)
                late = [result for result in list(load.results) if result.at > done + 0.1]
                assert len(late) > 100
                assert {result.body.split()[2] for result in late} == {b"%d" % version}, what
    assert all(result.well for result in load.results)


def test_the_command_purges_what_all_workers_hold_in_memory(tmp_path: Path, origin: Site):
    with fleet(tmp_path, origin.url, "", gateways=1, workers=2, store="memory", coalesce="local") as [member]:
        with Load([member.port], PATHS) as load:
            load.until(400)
        origin.version = 2
        assert finished("gateway", "purge", "-c", member.config) == (
            2, "", "gateway purge: name what is to be purged: --url, --prefix, --tag or --all\n",
        )  # fmt: skip
        code, said, faults = finished("gateway", "purge", "-c", member.config, "--tag", "nothing", "--tag", "news")
        assert (code, faults) == (0, "")
        assert said.startswith("purged by 2 processes; ")
        with Load([member.port], PATHS) as load:
            load.until(200)
        assert {result.body.split()[2] for result in load.results} == {b"2"}
    code, said, faults = finished("gateway", "purge", "-c", member.config, "--all")
    assert (code, said) == (1, "")
    assert faults == f"gateway: no gateway runs with {member.config}\n"


def test_a_purge_that_redis_was_not_told_of_says_so(tmp_path: Path, origin: Site):
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, gateways=1) as [member]:
        redis.kill()

        def is_refused() -> bool:
            return give(member.config, Order("POST", "/cache/purge", {"tag": "news"})).status == 503

        until(is_refused)
        code, _, faults = finished("gateway", "purge", "-c", member.config, "--all")
        assert code == 1
        assert "redis is away" in faults


# ---------------------------------------------------------------- what may happen to Redis


def spoil(redis: RedisServer) -> None:
    """Everything in it becomes garbage, each name of another kind than before or of the same."""
    with redis.client() as asked:
        for number, name in enumerate(list(asked.scan_iter(count=1000))):
            if number % 3 == 0 and asked.type(name) == b"hash":
                asked.hset(name, mapping={field: os.urandom(200) for field in asked.hkeys(name)})
            elif number % 3 == 1:
                asked.set(name, os.urandom(2000))
            else:
                asked.delete(name)
                asked.lpush(name, b"garbage")


def fill(redis: RedisServer) -> None:
    with redis.client() as asked:
        asked.config_set("maxmemory-policy", "noeviction")
        asked.config_set("maxmemory", "1")


def flush(redis: RedisServer) -> None:
    with redis.client() as asked:
        asked.flushall()


FAULTS: dict[str, tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]] = {
    "killed": (RedisServer.kill, RedisServer.start),
    "frozen": (RedisServer.freeze, RedisServer.thaw),
    "flushed": (flush, flush),
    "garbage": (spoil, spoil),
    "full": (fill, flush),
}


def judge(results: list[Result], phase: str = "") -> None:
    """No request failed, 99 of 100 were in time, and none waited for long."""
    assert [(phase, result.status, result.problem) for result in results if not result.well] == []
    seconds = sorted(result.seconds for result in results)
    assert seconds[len(seconds) * 99 // 100] < BOUND, phase
    assert seconds[-1] < LONGEST, phase


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
            with redis.client() as asked:
                asked.config_set("maxmemory", "0")
            load.until(300)

            def is_stored_again() -> bool:
                with redis.client() as asked:
                    return len(list(asked.scan_iter("gw:{*}:*", count=1000))) > len(PATHS) // 2

            if store == "redis":  # memory serves, and need not fetch what Redis has lost
                until(is_stored_again)
            before = sum(origin.asked.values())
            load.until(200)
            assert sum(origin.asked.values()) - before < 100
    judge(load.results)
    for result in load.results:
        assert result.body.startswith(b"/news/")


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


def test_a_failover_by_sentinel_fails_no_request(tmp_path: Path, origin: Site):
    with redis_sentinel() as redis, fleet(tmp_path, origin.url, redis.url, store="redis", gateways=1) as [member]:
        with Load([member.port], PATHS) as load:
            load.until(200)
            before = redis.master()
            before.kill()
            until(lambda: redis.master() is not before)
            load.until(200)

            def is_stored() -> bool:
                with redis.master().client() as asked:
                    return bool(asked.keys("gw:{*}:*"))

            until(is_stored)
            load.until(100)
    judge(load.results)


def test_a_node_of_a_cluster_that_is_killed_fails_no_request(tmp_path: Path, origin: Site):
    with redis_cluster() as redis, fleet(tmp_path, origin.url, redis.url, store="tiered", gateways=1) as [member]:
        with Load([member.port], PATHS) as load:
            for node in redis.nodes:
                load.until(200)
                node.kill()
            load.until(200)
    judge(load.results)


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
