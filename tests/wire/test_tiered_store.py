"""Memory before Redis: at once where it is held, coherent with the fleet, and a cache of its own while Redis is away."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from gateway.cache.purge import Purge, Scope
from gateway.cache.tiered import ALONE
from gateway.redis.address import Endpoint, Form, RedisAddress
from support.cached import KEY, bodies, body_of, entry, newest, put, single, tiered_store, vary
from support.redis import RedisServer, redis_cluster, redis_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from typing import Any

    from gateway.cache.tiered import TieredStore

PATIENCE = 20.0
LARGE = bytes(range(256)) * 1500


@pytest.fixture(scope="module")
def _server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    with _server.client() as asked:
        asked.flushall()
    return _server


def on(server: RedisServer, work: Callable[..., Coroutine[Any, Any, None]], count: int = 2, **options: Any) -> None:
    """Run it with the stores of so many processes, as it were."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await work(*[await stack.enter_async_context(tiered_store(single(server.port), **options)) for _ in range(count)])

    asyncio.run(main())


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("body", [b"", b"small", LARGE], ids=len)
def test_what_one_process_stored_another_finds_and_then_holds(server: RedisServer, body: bytes):
    async def work(one: TieredStore, other: TieredStore) -> None:
        await put(one, body=body)
        assert newest(one.peek(KEY)).length == len(body)
        assert not other.peek(KEY)
        assert await bodies(other) == [body]
        held = newest(other.peek(KEY))
        assert b"".join(held.chunks or ()) == body

    on(server, work)


