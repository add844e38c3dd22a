"""A client that leaves stops its work at once, and takes nothing with it that others need."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.upstream.transport import target_client
from support.client import Client, connected, get
from support.origin import Step, Visit, hang, respond
from support.serving import Pair, in_front, on_both

if TYPE_CHECKING:
    from pathlib import Path

    from support.serving import Entrance


def leave(client: Client) -> None:
    """Close with a reset, as a process that is killed with unread bytes does."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def close(client: Client) -> None:
    client.sock.close()


ways = pytest.mark.parametrize("go", [close, leave])


def at_rest(pair: Pair) -> None:
    target = pair.gateway.target()
    pair.gateway.until(lambda: (target.in_flight, target.open) == (0, 0))


@on_both
@ways
def test_one_who_waits_for_a_head(entrance: Entrance, go: object) -> None:
    with in_front(entrance, hang()) as pair, connected(pair.port) as client:
        client.request()
        pair.origin.wait("hanging")
        go(client)  # type: ignore[operator]
        pair.origin.wait("hanging gone")
        at_rest(pair)


def streaming(*, then: bytes = b"") -> Step:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n" + then)
        await visit.closed()
        visit.server.event("gone").set()

    return step


@on_both
@ways
def test_one_who_reads_a_stream(entrance: Entrance, go: object) -> None:
    with in_front(entrance, streaming()) as pair, connected(pair.port) as client:
        client.request()
        client.read_head()
        assert client.read_chunk() == b"ab"
        go(client)  # type: ignore[operator]
        pair.origin.wait("gone")
        at_rest(pair)


@on_both
@ways
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_one_who_sends_a_body(entrance: Entrance, go: object, framing: str) -> None:
    async def step(visit: Visit) -> None:
        visit.server.event("came").set()
        await visit.read_body()
        visit.server.event("gone").set()

    with in_front(entrance, step) as pair, connected(pair.port) as client:
        client.request("/", framing, method="POST")
        client.send(b"5\r\nhello\r\n")
        pair.origin.wait("came")
        go(client)  # type: ignore[operator]
        pair.origin.wait("gone")
        assert not pair.origin.requests[0].complete, "a body that is cut off never looks whole"
        at_rest(pair)


@on_both
@ways
def test_one_who_waits_for_a_connection(entrance: Entrance, go: object) -> None:
    with in_front(entrance, hang(), max_connections=1, timeouts={"pool": "1m"}) as pair:
        target = pair.gateway.target()
        with connected(pair.port) as first:
            first.request("/first")
            pair.origin.wait("hanging")
            with connected(pair.port) as second:
                second.request("/second")
                pair.gateway.until(lambda: len(target._waiting) == 1)
                go(second)  # type: ignore[operator]
            pair.gateway.until(lambda: target.in_flight == 1)
            assert len(target._waiting) == 0
        at_rest(pair)
        assert [request.target for request in pair.origin.requests] == [b"/first"]


@on_both
def test_a_client_that_has_sent_all_may_close_its_half(entrance: Entrance) -> None:
    """It has said that it will ask no more, so its end of input is no farewell."""

    async def step(visit: Visit) -> None:
        visit.server.event("came").set()
        await visit.server.waited("closed")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf")

    with in_front(entrance, step) as pair:
        pair_needs_http1(pair)
        with connected(pair.port) as client:
            client.request("/", "Connection: close")
            pair.origin.wait("came")
            client.finish()
            pair.origin.event("closed").set()
            answer = client.read()
            assert (answer.status, answer.body) == (200, b"half")
            assert client.closed()


def pair_needs_http1(pair: Pair) -> None:
    pair.needs_http1("uvicorn drops a client that closes its half")


# ---------------------------------------------------------------- many at once

WAVES, CLIENTS, PLACES = 5, 100, 10


def every_other() -> Step:
    """Some requests are answered at once, some never: the path says which."""

    async def step(visit: Visit) -> None:
        if visit.request.target.startswith(b"/hang"):
            await hang()(visit)
        else:
            await respond(200, b"ok")(visit)

    return step


@on_both
def test_a_storm_of_clients_that_leave_takes_no_place_for_good(entrance: Entrance) -> None:
    options = {"max_connections": PLACES, "timeouts": {"pool": "1m", "first_byte": "1m"}}
    with in_front(entrance, every_other(), **options) as pair:
        target = pair.gateway.target()
        for wave in range(WAVES):
            with ExitStack() as stack:
                clients = [stack.enter_context(connected(pair.port)) for _ in range(CLIENTS)]
                for number, client in enumerate(clients):
                    is_lost = wave % 2 or number % 3
                    client.request("/hang" if is_lost else "/answer", method="POST" if number % 5 == 0 else "GET", body=b"x")
                    if number % 2 and not wave % 2:
                        leave(client)
                if wave % 2:
                    pair.gateway.until(lambda: len(target._waiting) == CLIENTS - PLACES)
        for number in range(10):
            answer = get(pair.port, f"/after/{number}")
            assert (answer.status, answer.body) == (200, b"ok")
        pair.gateway.until(lambda: target.in_flight == 0)
        assert len(target._waiting) == 0
        pair.gateway.until(lambda: target.open == len(target._idle) <= PLACES)
        assert len(target.connections) == target.open


@on_both
def test_a_storm_of_cancelled_tasks_takes_no_place_of_the_httpx_client(entrance: Entrance) -> None:
    import asyncio

    with in_front(entrance, every_other(), max_connections=PLACES) as pair:
        target = pair.gateway.target()

        async def storm() -> list[int]:
            async with target_client(target) as client:
                for wave in range(WAVES):
                    tasks = [
                        asyncio.ensure_future(client.get("/hang" if number % 3 else "/answer", timeout=60))
                        for number in range(CLIENTS)
                    ]
                    for _ in range(wave * 20):
                        await asyncio.sleep(0)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                answers = await asyncio.gather(*(client.get(f"/after/{number}") for number in range(2 * PLACES)))
                return [answer.status_code for answer in answers]

        assert pair.gateway.run(storm()) == [200] * 2 * PLACES
        pair.gateway.until(lambda: target.open == len(target._idle) <= PLACES)
        assert len(target._waiting) == 0
        assert get(pair.port, "/through/the/gateway").status == httpx.codes.OK


@on_both
def test_a_client_that_left_is_in_the_log(entrance: Entrance, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with in_front(entrance, hang(), access_log={"format": "json", "path": str(path)}) as pair, connected(pair.port) as client:
        client.request("/left?x=1")
        pair.origin.wait("hanging")
        client.sock.close()
        pair.origin.wait("hanging gone")
    (line,) = (json.loads(text) for text in path.read_text().splitlines())
    assert (line["path"], line["status"], line["error"]) == ("/left?x=1", 499, "connection_terminated")
    assert line["bytes_out"] == 0
