"""The store in Redis: what was stored is found, whole and by its variant; what was purged, changed or foreign is not."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cache.purge import Purge, Scope
from gateway.cache.redis import MAX_BYTES
from gateway.cache.redis_names import Names
from gateway.redis.address import Endpoint, Form, RedisAddress
from gateway.redis.resp import command
from support.cached import KEY, bodies, body_of, entry, newest, put, redis_store, single, vary
from support.redis import RedisServer, redis_cluster, redis_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from gateway.cache.redis import RedisStore

PATIENCE = 20.0
LARGE = bytes(range(256)) * 1500  # six pieces


@pytest.fixture(scope="module")
def _server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    with _server.client() as asked:
        asked.flushall()
    return _server


@pytest.fixture(params=["single", "cluster"])
def address(request: pytest.FixtureRequest) -> RedisAddress:
    """The same holds for one server and for a Cluster."""
    if request.param == "single":
        return single(request.getfixturevalue("server").port)
    nodes = request.getfixturevalue("_cluster").nodes
    for node in nodes:
        with node.client() as asked:
            asked.flushall()
    return RedisAddress(Form.CLUSTER, tuple(Endpoint("127.0.0.1", node.port) for node in nodes))


@pytest.fixture(scope="module")
def _cluster() -> Iterator[Any]:
    with redis_cluster() as cluster:
        yield cluster


def on(where: RedisAddress | RedisServer, work: Callable[[RedisStore], Coroutine[Any, Any, None]]) -> None:
    """Run it with a store of its own."""

    async def main() -> None:
        async with redis_store(single(where.port) if isinstance(where, RedisServer) else where) as store:
            await work(store)

    asyncio.run(main())


def on_two(
    where: RedisAddress | RedisServer, work: Callable[[RedisStore, RedisStore], Coroutine[Any, Any, None]]
) -> None:
    """Run it with the stores of two processes, as it were."""

    async def main() -> None:
        address = single(where.port) if isinstance(where, RedisServer) else where
        async with redis_store(address) as one, redis_store(address) as other:
            await work(one, other)

    asyncio.run(main())


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 32768, b"z" * 32769, LARGE, os.urandom(3_000_000)], ids=len)
def test_what_was_stored_is_found_by_another_process(address: RedisAddress, body: bytes):
    async def work(one: RedisStore, other: RedisStore) -> None:
        stored = await put(one, body=body, etag=b'"1"', tags=(b"t",))
        assert stored is not None
        found = newest(await other.find(KEY))
        assert (found.status, found.headers, found.etag, found.tags, found.length) == (
            200, [(b"content-type", b"text/plain")], b'"1"', (b"t",), len(body),
        )  # fmt: skip
        assert (found.chunks is None) == (len(body) > 32768)
        assert await body_of(other, found) == body
        assert await body_of(one, stored) == body
        assert not await other.find(KEY + b"x")

    on_two(address, work)


def test_a_hit_is_one_round_trip(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store)
        node = store.redis.node(KEY)
        assert node.quick is not None
        written: list[bytes] = []
        transport = node.quick.transport

        class Counting:
            def write(self, data: bytes) -> None:
                written.append(data)
                transport.write(data)

        node.quick.transport = Counting()  # type: ignore[assignment]
        assert await bodies(store) == [b"body"]
        node.quick.transport = transport
        assert len(written) == 1

    on(server, work)


def test_variants_are_kept_apart_and_the_newest_comes_first(address: RedisAddress):
    async def work(store: RedisStore) -> None:
        for index, value in enumerate((b"de", b"en", None)):
            await put(store, body=b"%d" % index, vary=vary(b"accept-language", value), stored_at=time.time() + index)
        await put(store, body=b"again", vary=vary(b"accept-language", b"de"), stored_at=time.time() + 9)
        assert await bodies(store) == [b"again", b"2", b"1"]

    on(address, work)


def test_a_variant_takes_the_place_of_its_like_and_its_pieces_go(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store, body=LARGE)
        await put(store, body=b"small")
        assert await bodies(store) == [b"small"]
        with server.client() as asked:
            await eventually(lambda: not list(asked.scan_iter("*:0")))

    on(server, work)


def entries_in(asked: Any, names: Names) -> dict[bytes, bytes]:
    """Those of a key's hash, and its forms."""
    return {field: frame for field, frame in asked.hgetall(names.hash).items() if field[:1] in b"vf"}


