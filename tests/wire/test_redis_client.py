"""Our way to Redis, with real servers: batched, bounded, and never in the way."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.redis.address import Endpoint, Form, RedisAddress
from gateway.redis.client import Redis
from gateway.redis.link import Away, Link
from gateway.redis.resp import ErrorReply, command
from gateway.redis.script import Script
from gateway.redis.subscriber import Subscriber
from support.redis import RedisServer, free_ports, redis_cluster, redis_sentinel, redis_server, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

BOUND = 0.05
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


def address(*ports: int, form: Form = Form.SINGLE, **options: object) -> RedisAddress:
    return RedisAddress(form, tuple(Endpoint("127.0.0.1", port) for port in ports), **options)  # type: ignore[arg-type]


@asynccontextmanager
async def connected(where: RedisAddress, bound: float = BOUND) -> AsyncIterator[Redis]:
    redis = Redis(where, bound)
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


async def answers(redis: Redis, key: bytes = b"k") -> bool:
    try:
        await redis.ask(key, [command(b"GET", key)])
    except Away:
        return False
    return True


async def until_it_answers(redis: Redis, key: bytes = b"k") -> None:
    async with asyncio.timeout(PATIENCE):
        while not await answers(redis, key):
            await asyncio.sleep(0.002)


def test_several_commands_are_one_round_trip(server: RedisServer):
    async def main() -> None:
        async with connected(address(server.port)) as redis:
            replies = await redis.ask(b"k", [command(b"SET", b"k", b"v"), command(b"GET", b"k"), command(b"INCR", b"n")])
            assert replies == [b"OK", b"v", 1]

    asyncio.run(main())


def test_the_commands_of_one_loop_turn_are_one_write(server: RedisServer):
    async def main() -> None:
        async with connected(address(server.port)) as redis:
            link = redis.node(b"k").quick
            assert link is not None
            writes: list[bytes] = []
            transport = link.transport

            class Counting:
                def write(self, data: bytes) -> None:
                    writes.append(data)
                    transport.write(data)

            link.transport = Counting()  # type: ignore[assignment]
            replies = await asyncio.gather(*(redis.ask(b"k", [command(b"ECHO", b"%d" % number)]) for number in range(50)))
            link.transport = transport
            assert replies == [[b"%d" % number] for number in range(50)]
            assert len(writes) == 1

    asyncio.run(main())


def test_what_a_command_did_wrong_is_a_value(server: RedisServer):
    async def main() -> None:
        async with connected(address(server.port)) as redis:
            wrong, right = await redis.ask(b"k", [command(b"NOSUCH"), command(b"PING")])
            assert isinstance(wrong, ErrorReply)
            assert wrong.code == b"ERR"
            assert right == b"PONG"

    asyncio.run(main())


def test_a_script_is_taught_once_and_then_called_by_name(server: RedisServer):
    script = Script("return {KEYS[1], ARGV[1]}")

    async def main() -> None:
        async with connected(address(server.port)) as redis:
            assert await redis.run(script, [b"k"], b"one") == [b"k", b"one"]
            assert await redis.run(script, [b"k"], 2) == [b"k", b"2"]

    asyncio.run(main())
    with server.client() as asked:
        stats = asked.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] == 1


def test_credentials_and_database_are_those_of_the_address():
    with redis_server("--requirepass", "wonder") as server:

        async def main() -> None:
            async with connected(address(server.port, password="wonder", database=3)) as redis:
                await redis.ask(b"k", [command(b"SET", b"k", b"v")])
            async with connected(address(server.port, password="wrong")) as redis:
                assert not await answers(redis)

        asyncio.run(main())
        with server.client(password="wonder", db=3) as asked:
            assert asked.get("k") == b"v"


def test_a_wrong_password_is_told_without_it(caplog: pytest.LogCaptureFixture):
    with redis_server("--requirepass", "wonder") as server:

        async def main() -> None:
            async with connected(address(server.port, username="someone", password="secret1")):
                pass

        asyncio.run(main())
    assert "redis is away" in caplog.text
    told = "".join(str(vars(record)) for record in caplog.records)
    assert "WRONGPASS" in told
    assert "secret1" not in told
    assert "secret1" not in repr(address(1, password="secret1"))


def test_a_redis_that_repeats_what_it_does_not_know_does_not_bring_the_password_into_the_log(caplog: pytest.LogCaptureFixture):
    with redis_server("--rename-command", "AUTH", "LOGIN") as server:

        async def main() -> None:
            async with connected(address(server.port, password="secret1")):
                pass

        asyncio.run(main())
    assert "redis is away" in caplog.text
    assert "secret1" not in "".join(str(vars(record)) for record in caplog.records)


def test_nobody_at_the_address_costs_a_request_nothing():
    with redis_server() as server:
        server.kill()

        async def main() -> None:
            async with connected(address(server.port)) as redis:
                started = time.perf_counter()
                assert not await answers(redis)
                assert time.perf_counter() - started < BOUND
                server.start()
                await until_it_answers(redis)

        asyncio.run(main())


def test_a_frozen_redis_costs_its_bound_once_and_comes_back():
    with redis_server() as server:

        async def main() -> None:
            async with connected(address(server.port)) as redis:
                assert await answers(redis)
                server.freeze()
                started = time.perf_counter()
                assert await asyncio.gather(*(answers(redis) for _ in range(20))) == [False] * 20
                first = time.perf_counter() - started
                started = time.perf_counter()
                for _ in range(1000):
                    assert not await answers(redis)
                rest = time.perf_counter() - started
                server.thaw()
                await until_it_answers(redis)
                assert BOUND <= first < 10 * BOUND
                assert rest < 10 * BOUND

        asyncio.run(main())


def test_a_killed_redis_fails_those_who_wait_at_once():
    with redis_server() as server:

        async def main() -> None:
            async with connected(address(server.port), bound=PATIENCE) as redis:
                waiting = asyncio.create_task(redis.ask(b"k", [command(b"BLPOP", b"nothing", 0)]))
                await asyncio.sleep(0)
                server.kill()
                with pytest.raises(Away):
                    await waiting

        asyncio.run(main())


def test_a_loop_that_stood_still_is_not_held_against_redis(server: RedisServer):
    async def main() -> None:
        async with connected(address(server.port)) as redis:
            waiting = asyncio.create_task(redis.ask(b"k", [command(b"PING")]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(4 * BOUND)  # noqa: ASYNC251  # this is what it is about
            assert await waiting == [b"PONG"]
            assert redis.node(b"k").breaker.opened == 0

    asyncio.run(main())


def test_a_client_that_leaves_does_not_shift_the_replies(server: RedisServer):
    async def main() -> None:
        async with connected(address(server.port)) as redis:
            asked = [asyncio.create_task(redis.ask(b"k", [command(b"ECHO", b"%d" % number)])) for number in range(10)]
            await asyncio.sleep(0)
            for task in asked[::2]:
                task.cancel()
            assert [await task for task in asked[1::2]] == [[b"%d" % number] for number in range(1, 10, 2)]
            assert await redis.ask(b"k", [command(b"ECHO", b"after")]) == [b"after"]

    asyncio.run(main())


def test_who_is_no_redis_is_left_alone():
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n")
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        stranger = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with stranger, connected(address(stranger.sockets[0].getsockname()[1])) as redis:
            assert not await answers(redis)

    asyncio.run(main())


def test_a_replica_is_left_until_it_is_a_master_again(server: RedisServer):
    async def main() -> None:
        async with connected(address(server.port)) as redis:
            with server.client() as asked:
                asked.replicaof("127.0.0.1", "1")
            with pytest.raises(Away):
                await redis.ask(b"k", [command(b"SET", b"k", b"v")])
            with server.client() as asked:
                asked.replicaof("no", "one")
            await eventually(lambda: redis.node(b"k").is_open)
            assert await redis.ask(b"k", [command(b"SET", b"k", b"v")]) == [b"OK"]

    asyncio.run(main())


# ---------------------------------------------------------------- being told


class Heard:
    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.joined = 0
        self.left = 0

    async def join(self) -> None:
        self.joined += 1

    def leave(self) -> None:
        self.left += 1


@asynccontextmanager
async def listening(redis: Redis, heard: Heard) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber(redis, b"news", heard.said.append, heard.join, heard.leave)
    await subscriber.start()
    try:
        yield subscriber
    finally:
        await subscriber.stop()


def test_a_subscriber_is_told_and_says_when_it_was_away(server: RedisServer):
    async def main() -> None:
        heard = Heard()
        async with connected(address(server.port)) as redis, listening(redis, heard) as subscriber:
            assert subscriber.is_listening
            await redis.ask(b"k", [command(b"PUBLISH", b"news", b"one")])
            await eventually(lambda: heard.said == [b"one"])
            with server.client() as asked:
                asked.client_kill_filter(_type="pubsub")
            await eventually(lambda: heard.left == 1 and heard.joined == 2 and subscriber.is_listening)
            await redis.ask(b"k", [command(b"PUBLISH", b"news", b"two")])
            await eventually(lambda: heard.said == [b"one", b"two"])

    asyncio.run(main())


def test_a_subscriber_is_there_as_soon_as_redis_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.redis.subscriber.FIRST_PAUSE", 2 * PATIENCE)
    with redis_server() as server:

        async def main() -> None:
            heard = Heard()
            async with connected(address(server.port)) as redis, listening(redis, heard) as subscriber:
                server.kill()
                await eventually(lambda: heard.left == 1)
                await asyncio.to_thread(server.start)
                await eventually(lambda: subscriber.is_listening)

        asyncio.run(main())


def test_a_subscription_that_has_gone_silent_is_given_up():
    with redis_server() as server:

        async def main() -> None:
            heard = Heard()
            async with connected(address(server.port)) as redis, listening(redis, heard):
                server.freeze()
                await eventually(lambda: heard.left == 1)
                server.thaw()
                await eventually(lambda: heard.joined == 2)

        asyncio.run(main())


def test_a_loop_that_stood_still_is_no_reason_to_end_a_subscription(server: RedisServer):
    async def main() -> None:
        heard = Heard()
        async with connected(address(server.port)) as redis, listening(redis, heard):
            for _ in range(3):
                await asyncio.sleep(0.01)
                time.sleep(1.2)  # noqa: ASYNC251  # this is what it is about
            await redis.ask(b"k", [command(b"PUBLISH", b"news", b"one")])
            await eventually(lambda: heard.said == [b"one"])
            assert (heard.joined, heard.left) == (1, 0)

    asyncio.run(main())


def test_a_channel_can_be_listened_to_for_a_while(server: RedisServer):
    async def main() -> None:
        heard = Heard()
        async with connected(address(server.port)) as redis, listening(redis, heard) as subscriber:
            first = await subscriber.expect(b"done")
            second = await subscriber.expect(b"done")
            assert first is not None
            assert second is not None
            subscriber.forget(b"done", second)
            await redis.ask(b"k", [command(b"PUBLISH", b"done", b"")])
            await asyncio.wait_for(first, PATIENCE)
            assert not second.done()
            subscriber.forget(b"done", first)
            with server.client() as asked:
                async with asyncio.timeout(PATIENCE):
                    while asked.pubsub_channels("done"):
                        await asyncio.sleep(0.002)

    asyncio.run(main())


def test_a_subscriber_that_is_dropped_before_it_was_let_in_tries_again():
    async def main() -> None:
        asked: asyncio.Queue[None] = asyncio.Queue()
        served: list[asyncio.Task[None] | None] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.current_task())
            while data := await reader.read(65536):
                if b"SUBSCRIBE" in data:
                    asked.put_nowait(None)  # and nothing is said
                else:
                    writer.write(b"+PONG\r\n")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, connected(address(server.sockets[0].getsockname()[1])) as redis:
            heard = Heard()
            subscriber = Subscriber(redis, b"news", heard.said.append, heard.join, heard.leave)
            starting = asyncio.create_task(subscriber.start())
            async with asyncio.timeout(PATIENCE):
                await asked.get()
                subscriber.drop()
                await asked.get()
                await starting
            await subscriber.stop()
        await asyncio.gather(*(one for one in served if one is not None), return_exceptions=True)

    asyncio.run(main())


def test_who_listens_for_a_while_is_woken_when_redis_goes():
    with redis_server() as server:

        async def main() -> None:
            heard = Heard()
            async with connected(address(server.port)) as redis, listening(redis, heard) as subscriber:
                waiting = await subscriber.expect(b"done")
                assert waiting is not None
                server.kill()
                await asyncio.wait_for(waiting, PATIENCE)
                await eventually(lambda: not subscriber.is_listening)
                assert await subscriber.expect(b"done") is None

        asyncio.run(main())


# ---------------------------------------------------------------- Sentinel and Cluster


def test_sentinels_name_the_master_and_the_next_one():
    with redis_sentinel() as found:

        async def main() -> None:
            where = address(found.sentinel.port, form=Form.SENTINEL, service="main")
            async with connected(where) as redis:
                assert await redis.ask(b"k", [command(b"SET", b"k", b"v")]) == [b"OK"]
                before = found.master()
                before.kill()
                async with asyncio.timeout(PATIENCE):
                    while True:
                        try:
                            await redis.ask(b"k", [command(b"SET", b"k", b"w")])
                            break
                        except Away:
                            await asyncio.sleep(0.01)
                assert redis.node(b"k").endpoint.port != before.port

        asyncio.run(main())


def test_a_cluster_is_spoken_to_by_slots_and_a_killed_node_hurts_no_other():
    keys = [b"{%d}" % number for number in range(100)]
    with redis_cluster() as cluster:

        async def main() -> None:
            async with connected(address(cluster.nodes[0].port, form=Form.CLUSTER)) as redis:
                for key in keys:
                    assert await redis.ask(key, [command(b"SET", key, b"v"), command(b"GET", key)]) == [b"OK", b"v"]
                assert {redis.node(key).endpoint.port for key in keys} == {node.port for node in cluster.nodes}
                cluster.nodes[1].kill()
                async with asyncio.timeout(PATIENCE):
                    while redis.node(next(key for key in keys if redis.node(key).endpoint.port == cluster.nodes[1].port)).is_open:
                        await asyncio.sleep(0.002)
                there = [await answers(redis, key) for key in keys]
                assert there == [redis.node(key).endpoint.port != cluster.nodes[1].port for key in keys]

        asyncio.run(main())


def test_a_node_that_has_forgotten_the_cluster_is_not_believed():
    """Such as one that comes back without its disk, after another has taken its place."""
    with redis_cluster() as cluster:
        for node in cluster.nodes:
            node.raw("CONFIG", "SET", "cluster-require-full-coverage", "no")
        forgetful, *others = cluster.nodes
        forgetful.raw("CLUSTER", "RESET", "HARD")

        async def main() -> None:
            async with connected(address(*(node.port for node in cluster.nodes), form=Form.CLUSTER)) as redis:
                for key in (b"{%d}" % number for number in range(100)):
                    if cluster.owner(key.decode()) in others:
                        assert await redis.ask(key, [command(b"SET", key, b"v")]) == [b"OK"]

        asyncio.run(main())


def test_a_key_that_has_moved_is_followed():
    with redis_cluster() as cluster:

        async def main() -> None:
            async with connected(address(cluster.nodes[0].port, form=Form.CLUSTER)) as redis:
                here = redis.node(b"{k}")
                there = next(node for node in cluster.nodes if node.port != here.endpoint.port)
                name = there.raw("CLUSTER", "MYID").decode()
                slot = str(there.raw("CLUSTER", "KEYSLOT", "{k}"))
                for node in cluster.nodes:
                    node.raw("CLUSTER", "SETSLOT", slot, "NODE", name)
                assert await redis.ask(b"{k}", [command(b"SET", b"{k}", b"v"), command(b"GET", b"{k}")]) == [b"OK", b"v"]
                await eventually(lambda: redis.node(b"{k}").endpoint.port == there.port)

        asyncio.run(main())


def test_a_node_that_is_new_and_does_not_answer_is_waited_for_no_longer_than_any_other():
    with redis_cluster(size=1) as cluster, redis_server("--cluster-enabled", "yes") as new:
        (node,) = cluster.nodes
        node.raw("CLUSTER", "MEET", "127.0.0.1", str(new.port))
        name = new.raw("CLUSTER", "MYID")
        until(lambda: name in node.raw("CLUSTER", "NODES"))

        async def main() -> None:
            async with connected(address(node.port, form=Form.CLUSTER)) as redis:
                assert await answers(redis)
                new.freeze()
                node.raw("CLUSTER", "SETSLOT", str(node.raw("CLUSTER", "KEYSLOT", "k")), "NODE", name.decode())
                started = time.perf_counter()
                assert not await answers(redis)
                assert time.perf_counter() - started < 0.5

        asyncio.run(main())


# ---------------------------------------------------------------- other ways to a server


def test_over_tls_the_server_shows_a_certificate_that_is_trusted(tmp_path: Path):
    authority, stranger = trustme.CA(), trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / name for name in ("cert", "key", "ca", "other")}
    pair.cert_chain_pems[0].write_to_path(files["cert"])
    pair.private_key_pem.write_to_path(files["key"])
    authority.cert_pem.write_to_path(files["ca"])
    stranger.cert_pem.write_to_path(files["other"])
    _, port = free_ports(2)  # the first is for the plain one
    options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(files["ca"])]
    with redis_server(*options, "--tls-cert-file", str(files["cert"]), "--tls-key-file", str(files["key"])):

        async def main() -> None:
            async with connected(address(port, tls=True, ca=str(files["ca"])), bound=0.5) as redis:
                assert await redis.ask(b"k", [command(b"SET", b"k", b"v"), command(b"GET", b"k")]) == [b"OK", b"v"]
            async with connected(address(port, tls=True, ca=str(files["other"])), bound=0.5) as redis:
                assert not await answers(redis)
            async with connected(address(port), bound=0.5) as redis:
                assert not await answers(redis)

        asyncio.run(main())


def test_a_unix_socket_is_a_server_too(tmp_path: Path):
    path = str(tmp_path / "redis.sock")
    with redis_server("--unixsocket", path):

        async def main() -> None:
            async with connected(RedisAddress(Form.SINGLE, (Endpoint("", 0, path),))) as redis:
                assert await redis.ask(b"k", [command(b"SET", b"k", b"v"), command(b"GET", b"k")]) == [b"OK", b"v"]

        asyncio.run(main())


def test_a_link_that_ended_takes_no_more():
    async def main() -> None:
        lost: list[Link] = []
        link = Link(asyncio.get_running_loop(), BOUND, lost.append)
        with pytest.raises(Away):
            await link.send(command(b"PING"), 1)

    asyncio.run(main())
