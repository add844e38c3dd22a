"""One fetch for a fleet: who comes late waits for who came first, and for nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.cache.redis_lock import RedisLock
from support.cached import KEY, redis_store, single
from support.redis import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

PATIENCE = 20.0


@pytest.fixture(scope="module")
def _server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    with _server.client() as asked:
        asked.flushall()
    return _server


def on_two(server: RedisServer, work: Callable[[RedisLock, RedisLock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with redis_store(single(server.port)) as one, redis_store(single(server.port)) as other:
            await work(RedisLock(one), RedisLock(other))

    asyncio.run(main())


async def until_subscribed(server: RedisServer, count: int = 1) -> None:
    """Somebody waits for a release."""
    with server.client() as asked:
        async with asyncio.timeout(PATIENCE):
            while len(asked.pubsub_channels("*:lock")) < count:
                await asyncio.sleep(0.002)


def test_the_first_leads_and_the_others_go_on_when_it_is_done(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        lease = await one.lead(KEY, PATIENCE)
        assert lease is not None
        waiting = [asyncio.create_task(lock.lead(KEY, PATIENCE)) for lock in (one, other, other)]
        await until_subscribed(server)
        assert not any(task.done() for task in waiting)
        started = time.perf_counter()
        await lease.release()
        assert await asyncio.gather(*waiting) == [None, None, None]
        assert time.perf_counter() - started < 0.5
        await lease.release()

    on_two(server, work)


def test_other_keys_have_leaders_of_their_own(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        leases = [await lock.lead(key, PATIENCE) for lock, key in ((one, KEY), (other, KEY + b"2"), (other, b"https://b/ GET"))]
        assert None not in leases

    on_two(server, work)


def test_who_looked_a_moment_too_early_does_not_fetch_again(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        lease = await one.lead(KEY, PATIENCE)
        assert lease is not None
        await lease.release()
        assert await other.lead(KEY, PATIENCE) is None
        with server.client() as asked:
            async with asyncio.timeout(PATIENCE):
                while list(asked.scan_iter("*:lock")):
                    await asyncio.sleep(0.01)
        assert await other.lead(KEY, PATIENCE) is not None

    on_two(server, work)


def test_patience_ends(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        assert await one.lead(KEY, PATIENCE) is not None
        started = time.perf_counter()
        assert await other.lead(KEY, 0.2) is None
        assert 0.2 <= time.perf_counter() - started < 2

    on_two(server, work)


def test_a_leader_that_lives_keeps_its_lock(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        lease = await one.lead(KEY, PATIENCE)
        assert lease is not None
        waiting = asyncio.create_task(other.lead(KEY, PATIENCE))
        done, _ = await asyncio.wait((waiting,), timeout=3)
        assert not done
        await lease.release()
        assert await waiting is None

    on_two(server, work)


def test_a_leader_that_died_is_not_waited_for_long(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        lease = await one.lead(KEY, PATIENCE)
        assert lease is not None
        assert lease._timer is not None
        lease._timer.cancel()  # as a process that is no more
        started = time.perf_counter()
        assert await other.lead(KEY, PATIENCE) is None
        assert time.perf_counter() - started < 5

    on_two(server, work)


def test_a_lock_that_expired_meanwhile_is_not_anothers_to_release(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        first = await one.lead(KEY, PATIENCE)
        assert first is not None
        with server.client() as asked:
            asked.delete(*asked.scan_iter("*:lock"))
            second = await other.lead(KEY, PATIENCE)
            assert second is not None
            await first.release()
            assert len(list(asked.scan_iter("*:lock"))) == 1
            assert asked.get(next(asked.scan_iter("*:lock"))) != b"over"

    on_two(server, work)


def test_a_lock_whose_taker_leaves_before_it_learns_of_it_is_free(server: RedisServer):
    async def work(one: RedisLock, other: RedisLock) -> None:
        taking = asyncio.create_task(one.lead(KEY, PATIENCE))
        await asyncio.sleep(0)  # it has asked
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        with server.client() as asked:
            async with asyncio.timeout(PATIENCE):
                while [asked.get(name) for name in asked.scan_iter("*:lock")] != [b"over"]:
                    await asyncio.sleep(0.002)
        assert await other.lead(KEY, PATIENCE) is None

    on_two(server, work)


@pytest.mark.parametrize("words", [("SET", "{}", "garbage"), ("LPUSH", "{}", "garbage")], ids=str)
def test_a_foreign_thing_is_no_lock(server: RedisServer, words: tuple[str, ...]):
    async def work(one: RedisLock, other: RedisLock) -> None:
        lease = await one.lead(KEY, PATIENCE)
        assert lease is not None
        with server.client() as asked:
            (name,) = asked.scan_iter("*:lock")
            asked.delete(name)
            asked.execute_command(*(word.format(name.decode()) for word in words))
        started = time.perf_counter()
        assert await other.lead(KEY, PATIENCE) is not None
        assert await one.lead(KEY + b"2", PATIENCE) is not None
        assert time.perf_counter() - started < 1

    on_two(server, work)


@pytest.mark.parametrize("words", [("SET", "{}", "garbage"), ("LPUSH", "{}", "garbage"), ("FLUSHALL",)], ids=str)
def test_a_lock_that_is_spoilt_meanwhile_is_not_waited_for(server: RedisServer, words: tuple[str, ...]):
    """Its holder can not release it any more, so that nothing is said."""

    async def work(one: RedisLock, other: RedisLock) -> None:
        lease = await one.lead(KEY, PATIENCE)
        assert lease is not None
        waiting = asyncio.create_task(other.lead(KEY, PATIENCE))
        await until_subscribed(server)
        with server.client() as asked:
            (name,) = asked.scan_iter("*:lock")
            asked.delete(name)
            asked.execute_command(*(word.format(name.decode()) for word in words))
        started = time.perf_counter()
        await lease.release()
        assert await waiting is None
        assert time.perf_counter() - started < 0.4

    on_two(server, work)


def test_a_redis_that_is_full_gives_no_locks_and_holds_nobody_up():
    with redis_server("--maxmemory-policy", "noeviction") as server:

        async def work(one: RedisLock, other: RedisLock) -> None:
            with server.client() as asked:
                asked.config_set("maxmemory", 1)
            started = time.perf_counter()
            assert await one.lead(KEY, PATIENCE) is not None
            assert await other.lead(KEY, PATIENCE) is not None
            assert time.perf_counter() - started < 1

        on_two(server, work)


def test_a_lock_is_released_though_redis_has_become_full():
    """It takes no writes then, but what only takes away."""
    with redis_server("--maxmemory-policy", "noeviction") as server:

        async def work(one: RedisLock, other: RedisLock) -> None:
            lease = await one.lead(KEY, PATIENCE)
            assert lease is not None
            waiting = asyncio.create_task(other.lead(KEY, PATIENCE))
            await until_subscribed(server)
            with server.client() as asked:
                asked.config_set("maxmemory", 1)
            started = time.perf_counter()
            await lease.release()
            assert await waiting is None
            with server.client() as asked:
                assert list(asked.scan_iter("*:lock")) == []
            assert await other.lead(KEY, PATIENCE) is not None
            assert time.perf_counter() - started < 0.5

        on_two(server, work)


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
def test_without_redis_everybody_leads(fault: Callable[[RedisServer], None]):
    with redis_server() as server:

        async def work(one: RedisLock, other: RedisLock) -> None:
            lease = await one.lead(KEY, PATIENCE)
            assert lease is not None
            waiting = asyncio.create_task(other.lead(KEY, PATIENCE))
            await until_subscribed(server)
            fault(server)
            started = time.perf_counter()
            await waiting
            for lock in (one, other):
                again = await lock.lead(KEY, PATIENCE)
                assert again is not None
                await again.release()
            await lease.release()
            assert time.perf_counter() - started < 3

        on_two(server, work)