def test_a_look_up_never_brings_more_than_half_a_megabyte(server: RedisServer):
    async def work(store: RedisStore) -> None:
        name = store.names(KEY).hash
        with server.client() as asked:

            def counted() -> int:
                """As the hash says, which is right."""
                size = int(asked.hget(name, "s"))
                assert size == sum(map(len, entries_in(asked, store.names(KEY)).values()))
                return size

            for number in range(60):
                await put(store, vary=vary(b"cookie", b"%d" % number), body=bytes(30_000))
                assert counted() <= MAX_BYTES
                assert (await bodies(store))[0] == bytes(30_000)
            await put(store, vary=vary(b"cookie", b"59"), body=bytes(10_000))
            before = counted()
            found = newest(await store.find(KEY))
            await store._add_form(KEY, found, found.place.write, b"gzip", bytes(1000))  # type: ignore[attr-defined]
            await store._add_form(KEY, found, found.place.write, b"gzip", bytes(900))  # type: ignore[attr-defined]
            assert before < counted() < before + 1000
            await store._add_form(KEY, found, found.place.write, b"br", bytes(MAX_BYTES))  # type: ignore[attr-defined]
            assert before < counted() < before + 1000
            await store.drop(KEY, found)
            assert counted() < before

    on(server, work)


def test_a_purge_of_a_key_is_known_beyond_a_hash_that_begins_anew(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store)
        await store.purge(Purge(Scope.KEY, (KEY,)))
        with server.client() as asked:
            known = asked.hget(store.names(KEY).hash, "p")
            for number in range(30):
                await put(store, vary=vary(b"cookie", b"%d" % number), body=bytes(30_000))
            assert asked.hlen(store.names(KEY).hash) < 30
            assert known
            assert asked.hget(store.names(KEY).hash, "p") == known

    on(server, work)


def test_keys_with_more_variants_than_can_be_begin_anew(server: RedisServer):
    async def work(store: RedisStore) -> None:
        for number in range(300):
            await put(store, vary=vary(b"cookie", b"%d" % number))
        assert 1 <= len(await store.find(KEY)) <= 256

    on(server, work)


def test_everything_that_is_written_expires(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store, body=LARGE)
        await put(store, KEY + b"2", kept_until=time.time() + 1e9)
        await store.purge(Purge(Scope.URL, (b"https://test/b",)))
        await store.purge(Purge(Scope.TAG, (b"t",)))
        with server.client() as asked:
            lifetimes = {key: asked.ttl(key) for key in asked.scan_iter()}
        assert len(lifetimes) >= 10
        assert all(0 < seconds <= 8 * 86_400 for seconds in lifetimes.values()), lifetimes

    on(server, work)


def test_what_is_of_no_use_is_not_written(server: RedisServer):
    async def work(store: RedisStore) -> None:
        assert await put(store, kept_until=time.time() - 1) is None
        assert not await store.find(KEY)
        with server.client() as asked:
            await eventually(lambda: not list(asked.scan_iter("gw:{[^p]*")))

    on(server, work)


def test_what_was_broken_off_is_never_found_and_leaves_nothing(server: RedisServer):
    async def work(store: RedisStore) -> None:
        writer = store.begin(KEY, entry(), store.mark())
        writer.append(LARGE)
        with server.client() as asked:
            await eventually(lambda: bool(list(asked.scan_iter("*:0"))))
            assert not await store.find(KEY)
            writer.abort()
            await eventually(lambda: not list(asked.scan_iter("*:0")))
        assert await writer.commit() is None
        assert not await store.find(KEY)

    on(server, work)