def test_the_newest_of_each_variant_is_found_wherever_it_is(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        language = [vary(b"accept-language", value) for value in (b"de", b"en")]
        await put(one, body=b"de 1", vary=language[0], stored_at=time.time() - 9)
        assert await bodies(other) == [b"de 1"]
        await put(one, body=b"de 2", vary=language[0], stored_at=time.time() - 5)
        await put(one, body=b"en 1", vary=language[1], stored_at=time.time() - 3)
        assert await bodies(other) == [b"en 1", b"de 2"]
        assert [b"".join(one.chunks or ()) for one in other.peek(KEY)] == [b"de 2", b"en 1"]
        with server.client() as asked:
            asked.flushdb()
        held = await other.find(KEY)
        assert len(held) in (0, 2)  # the purges of a Redis that was flushed are not known: after a moment nothing is trusted

    on(server, work)


def test_a_validated_entry_is_renewed_in_both(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        await put(one, fresh_until=time.time() - 5)
        old = newest(await other.find(KEY))
        fresh = time.time() + 60
        assert await other.renew(KEY, old, old.copy(fresh_until=fresh), other.mark())
        assert newest(other.peek(KEY)).fresh_until == fresh
        assert newest(await one.shared.find(KEY)).fresh_until == fresh
        again = newest(other.peek(KEY))
        assert await other.renew(KEY, again, again.copy(fresh_until=fresh + 1), other.mark())
        assert newest(await one.shared.find(KEY)).fresh_until == fresh + 1

    on(server, work)


def test_what_this_process_stored_itself_it_can_renew_everywhere(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        for body in (b"small", LARGE):
            await put(one, body=body)
            old = newest(one.peek(KEY))
            assert await one.renew(KEY, old, old.copy(fresh_until=7.0), one.mark())
            assert newest(await other.shared.find(KEY)).fresh_until == 7.0
            assert await body_of(other, newest(await other.find(KEY))) == body

    on(server, work)


def test_what_is_dropped_is_dropped_in_both(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        await put(one)
        await one.drop(KEY, newest(one.peek(KEY)))
        assert not one.peek(KEY)
        assert not await other.find(KEY)

    on(server, work)


def test_forms_reach_the_others(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        await put(one)
        one.add_form(KEY, newest(one.peek(KEY)), b"gzip", b"zipped")
        assert newest(one.peek(KEY)).forms == {b"gzip": b"zipped"}

        async def has_form() -> bool:
            return newest(await other.shared.find(KEY)).forms == {b"gzip": b"zipped"}

        await until(has_form)
        assert newest(await other.find(KEY)).forms == {b"gzip": b"zipped"}

    on(server, work)


def test_a_form_that_memory_has_no_room_for_is_only_shared(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        await put(one)
        for_others = newest(one.peek(KEY))
        one.memory._queues.small.limit = 100  # less than the entry takes as it is
        one.add_form(KEY, for_others, b"gzip", b"zipped")
        assert for_others.forms == {}

        async def has_form() -> bool:
            return newest(await other.shared.find(KEY)).forms == {b"gzip": b"zipped"}

        await until(has_form)

    on(server, work)


def test_an_answer_that_was_broken_off_is_in_neither(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        writer = one.begin(KEY, entry(), one.mark())
        writer.append(LARGE)
        writer.abort()
        assert await writer.commit() is None
        assert not await one.find(KEY)
        assert not await other.find(KEY)

    on(server, work)


# ---------------------------------------------------------------- coherence


@pytest.mark.parametrize("scope", [Purge(Scope.TAG, (b"t",)), Purge(Scope.URL, (b"https://test/a",)), Purge(Scope.ALL)], ids=str)
@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_reaches_all_memories_within_a_tenth_of_a_second(server: RedisServer, scope: Purge, soft: bool):
    def is_usable(store: TieredStore) -> bool:
        return any(one.fresh_until > time.time() for one in store.peek(KEY))

    async def work(*stores: TieredStore) -> None:
        await put(stores[0], tags=(b"t",))
        for store in stores:
            await store.find(KEY)
            assert is_usable(store)
        started = time.perf_counter()
        await stores[2].purge(Purge(scope.scope, scope.values, soft=soft))
        assert not is_usable(stores[2])
        await eventually(lambda: not any(map(is_usable, stores)))
        assert time.perf_counter() - started < 0.1
        assert bool(stores[0].peek(KEY)) == soft

    on(server, work, 5)


def test_a_purge_is_felt_at_once_though_another_node_of_the_cluster_is_frozen():
    with redis_cluster() as cluster:
        log = cluster.owner("gw:{purges}")

        async def main() -> None:
            where = RedisAddress(Form.CLUSTER, tuple(Endpoint("127.0.0.1", node.port) for node in cluster.nodes))
            async with tiered_store(where) as one, tiered_store(where) as other:
                for frozen in (node for node in cluster.nodes if node is not log):
                    await put(other, tags=(b"t",))
                    frozen.freeze()
                    await one.purge(Purge(Scope.TAG, (b"t",)))
                    assert one.is_current
                    async with asyncio.timeout(0.1):
                        while other.peek(KEY):
                            await asyncio.sleep(0.002)
                    frozen.thaw()

        asyncio.run(main())


def test_ten_thousand_entries_under_one_tag_go_in_a_second(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        keys = [b"https://test/%d GET" % number for number in range(10_000)]
        for start in range(0, len(keys), 100):
            await asyncio.gather(*(put(one, key, tags=(b"many",)) for key in keys[start : start + 100]))
            await asyncio.gather(*(other.find(key) for key in keys[start : start + 100]))
        assert all(map(other.peek, keys))
        started = time.process_time()  # both processes are this one here, and others run beside it
        assert await one.purge(Purge(Scope.TAG, (b"many",))) == 10_000
        await eventually(lambda: not other.peek(keys[-1]))
        assert time.process_time() - started < 2
        assert not any(map(one.peek, keys))
        assert not any(map(other.peek, keys))

    on(server, work)


def test_what_was_held_before_the_connection_went_is_not_served_until_it_has_caught_up(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        kept = b"https://test/kept GET"
        for key, tags in ((KEY, (b"t",)), (kept, ())):
            await put(one, key, tags=tags)
            await other.find(key)
        subscriber = other.shared.purges.subscriber
        with server.client() as asked:
            (name,) = {f"{host}:{port}" for host, port in [subscriber._link.transport.get_extra_info("sockname")]}  # type: ignore[union-attr]
            asked.client_kill(name)
        await eventually(lambda: not subscriber.is_listening)
        await one.purge(Purge(Scope.TAG, (b"t",)))
        while not subscriber.is_listening:
            assert not other.peek(KEY)
            assert not other.peek(kept)
            await asyncio.sleep(0)
        assert not other.peek(KEY)
        assert other.peek(kept)

    on(server, work)


def test_a_log_of_purges_that_is_gone_empties_the_memory(server: RedisServer):
    async def work(one: TieredStore, other: TieredStore) -> None:
        await put(one)
        await other.find(KEY)
        with server.client() as asked:
            asked.flushall()
        await eventually(lambda: not one.peek(KEY) and not other.peek(KEY))

    on(server, work)


def test_while_redis_is_away_memory_serves_what_it_fetched_since_and_only_for_a_moment():
    now = time.time()
    clock = [now]
    with redis_server() as server:

        async def work(one: TieredStore) -> None:
            await put(one, stored_at=now - 1)
            assert one.peek(KEY)
            server.kill()
            await eventually(lambda: not one.shared.is_current)
            assert not one.peek(KEY)
            assert not await one.find(KEY)
            other = b"https://test/b GET"
            clock[0] += 1
            assert await put(one, other, stored_at=clock[0]) is not None
            assert one.peek(other)
            assert await bodies(one, other) == [b"body"]
            clock[0] += ALONE
            assert not one.peek(other)
            server.start()
            await eventually(lambda: one.shared.is_current)
            assert not one.peek(KEY)  # its log has gone with this Redis

        on(server, work, 1, clock=lambda: clock[0])


def test_a_purge_while_redis_is_away_takes_what_is_held_here_at_once():
    with redis_server() as server:
        server.kill()

        async def work(one: TieredStore) -> None:
            await put(one, tags=(b"t",))
            assert one.peek(KEY)
            assert await one.purge(Purge(Scope.TAG, (b"t",))) == 1
            assert not one.peek(KEY)

        on(server, work, 1)
