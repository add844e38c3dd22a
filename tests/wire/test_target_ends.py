"""A target's connections at the edges of their lives: answers that come early, and a target that stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.deadlines import Deadlines
from gateway.errors import ConnectionLimitReached, ConnectionTerminated, Reach, TargetError
from gateway.exchange import Exchange
from gateway.rfc.message import CHUNKED
from gateway.upstream.address import Address
from gateway.upstream.answer import Answer
from gateway.upstream.sink import Outgoing, Timeouts
from gateway.upstream.target import Target, TargetLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = (b"host", b"test")
EARLY = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly"
GET = Exchange(b"GET", b"/", None, [])


class Deaf(asyncio.Protocol):
    """An origin that reads nothing, and answers when it is told to."""

    def __init__(self) -> None:
        self.connections: list[asyncio.Transport] = []

    def __call__(self) -> Deaf:
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self.connections.append(transport)


@asynccontextmanager
async def target(limits: TargetLimits | None = None) -> AsyncIterator[tuple[Target, Deaf]]:
    loop = asyncio.get_running_loop()
    deaf = Deaf()
    server = await loop.create_server(deaf, "127.0.0.1", 0)
    deadlines = Deadlines(loop)
    found = Target(Address(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), deadlines, limits=limits)
    try:
        yield found, deaf
    finally:
        await found.stop()
        for transport in deaf.connections:
            transport.abort()
        server.close()
        deadlines.close()


def post(length: int) -> Outgoing:
    return Outgoing(b"POST", b"/", [HOST, (b"transfer-encoding", b"chunked")], length, Timeouts())


def test_a_connection_with_a_request_still_to_be_sent_serves_no_other():
    async def work() -> None:
        async with target() as (found, deaf):
            link = await found.connect(3, 5)
            answer = Answer(link)
            link.send(post(CHUNKED), answer)
            link.send_body(bytes(65536))
            while not link.transport.get_write_buffer_size():
                link.send_body(bytes(65536))
            link.end_body()
            deaf.connections[0].write(EARLY)
            assert (await answer.wait_head()).status == 200
            assert await answer.next_chunk() == b"early"
            assert found.take(GET) is None

    asyncio.run(work())


def test_a_connection_whose_request_was_sent_whole_serves_others():
    async def work() -> None:
        async with target() as (found, deaf):
            link = await found.connect(3, 5)
            answer = Answer(link)
            link.send(post(CHUNKED), answer)
            link.send_body(b"short")
            link.end_body()
            deaf.connections[0].write(EARLY)
            assert (await answer.wait_head()).status == 200
            assert found.take(GET) is link

    asyncio.run(work())


def test_a_target_that_has_stopped_makes_no_connection_any_more():
    async def work() -> None:
        async with target() as (found, deaf):
            link = await found.connect(3, 5)
            answer = Answer(link)
            link.send(Outgoing(b"GET", b"/", [HOST], 0, Timeouts()), answer)
            await found.stop()
            with pytest.raises(ConnectionTerminated):
                await answer.wait_head()
            with pytest.raises(TargetError):  # where the request is repeated
                await found.connect(3, 5)
            assert found.open == len(found.connections)
            assert len(deaf.connections) == 1

    asyncio.run(work())


def test_who_waits_for_a_connection_is_told_when_the_target_stops():
    async def work() -> None:
        async with target(TargetLimits(max_connections=1)) as (found, deaf):
            await found.connect(3, 5)
            waiting = asyncio.create_task(found.connect(3, 60))
            await asyncio.sleep(0)
            await found.stop()
            with pytest.raises(ConnectionLimitReached) as raised:
                await asyncio.wait_for(waiting, 5)
            assert raised.value.reach is Reach.UNSENT
            await asyncio.sleep(0)
            assert (found.open, len(deaf.connections)) == (0, 1)

    asyncio.run(work())


def test_a_connection_that_came_free_before_anybody_waited_is_not_waited_for():
    """Whoever looked for it while it was busy asks for one in the next turn of the loop, and nobody gives it back again."""

    async def work() -> None:
        async with target(TargetLimits(max_connections=1)) as (found, deaf):
            link = await found.connect(3, 5)
            asking = asyncio.create_task(found.connect(3, 60))
            link.give_back()
            assert await asyncio.wait_for(asking, 5) is link
            assert (found.open, len(deaf.connections)) == (1, 1)

    asyncio.run(work())