def test_a_validated_entry_lives_on_with_its_body(address: RedisAddress):
    async def work(one: RedisStore, other: RedisStore) -> None:
        for key, body in ((KEY, b"small"), (b"https://test/large GET", LARGE)):
            await put(one, key, body)
            old = newest(await other.find(key))
            new = old.copy(headers=[(b"x", b"new")], fresh_until=old.fresh_until + 50)
            assert await other.renew(key, old, new, other.mark())
            found = newest(await one.find(key))
            assert (found.headers, found.fresh_until) == ([(b"x", b"new")], old.fresh_until + 50)
            assert await body_of(one, found, key) == body
            assert await other.renew(key, new, new.copy(), other.mark())

    on_two(address, work)


def test_what_is_not_there_any_more_is_not_renewed(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store)
        old = newest(await store.find(KEY))
        await put(store, body=b"other")
        assert not await store.renew(KEY, old, old.copy(), store.mark())
        assert not await store.renew(KEY, entry(), entry(), store.mark())
        assert await bodies(store) == [b"other"]

    on(server, work)


def test_a_large_entry_whose_pieces_are_gone_is_not_renewed(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store, body=LARGE)
        old = newest(await store.find(KEY))
        with server.client() as asked:
            asked.delete(*asked.scan_iter("*:3"))
        assert not await store.renew(KEY, old, old.copy(), store.mark())

    on(server, work)


def test_a_dropped_entry_is_gone_and_only_that(address: RedisAddress):
    async def work(store: RedisStore) -> None:
        await put(store, body=LARGE, vary=vary(b"a", b"1"))
        await put(store, vary=vary(b"a", b"2"))
        found = await store.find(KEY)
        await store.drop(KEY, found[1])
        assert await bodies(store) == [b"body"]
        await put(store, body=b"newer", vary=vary(b"a", b"2"))
        await store.drop(KEY, found[0])
        assert await bodies(store) == [b"newer"]

    on(address, work)


def test_coded_forms_lie_with_their_entry_until_another_takes_its_place(address: RedisAddress):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one)
        one.add_form(KEY, newest(await one.find(KEY)), b"gzip", b"zipped")

        async def has_form() -> bool:
            return newest(await other.find(KEY)).forms == {b"gzip": b"zipped"}

        await until(has_form)
        await put(one, body=b"new")
        assert newest(await other.find(KEY)).forms == {}

    on_two(address, work)


# ---------------------------------------------------------------- purges

PURGES = [
    Purge(Scope.URL, (b"https://test/a",)),
    Purge(Scope.URL, (b"/a",)),
    Purge(Scope.KEY, (KEY,)),
    Purge(Scope.PREFIX, (b"https://test/",)),
    Purge(Scope.PREFIX, (b"/a",)),
    Purge(Scope.TAG, (b"other", b"t")),
    Purge(Scope.ALL),
]
MISSES = [
    Purge(Scope.URL, (b"https://test/b",)),
    Purge(Scope.URL, (b"https://other/a",)),
    Purge(Scope.KEY, (KEY + b"x",)),
    Purge(Scope.PREFIX, (b"https://test/b",)),
    Purge(Scope.TAG, (b"other",)),
]


@pytest.mark.parametrize("purge", PURGES, ids=str)
def test_a_purge_is_felt_by_all_at_once_and_what_comes_after_it_is_kept(address: RedisAddress, purge: Purge):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t", b"u"))
        assert await bodies(other) == [b"body"]
        await one.purge(purge)
        assert not await one.find(KEY)

        async def is_gone() -> bool:
            return not await other.find(KEY)

        await until(is_gone)
        await put(one, body=b"new", tags=(b"t",))
        assert await bodies(other) == await bodies(one) == [b"new"]

    on_two(address, work)


@pytest.mark.parametrize("purge", MISSES, ids=str)
def test_a_purge_takes_nothing_else(server: RedisServer, purge: Purge):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t",))
        await one.purge(purge)
        assert await bodies(one) == await bodies(other) == [b"body"]

    on_two(server, work)


