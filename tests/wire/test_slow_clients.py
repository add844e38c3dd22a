"""Clients that take their time get so much and no more; those that only are slow are served."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from support.client import Client, connected
from support.origin import Visit, echo, raw
from support.serving import Entrance, forwarding, gateway, in_front, on_both

# ASGI under plain uvicorn has no deadlines for clients: what runs into one is for our own protocol class.

SHORT = {"timeouts": {"header": "200ms", "body_idle": "200ms", "keepalive": "200ms", "write_idle": "300ms"}}
PATIENT = {**SHORT, "limits": {"min_body_rate": "0B"}}
HALF_A_SECOND = {"timeouts": {"body_idle": "500ms"}}
TWO_SECONDS = {"timeouts": {"body_idle": "2s"}}


def test_half_a_head_is_waited_for_in_vain() -> None:
    with in_front("express", server=SHORT) as pair, connected(pair.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: te")
        answer = client.read()
        assert answer.status == 408
        assert client.closed()
        assert not pair.origin.requests


def test_a_head_that_drips_has_one_deadline_for_all_of_it() -> None:
    answered = threading.Event()

    with in_front("express", server=SHORT) as pair, connected(pair.port) as client:

        def drip() -> None:
            client.send(b"GET / HTTP/1.1\r\nX-Long: ")
            while not answered.wait(0.02):  # the drip itself is what is tested
                client.send(b"a")

        sender = threading.Thread(target=drip)
        sender.start()
        answer = client.read()
        answered.set()
        sender.join()
        assert answer.status == 408


def test_a_client_that_says_nothing_is_closed_without_an_answer() -> None:
    with in_front("express", server=SHORT) as pair, connected(pair.port) as client:
        assert client.closed()


def test_an_idle_connection_is_closed_without_an_answer() -> None:
    with in_front("express", server=SHORT) as pair, connected(pair.port) as client:
        assert client.get().status == 200
        assert client.closed()


def test_a_body_that_stops_is_408() -> None:
    async def step(visit: Visit) -> None:
        await visit.read_body()
        visit.server.event("over").set()

    with in_front("express", step, server=SHORT) as pair, connected(pair.port) as client:
        client.request("/", "Content-Length: 10", method="POST")
        client.send(b"hello")
        assert client.read().status == 408
        assert client.closed()
        pair.origin.wait("over")
        assert not pair.origin.requests[0].complete


@on_both
def test_a_body_that_only_is_slow_goes_on(entrance: Entrance) -> None:
    """Each piece has its own deadline, and the target's clocks do not run while the client's turn lasts."""
    with in_front(entrance, echo(), server=PATIENT, timeouts={"write": "150ms", "first_byte": "150ms"}) as pair, connected(pair.port) as client:
        client.request("/", "Content-Length: 5", method="POST")
        for byte in b"hello":
            time.sleep(0.12)  # the silence itself is what is tested
            client.send(bytes((byte,)))
        answer = client.read()
        assert (answer.status, answer.body) == (200, b"hello")


def drip(client: Client, pieces: int, size: int) -> None:
    """One piece every 50 ms: the drip itself is what is tested."""
    with suppress(ConnectionError):
        for _ in range(pieces):
            client.send(bytes(size))
            time.sleep(0.05)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_trickles_is_408(chunked: bool) -> None:
    async def step(visit: Visit) -> None:
        await visit.read_body()
        visit.server.event("over").set()

    with in_front("express", step, server=SHORT) as pair, connected(pair.port) as client:
        client.request("/", "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000", method="POST")
        if chunked:
            client.send(b"186a0\r\n")
        sender = threading.Thread(target=drip, args=(client, 40, 1))
        sender.start()
        assert client.read().status == 408
        assert sender.is_alive(), "it was silence that was told off"
        sender.join()
        pair.origin.wait("over")
        assert not pair.origin.requests[0].complete


@pytest.mark.parametrize(("server", "size"), [(HALF_A_SECOND, 40), ({**HALF_A_SECOND, "limits": {"min_body_rate": "0B"}}, 1)])
def test_a_body_that_comes_at_the_least_rate_may_take_long(server: dict[str, Any], size: int) -> None:
    with in_front("express", echo(), server=server) as pair, connected(pair.port) as client:
        client.request("/", f"Content-Length: {size * 16}", method="POST")
        drip(client, 16, size)
        assert client.read().status == 200


def test_a_body_that_came_fast_and_then_stops_is_408() -> None:
    with in_front("express", echo(), server=TWO_SECONDS) as pair, connected(pair.port) as client:
        client.request("/", "Content-Length: 2000", method="POST")
        started = time.monotonic()
        client.send(bytes(1000))
        assert client.read().status == 408
        assert time.monotonic() - started < 3.9, "a piece that came fast pays for silence"


@on_both
def test_a_body_that_begins_late_is_not_the_targets_fault(entrance: Entrance) -> None:
    with in_front(entrance, echo(), timeouts={"write": "100ms", "first_byte": "100ms"}) as pair, connected(pair.port) as client:
        client.request("/", "Content-Length: 5", method="POST")
        time.sleep(0.3)  # the silence itself is what is tested
        client.send(b"hello")
        answer = client.read()
        assert (answer.status, answer.body) == (200, b"hello")


@pytest.fixture
def large() -> bytes:
    body = bytes(32 << 20)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def narrow(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)


def test_a_client_that_does_not_read_is_cut_off(large: bytes) -> None:
    async def step(visit: Visit) -> None:
        with suppress(ConnectionError):
            await visit.send(large)
        visit.server.event("over").set()
        visit.close()

    with in_front("express", step, server=SHORT) as pair, connected(pair.port) as client:
        narrow(client)
        client.request()
        assert client.read_head().status == 200
        pair.origin.wait("over")
        target = pair.gateway.target()
        pair.gateway.until(lambda: (target.open, target.in_flight) == (0, 0))
        with pytest.raises(ConnectionError):
            while client.sock.recv(1 << 20):
                continue
            raise ConnectionError


@on_both
def test_a_client_that_only_reads_slowly_is_not_cut_off(entrance: Entrance) -> None:
    """What is buffered for it takes longer than `write_idle`, but every now and then it takes something."""
    size = 6 << 20
    body = bytes(size)
    with in_front(entrance, raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (size, body)), server=SHORT) as pair:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", pair.port))
        with sock:
            client = Client(sock)
            client.request()
            client.read_head()
            began = time.monotonic()
            while time.monotonic() - began < 1.5:
                assert sock.recv(2048)
                time.sleep(0.02)  # the slowness itself is what is tested
            taken = 0
            while chunk := sock.recv(1 << 20):
                taken += len(chunk)
                if taken > size // 2:
                    return
            raise AssertionError("the client was cut off")


@on_both
def test_an_origin_that_only_takes_slowly_is_not_given_up(entrance: Entrance) -> None:
    size = 8 << 20
    options: dict[str, Any] = {"timeouts": {"write": "200ms"}, "server": {"limits": {"max_body": "100MiB"}}}
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def take_slowly() -> None:
            with listener.accept()[0] as sock:
                until = time.monotonic() + 1.0
                left = size
                while left > 0 and (piece := sock.recv(4096 if time.monotonic() < until else 1 << 20)):
                    left -= len(piece)
                    if time.monotonic() < until:
                        time.sleep(0.01)  # the slowness itself is what is tested
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                while sock.recv(1 << 20):
                    continue

        taker = threading.Thread(target=take_slowly)
        taker.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with gateway(forwarding(url, **options), entrance) as front, connected(front.port) as client:
            client.request("/", f"Content-Length: {size}", method="POST")
            sender = threading.Thread(target=lambda: client.send(bytes(size)))
            sender.start()
            answer = client.read()
            sender.join()
        taker.join()
    assert answer.status == 200
