"""Writes that wait for the end of the event loop's turn."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from gateway.deadlines import Deadlines
from gateway.outlet import AT_ONCE, COPIED, Outlet, Turn
from gateway.upstream.address import Address
from gateway.upstream.answer import Answer
from gateway.upstream.connection import Connection
from gateway.upstream.sink import Sent, Timeouts
from gateway.upstream.target import Target
from support.client import connected
from support.serving import PATIENCE, forwarding, gateway, held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"


@asynccontextmanager
async def outlet() -> AsyncIterator[tuple[Outlet, socket.socket]]:
    """One, and a socket that reads what it has written, without waiting."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        try:
            yield Outlet(transport, Turn(loop)), theirs
        finally:
            transport.abort()
            await asyncio.sleep(0)


def read(sock: socket.socket) -> bytes | None:
    """What is there by now; None where nothing is."""
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return None


async def turns() -> None:
    """What was asked for in this turn is done."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_what_waits_is_written_when_the_turn_is_over():
    async def work() -> None:
        async with outlet() as (out, client):
            out.write_soon(b"head ")
            out.write_soon(b"body")
            assert out.get_write_buffer_size() == 9
            assert read(client) is None
            await turns()
            assert read(client) == b"head body"
            assert out.get_write_buffer_size() == 0

    asyncio.run(work())


def test_what_waits_goes_before_all_that_is_written_at_once():
    async def work() -> None:
        async with outlet() as (out, client):
            out.write_soon(b"1 ")
            out.write(b"2 ")
            out.write_soon(b"3 ")
            out.writelines((b"4 ", b"5 "))
            out.write_soon(b"6 ")
            out.write(b"7" * COPIED)
            out.write_soon(b" 8 ")
            out.write_soon(b"9" * COPIED)
            out.write_soon(b" 10 ")
            assert read(client) == b"1 2 3 4 5 6 " + b"7" * COPIED + b" 8 " + b"9" * COPIED
            out.write(b"11")
            assert read(client) == b" 10 11"
            await turns()
            assert read(client) is None, "and once"

    asyncio.run(work())


def test_what_is_long_waits_too():
    async def work() -> None:
        async with outlet() as (out, client):
            out.write_soon(b"x" * COPIED)
            assert out.waits
            assert read(client) is None
            await turns()
            assert read(client) == b"x" * COPIED
            assert not out.waits
            out.write_soon(b"head ")
            out.write_soon(b"y" * COPIED)
            assert out.get_write_buffer_size() == COPIED + 5
            await turns()
            assert read(client) == b"head " + b"y" * COPIED

    asyncio.run(work())


def test_many_do_not_wait_for_the_end_of_a_long_turn():
    async def work() -> None:
        async with outlet() as (out, client), outlet() as (other, _):
            out.write_soon(b"first")
            for _number in range(AT_ONCE - 1):
                Outlet(other.raw, out._turn).write_soon(b"x")
            assert read(client) is None
            last = Outlet(other.raw, out._turn)
            last.write_soon(b"y")
            assert read(client) == b"first"
            assert last.waits
            await turns()
            assert not last.waits

    asyncio.run(work())


def test_closing_sends_what_waits():
    async def work() -> None:
        async with outlet() as (out, client):
            out.write_soon(b"last")
            out.write_eof()
            assert read(client) == b"last"
            assert read(client) == b""
        async with outlet() as (out, client):
            out.write_soon(b"last")
            out.close()
            assert read(client) == b"last"

    asyncio.run(work())


@pytest.mark.parametrize("end", [Outlet.abort, lambda out: out.raw.close()], ids=["aborted", "closed by itself"])
def test_what_waits_for_a_connection_that_is_no_more_is_dropped(end: Callable[[Outlet], None]):
    async def work() -> None:
        async with outlet() as (out, client):
            out.write_soon(b"never")
            end(out)
            await turns()
            assert read(client) == b""

    asyncio.run(work())


def test_one_that_can_not_be_written_to_stops_no_other():
    async def work() -> None:
        told: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
        async with outlet() as (out, client), outlet() as (other, _):
            ended = Outlet(other.raw, out._turn)
            ended.raw.write_eof()
            ended.write_soon(b"never")
            out.write_soon(b"here")
            await turns()
            assert read(client) == b"here"
        assert [str(context["message"]) for context in told] == ["writing failed"]

    asyncio.run(work())


@pytest.mark.parametrize(("method", "is_sent_at_once"), [(b"POST", True), (b"PATCH", True), (b"GET", False), (b"PUT", False)])
def test_what_can_not_be_sent_again_does_not_wait(method: bytes, is_sent_at_once: bool):
    """Its target may close the connection at any moment, and then it would be lost."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop)
        connection = Connection(Target(Address("http://127.0.0.1:1"), deadlines), deadlines)
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            await loop.create_connection(lambda: cast("asyncio.Protocol", connection), sock=ours)
            request = Sent(method, 0, Timeouts())
            connection.send_made(b"request", request, Answer(connection), whole=True, now=deadlines.now())
            assert (read(theirs) is not None) is is_sent_at_once
            await turns()
            assert read(theirs) == (None if is_sent_at_once else b"request")
            connection.abort()
            await asyncio.sleep(0)
        deadlines.close()

    asyncio.run(work())


def test_bytes_that_came_before_the_request_went_out_are_not_its_answer():
    """Both are there when the gateway looks again: the request and, on the connection that it is to take, an answer to
    nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with gateway(forwarding(url)) as front, connected(front.port) as client:
            client.request("/first")
            stale, _ = listener.accept()
            with stale:
                stale.settimeout(PATIENCE)
                assert stale.recv(4096).startswith(b"GET /first ")
                stale.sendall(ANSWER % (5, b"first"))
                assert client.read().body == b"first"
                with held(front):
                    client.request("/second")
                    stale.sendall(ANSWER % (5, b"stale"))
                fresh, _ = listener.accept()
                with fresh:
                    fresh.settimeout(PATIENCE)
                    assert fresh.recv(4096).startswith(b"GET /second ")
                    fresh.sendall(ANSWER % (5, b"fresh"))
                    assert client.read().body == b"fresh"
                assert stale.recv(4096) == b"", "and nothing was sent there"