@pytest.mark.parametrize("purge", PURGES, ids=str)
def test_a_soft_purge_makes_stale(address: RedisAddress, purge: Purge):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t",))
        await one.purge(Purge(purge.scope, purge.values, soft=True))
        for store in (one, other):

            async def is_stale(store: RedisStore = store) -> bool:
                return newest(await store.find(KEY)).fresh_until <= time.time()

            await until(is_stale)
            assert await bodies(store) == [b"body"]
        old = newest(await one.find(KEY))
        assert await one.renew(KEY, old, old.copy(fresh_until=time.time() + 60), one.mark())
        assert newest(await other.find(KEY)).fresh_until > time.time()

    on_two(address, work)


@pytest.mark.parametrize("purge", PURGES, ids=str)
@pytest.mark.parametrize("by_another", [False, True])
def test_an_answer_that_was_under_way_during_a_purge_is_not_found(server: RedisServer, purge: Purge, by_another: bool):
    async def work(one: RedisStore, other: RedisStore) -> None:
        writer = one.begin(KEY, entry(tags=(b"t",)), one.mark())
        await (other if by_another else one).purge(purge)
        writer.append(b"old")
        await writer.commit()
        assert not await other.find(KEY)
        await eventually(lambda: one.mark() == other.mark())
        assert not await one.find(KEY)

    on_two(server, work)


def test_a_process_that_was_away_catches_up_before_it_gives_anything(server: RedisServer):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t",))
        kept = b"https://test/kept GET"
        await put(one, kept)
        with server.client() as asked:
            asked.client_kill_filter(_type="pubsub")
        await eventually(lambda: not one.is_current or not other.is_current)
        await one.purge(Purge(Scope.TAG, (b"t",)))
        while not (one.is_current and other.is_current):
            for store in (one, other):
                assert not await store.find(KEY)
            await asyncio.sleep(0)
        assert not await one.find(KEY)
        assert not await other.find(KEY)
        assert await bodies(other, kept) == [b"body"]

    on_two(server, work)


def test_a_message_that_was_lost_is_noticed_at_the_next_one(server: RedisServer):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t",))
        told, lost = other.purges.subscriber._told, list[bytes]()
        other.purges.subscriber._told = lost.append
        await one.purge(Purge(Scope.TAG, (b"t",)))
        assert await bodies(other) == [b"body"]
        other.purges.subscriber._told = told
        await one.purge(Purge(Scope.TAG, (b"something else",)))
        await eventually(lambda: other.mark() == one.mark())
        assert not await other.find(KEY)

    on_two(server, work)


def test_a_purge_while_redis_is_away_is_done_when_it_is_back():
    with redis_server() as server:

        async def work(one: RedisStore, other: RedisStore) -> None:
            await put(one, tags=(b"t",))
            url = b"https://test/b"
            await put(one, url + b" GET")
            server.freeze()
            await eventually(lambda: not one.is_current and not other.is_current)
            await one.purge(Purge(Scope.TAG, (b"t",)))
            await one.purge(Purge(Scope.URL, (url,)))
            server.thaw()
            await eventually(lambda: one.is_current)
            assert not await one.find(KEY)
            assert not await one.find(url + b" GET")
            await eventually(lambda: other.is_current)
            await eventually(lambda: one.mark() == other.mark())
            assert not await other.find(KEY)

        on_two(server, work)


def test_ten_thousand_entries_of_a_tag_are_purged_within_a_second(server: RedisServer):
    async def work(one: RedisStore, other: RedisStore) -> None:
        keys = [b"https://test/%d GET" % number for number in range(10_000)]
        for start in range(0, len(keys), 500):
            await asyncio.gather(*(put(one, key, tags=(b"many",)) for key in keys[start : start + 500]))
        assert await bodies(other, random.choice(keys)) == [b"body"]
        started = time.perf_counter()
        await one.purge(Purge(Scope.TAG, (b"many",)))
        for store in (one, other):
            await eventually(lambda store=store: store.mark() == one.mark())  # type: ignore[misc]
            for key in random.sample(keys, 100):
                assert not await store.find(key)
        assert time.perf_counter() - started < 1

    on_two(server, work)


@pytest.mark.parametrize("message", [b"", b"garbage", b"1 2", b"0 9 x:y", b"0 9 99:t", b"-1 -2 3:thx"])
def test_a_message_that_nobody_can_read_is_a_reason_to_read_the_log(server: RedisServer, message: bytes):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t",))
        with server.client() as asked:
            asked.publish("gw:purged", message)
        await one.purge(Purge(Scope.TAG, (b"t",)))

        async def is_gone() -> bool:  # both have read the log: one that joins anew knows the purge before it stores again
            both = one.is_current and other.is_current
            return both and other.mark() == one.mark() and not await other.find(KEY)

        await until(is_gone)
        await put(one, body=b"new")
        assert await bodies(other) == [b"new"]

    on_two(server, work)


def test_purges_that_redis_has_forgotten_void_what_they_may_have_taken(server: RedisServer):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t",))
        before = one.purges.log.floor
        with server.client() as asked:
            asked.delete("gw:{purges}:kept")
        await eventually(lambda: one.purges.log.floor > before)
        assert not await one.find(KEY)

    on_two(server, work)


def test_a_purge_that_a_failover_has_lost_is_not_undone(server: RedisServer):
    """The replica that has become the master was behind: those who were told of the purge know more than its log."""

    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, tags=(b"t",))
        with server.client() as asked:
            before = asked.zrange("gw:{purges}:kept", 0, -1)
            await one.purge(Purge(Scope.TAG, (b"t",)))
            assert asked.zremrangebyrank("gw:{purges}:kept", -1, -1) == 1
            assert asked.zrange("gw:{purges}:kept", 0, -1) == before

        async def is_void() -> bool:
            async with redis_store(single(server.port)) as later:
                return later.is_current and not await later.find(KEY)

        await until(is_void)
        await eventually(lambda: one.mark() == other.mark() and one.is_current and other.is_current)
        await put(one, body=b"new")
        floor = one.purges.log.floor
        await one.purges._catch_up()
        assert one.purges.log.floor == floor  # it is made good once
        assert await bodies(other) == [b"new"]

    on_two(server, work)


def test_only_so_many_purges_are_remembered(server: RedisServer):
    async def work(one: RedisStore, other: RedisStore) -> None:
        await put(one, b"https://test/early GET")
        for start in range(0, 11_000, 500):
            await one.purge(Purge(Scope.TAG, tuple(b"%d" % number for number in range(start, start + 500))))
        await eventually(lambda: one.mark() == one.purges.log.newest)
        await put(one)
        with server.client() as asked:
            assert asked.zcard("gw:{purges}:kept") <= 10_001
        assert await bodies(one) == [b"body"]
        assert not await one.find(b"https://test/early GET")

    on_two(server, work)


# ---------------------------------------------------------------- foreign and broken


def test_garbage_under_our_names_is_a_miss_and_is_overwritten(server: RedisServer):
    names = Names(b"gw:", KEY)
    spoiled: list[tuple[bytes, ...]] = [
        (b"SET", names.mark, b"garbage"),
        (b"SET", names.mark, os.urandom(100_000)),
        (b"SET", names.mark, b"m1 99999999999999999999 0"),
        (b"SET", names.mark, b"m1 9999999999999999 0"),
        (b"SET", names.mark, b"m1 1 9999999999999999"),
        (b"LPUSH", names.mark, b"x"),
        (b"SET", names.hash, b"a string"),
        (b"LPUSH", names.hash, b"x"),
        (b"HSET", names.hash, b"v", b"x", b"f", b"y", b"p", b"z", b"foreign", os.urandom(1000)),
    ]

    async def work(store: RedisStore) -> None:
        for words in spoiled:
            await put(store, body=b"before")
            with server.client() as asked:
                if words[0] != b"HSET":
                    asked.delete(words[1])
                asked.execute_command(*words)
            found = await bodies(store)
            assert found in ([], [b"before"]), words
            assert await put(store, body=b"after") is not None, words
            assert await bodies(store) == [b"after"], words
        assert store.redis.node(KEY).breaker.opened == 0

    on(server, work)


def test_every_changed_byte_of_an_entry_or_of_a_piece_is_a_miss(server: RedisServer):
    names = Names(b"gw:", KEY)

    async def work(store: RedisStore) -> None:
        await put(store, body=b"small")
        with server.client() as asked:
            ((field, frame),) = entries_in(asked, names).items()
            for index in range(len(frame)):
                changed = frame[:index] + bytes([frame[index] ^ 0x55]) + frame[index + 1 :]
                asked.hset(names.hash, field, changed)
                assert not await store.find(KEY), index
            await put(store, body=LARGE)
            piece = next(iter(asked.scan_iter("*:2")))
            whole = asked.get(piece)
            for changed in (b"", b"x", whole[:-1], whole[:100] + b"?" + whole[101:], asked.get(next(iter(asked.scan_iter("*:3"))))):
                asked.set(piece, changed)
                with pytest.raises(LookupError):
                    await body_of(store, newest(await store.find(KEY)))

    on(server, work)


def test_an_entry_under_the_name_of_another_key_is_a_miss(server: RedisServer):
    other = b"https://test/b GET"

    async def work(store: RedisStore) -> None:
        await put(store)
        await put(store, other, b"others")
        with server.client() as asked:
            for field, frame in entries_in(asked, Names(b"gw:", KEY)).items():
                asked.hset(Names(b"gw:", other).hash, field, frame)
        assert not await store.find(other)

    on(server, work)


def test_an_entry_under_the_field_of_another_variant_is_a_miss(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store, vary=vary(b"cookie", b"mine"))
        with server.client() as asked:
            ((_, frame),) = entries_in(asked, Names(b"gw:", KEY)).items()
            asked.hset(Names(b"gw:", KEY).hash, "v1234567890123456", frame)
        assert len(await store.find(KEY)) == 1

    on(server, work)


def test_a_flushed_redis_is_an_empty_one(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store)
        with server.client() as asked:
            asked.flushall()
        assert not await store.find(KEY)

        async def is_stored() -> bool:
            await put(store, body=b"new")
            return await bodies(store) == [b"new"]

        await until(is_stored)

    on(server, work)


def test_a_full_redis_is_read_and_not_written():
    with redis_server("--maxmemory-policy", "noeviction") as server:

        async def work(store: RedisStore) -> None:
            await put(store)
            with server.client() as asked:
                asked.config_set("maxmemory", 1)
            assert await bodies(store) == [b"body"]
            assert await put(store, body=b"new") is None
            started = time.perf_counter()
            assert await put(store, body=LARGE) is None
            assert time.perf_counter() - started < 0.02
            assert await bodies(store) == [b"body"]
            assert store.redis.node(KEY).breaker.opened == 0

        on(server, work)


FROM_FULL = [Purge(Scope.TAG, (b"t",)), Purge(Scope.URL, (b"https://test/a",)), Purge(Scope.KEY, (KEY,)), Purge(Scope.ALL)]


@pytest.mark.parametrize("purge", FROM_FULL, ids=lambda purge: purge.scope.value)
def test_a_purge_is_done_though_redis_is_full(purge: Purge):
    """By everybody, and for good."""
    with redis_server("--maxmemory-policy", "noeviction") as server:

        async def work(store: RedisStore) -> None:
            async with redis_store(single(server.port)) as other:
                await put(store, tags=(b"t",))
                assert await bodies(other) == [b"body"]
                with server.client() as asked:
                    asked.config_set("maxmemory", 1)
                    await store.purge(purge)
                    assert await bodies(store) == []

                    async def is_known() -> bool:
                        return await bodies(other) == []

                    await until(is_known)
                    names = Names(b"gw:", KEY)
                    beside = {Scope.URL: names.mark, Scope.KEY: names.both[1]}.get(purge.scope, b"none")
                    assert asked.exists(beside) == 0  # the log forgets these soon; what could not be written there has gone
                    asked.config_set("maxmemory", 0)

                async def is_stored() -> bool:
                    assert await bodies(other) in ([], [b"new"])
                    await put(store, body=b"new")
                    return await bodies(other) == [b"new"]

                await until(is_stored)

        on(server, work)


def test_a_purge_that_redis_refuses_is_made_later_and_its_sender_serves_nothing_until_then():
    """As where its disk is full."""
    with redis_server("--min-replicas-to-write", "0") as server:

        async def work(store: RedisStore) -> None:
            await put(store)
            assert await bodies(store) == [b"body"]
            with server.client() as asked:
                asked.config_set("min-replicas-to-write", 1)  # it has none: nothing can be written, nor deleted
                await store.purge(Purge(Scope.ALL))
                assert await bodies(store) == []
                asked.config_set("min-replicas-to-write", 0)
            await until(lambda: asyncio.sleep(0, store.is_current))
            assert await bodies(store) == []

        on(server, work)


def test_redis_that_drops_what_it_has_no_room_for_loses_entries_and_never_a_purge():
    with redis_server("--maxmemory-policy", "allkeys-lru") as server:

        async def work(store: RedisStore) -> None:
            with server.client() as asked:
                asked.config_set("maxmemory", asked.info("memory")["used_memory"] + 3_000_000)
            keys = [b"https://test/%d GET" % number for number in range(500)]
            for key in keys:
                await put(store, key, b"o" * 10_000)
            found = [key for key in keys if await store.find(key)]
            assert 0 < len(found) < len(keys)
            for key in found[:20]:
                await store.purge(Purge(Scope.URL, (key.split()[0],)))
            for key in keys:
                await put(store, key + b"2", b"o" * 10_000)
            for key in found[:20]:
                assert not await store.find(key)

        on(server, work)


def test_bodies_are_read_whole_before_the_first_piece_so_that_redis_may_go():
    with redis_server() as server:

        async def work(store: RedisStore) -> None:
            await put(store, body=LARGE)
            found = newest(await store.find(KEY))
            pieces = store.body(KEY, found, 0, found.length)
            first = await anext(pieces)
            server.kill()
            assert first + b"".join([piece async for piece in pieces]) == LARGE

        on(server, work)


def test_a_body_whose_entry_was_purged_since_it_was_found_is_a_miss(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await put(store, body=LARGE, tags=(b"t",))
        found = newest(await store.find(KEY))
        await store.purge(Purge(Scope.TAG, (b"t",)))
        with pytest.raises(LookupError):
            await body_of(store, found)

    on(server, work)


def test_without_redis_nothing_is_found_and_nothing_fails():
    with redis_server() as server:
        server.kill()

        async def work(store: RedisStore) -> None:
            started = time.perf_counter()
            for _ in range(100):
                assert not await store.find(KEY)
                assert await put(store, body=LARGE, piece=65536) is None
            assert time.perf_counter() - started < 1
            await store.drop(KEY, entry())
            store.add_form(KEY, entry(), b"gzip", b"")
            assert await store.purge(Purge(Scope.ALL)) == 0
            assert not await store.renew(KEY, entry(), entry(), store.mark())
            server.start()
            async with asyncio.timeout(PATIENCE):
                while not store.is_current:
                    await asyncio.sleep(0)  # what comes in the first moment counts
            assert await put(store) is not None, "the purge that waited is later than the mark of an answer after it"
            assert await bodies(store) == [b"body"]

        on(server, work)


def test_a_node_of_a_cluster_that_is_away_takes_only_its_own_keys_with_it():
    with redis_cluster() as cluster:
        address = RedisAddress(Form.CLUSTER, tuple(Endpoint("127.0.0.1", node.port) for node in cluster.nodes))

        async def work(store: RedisStore) -> None:
            keys = [b"https://test/%d GET" % number for number in range(60)]
            for key in keys:
                await put(store, key)
            logs = store.redis.node(b"gw:{purges}").endpoint.port
            away = next(node for node in cluster.nodes if node.port != logs)
            gone = [key for key in keys if store.redis.node(Names(b"gw:", key).mark).endpoint.port == away.port]
            away.kill()

            async def is_left_alone() -> bool:
                return all([not await store.find(key) for key in gone]) and store.is_current

            await until(is_left_alone)
            there = [bool(await store.find(key)) for key in keys]
            assert there == [key not in gone for key in keys]

        on(address, work)


def test_what_redis_says_of_a_command_is_no_reason_to_leave_it(server: RedisServer):
    async def work(store: RedisStore) -> None:
        await store.redis.ask(b"k", [command(b"NOSUCH")])
        assert store.redis.node(KEY).is_open

    on(server, work)
