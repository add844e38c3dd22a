"""What comes in pieces goes on in pieces: event streams, interim answers, trailers, compressed streams, slow readers."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import zlib
from typing import TYPE_CHECKING, Any

import brotli
import pytest
import zstandard

from support.client import Client, connected, get
from support.origin import Step, Visit, raw, respond
from support.serving import Pair, in_front, on_both

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.serving import Entrance

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"


def stepwise(head: bytes, *pieces: bytes) -> Step:
    """Send each piece of a chunked body only when the test has seen the one before: it sets the event of that name."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(head + b"\r\n")
        for number, piece in enumerate(pieces):
            if number:
                await visit.server.waited(f"piece {number}")
            await visit.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await visit.server.waited(f"piece {len(pieces)}")
        await visit.send(b"0\r\n\r\n")

    return step


def test_events_arrive_one_by_one(plain: Pair) -> None:
    events = [b"data: %d\n\n" % number for number in range(5)]
    plain.play(stepwise(CHUNKED + b"content-type: text/event-stream\r\n", *events))
    with connected(plain.port) as client:
        client.request()
        assert client.read_head().get("content-type") == b"text/event-stream"
        for number, event in enumerate(events, 1):
            assert client.read_chunk() == event
            plain.origin.event(f"piece {number}").set()
        assert client.read_chunk() == b""


@on_both
def test_events_may_be_silent_for_longer_than_other_answers(entrance: Entrance) -> None:
    timeouts = {"read": "100ms", "stream_idle": "1m"}

    async def step(visit: Visit) -> None:
        await visit.send(CHUNKED + b"content-type: text/event-stream\r\n\r\n1\r\na\r\n")
        if b"/quiet" in visit.request.target:
            await asyncio.sleep(0.3)  # the silence itself is what is tested
            await visit.send(b"1\r\nb\r\n0\r\n\r\n")

    with in_front(entrance, step, timeouts=timeouts) as pair:
        answer = get(pair.port, "/quiet")
        assert (answer.body, answer.complete) == (b"ab", True)


# ---------------------------------------------------------------- compression


DECODERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "gzip": lambda: zlib.decompressobj(31).decompress,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
    "br": lambda: brotli.Decompressor().process,
}


@on_both
@pytest.mark.parametrize("coding", DECODERS)
def test_a_compressed_stream_is_flushed_with_every_piece(entrance: Entrance, coding: str) -> None:
    pieces = [b"first " * 50, b"second " * 50, b"third " * 50]
    script = stepwise(CHUNKED + b'content-type: text/plain\r\netag: "a"\r\n', *pieces)
    with in_front(entrance, script, compression=True) as pair, connected(pair.port) as client:
        client.request("/", f"Accept-Encoding: {coding}")
        head = client.read_head()
        assert head.all("content-encoding") == [coding.encode()]
        assert (head.get("etag"), head.get("vary")) == (b'W/"a"', b"accept-encoding")
        decode = DECODERS[coding]()
        for number, piece in enumerate(pieces, 1):
            plain = b""
            while len(plain) < len(piece):
                plain += decode(client.read_chunk())
            assert plain == piece
            pair.origin.event(f"piece {number}").set()
        while client.read_chunk():
            continue


@on_both
def test_a_body_is_compressed_only_where_the_client_and_the_answer_allow_it(entrance: Entrance) -> None:
    text = b"a line of text\n" * 500
    cases: list[tuple[list[str], list[str], bytes | None]] = [
        (["Accept-Encoding: gzip"], ["Content-Type: text/plain"], b"gzip"),
        (["Accept-Encoding: gzip;q=0"], ["Content-Type: text/plain"], None),
        ([], ["Content-Type: text/plain"], None),
        (["Accept-Encoding: gzip"], ["Content-Type: image/png"], None),
        (["Accept-Encoding: gzip"], ["Content-Type: text/plain", "Cache-Control: no-transform"], None),
        (["Accept-Encoding: gzip"], ["Content-Type: text/plain", "Content-Encoding: br"], b"br"),
        (["Accept-Encoding: gzip"], ["Content-Type: text/event-stream"], None),
    ]
    with in_front(entrance, compression=True) as pair:
        for asked, said, coding in cases:
            answer, received = pair.ask("/", *asked, step=respond(200, text, *said))
            assert answer.get("content-encoding") == coding, f"{asked} {said}"
            assert received.all("accept-encoding") == [field.partition(": ")[2].encode() for field in asked]
            body = gzip.decompress(answer.body) if coding == b"gzip" else answer.body
            assert body == text
            head, _ = pair.ask("/", *asked, method="HEAD")
            assert head.get("content-encoding") == coding


@on_both
def test_a_compressed_body_that_the_origin_cuts_off_is_not_whole(entrance: Entrance) -> None:
    cut = raw(CHUNKED + b"content-type: text/plain\r\n\r\n5\r\nhello\r\n", close=True)
    with in_front(entrance, cut, compression=True) as pair:
        answer = get(pair.port, "/", "Accept-Encoding: gzip")
        assert (answer.status, answer.complete) == (200, False)


# ---------------------------------------------------------------- interim answers and trailers

EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n"
FINAL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def test_interim_answers_are_passed_on_before_the_final_one(plain: Pair) -> None:
    plain.needs_http1("ASGI has no message for them that uvicorn takes")

    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 102 Processing\r\n\r\n" + EARLY)
        await visit.server.waited("hints seen")
        await visit.send(FINAL)

    plain.play(step)
    with connected(plain.port) as client:
        client.request()
        assert client.read_head().status == 102
        hints = client.read_head()
        assert (hints.status, hints.all("link"), hints.all("x-hop")) == (103, [b"</a.css>; rel=preload"], [])
        plain.origin.event("hints seen").set()
        answer = client.read()
        assert (answer.status, answer.body, answer.all("link")) == (200, b"ok", [])


def test_a_client_of_http_1_0_gets_the_final_answer_alone(plain: Pair) -> None:
    plain.play(raw(EARLY + FINAL))
    with connected(plain.port) as client:
        answer = client.get(version="1.0")
        assert (answer.status, answer.body, client.interims) == (200, b"ok", [])


def test_interim_answers_do_not_mix_with_those_that_follow(plain: Pair) -> None:
    plain.play(raw(EARLY + FINAL), respond(200, b"next"))
    with connected(plain.port) as client:
        assert client.get().body == b"ok"
        assert client.get().body == b"next"


def test_interim_answers_without_end_are_a_fault(plain: Pair) -> None:
    plain.play(raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 100))
    with connected(plain.port) as client:
        assert client.get().status == 502


TRAILED = raw(CHUNKED + b"trailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\ncontent-length: 5\r\nset-cookie: a=1\r\nx-more: 2\r\n\r\n")


def test_trailers_reach_a_client_that_takes_them(plain: Pair) -> None:
    plain.needs_http1("ASGI under uvicorn has trailers only over HTTP/2")
    answer, received = plain.ask("/", "TE: trailers", "Connection: TE", step=TRAILED)
    assert received.all("te") == [b"trailers"]
    assert (answer.body, answer.complete) == (b"ok", True)
    assert answer.trailers == [(b"x-sum", b"1"), (b"x-more", b"2")]


def test_trailers_that_come_with_the_whole_answer_reach_a_client_that_takes_them(plain: Pair) -> None:
    plain.needs_http1("ASGI under uvicorn has trailers only over HTTP/2")
    plain.play(raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"))
    for _ in range(2):  # the second one by a connection that is there already
        answer = get(plain.port, "/", "TE: trailers", "Connection: TE")
        assert (answer.body, answer.trailers) == (b"ok", [(b"x-sum", b"1")])


def test_trailers_are_kept_from_a_client_that_does_not_take_them(plain: Pair) -> None:
    answer, received = plain.ask(step=TRAILED)
    assert not received.all("te")
    assert (answer.body, answer.complete, answer.trailers) == (b"ok", True, [])
    assert not answer.all("x-sum")


# ---------------------------------------------------------------- slow readers

OFFERED = 200 << 20
TAKEN = 32 << 20  # what the buffers of four sockets and the gateway may hold together


def pouring(total: int = OFFERED) -> Step:
    """Offer a large body; `taken` of the server says how much the gateway took, `over` is set at the end."""

    async def step(visit: Visit) -> None:
        server: Any = visit.server
        server.taken = 0
        piece = bytes(1 << 16)
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        try:
            while server.taken < total:
                await visit.send(piece)
                server.taken += len(piece)
        except ConnectionError:
            pass
        server.event("over").set()
        visit.close()

    return step


def narrow(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)


@on_both
def test_an_origin_is_stopped_by_a_client_that_does_not_read(entrance: Entrance) -> None:
    with in_front(entrance, pouring()) as pair:
        server: Any = pair.origin
        with connected(pair.port) as client:
            narrow(client)
            client.request()
            assert client.read_head().status == 200
            (connection,) = pair.gateway.target().connections
            pair.gateway.until(lambda: connection._read_paused)
            at_rest = settled(pair, server)
            assert at_rest < TAKEN
            assert client.read_some(1 << 20) == bytes(1 << 20)
        server.wait("over")
        assert server.taken < OFFERED
        pair.gateway.until(lambda: pair.gateway.target().open == 0)


def settled(pair: Pair, server: Any) -> int:
    """What the origin could send when it can send no more: twice the same, a while apart."""
    seen = [-1]

    def stopped() -> bool:
        seen.append(server.taken)
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    pair.gateway.until(stopped)
    return int(seen[-1])


@on_both
def test_an_upload_is_stopped_by_an_origin_that_does_not_read(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        visit.writer.transport.pause_reading()
        await visit.server.waited("stopped")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        visit.close()

    limits = {"limits": {"max_body": OFFERED}}
    with in_front(entrance, step, server=limits) as pair, connected(pair.port) as client:
        client.request("/", f"Content-Length: {OFFERED}", method="POST")
        client.sock.settimeout(0.3)
        sent = 0
        piece = bytes(1 << 16)
        with pytest.raises(TimeoutError):
            while sent < OFFERED:
                sent += client.sock.send(piece)
        assert sent < TAKEN
        client.sock.settimeout(20)
        pair.origin.event("stopped").set()
        assert client.read().status == 200


def test_an_answer_is_delivered_whole_to_a_client_that_reads_late(plain: Pair) -> None:
    body = bytes(range(256)) * 4096 * 8
    plain.play(raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)), respond(200, b"next"))
    with connected(plain.port) as client:
        narrow(client)
        client.request()
        plain.gateway.until(lambda: plain.gateway.target().in_flight == 1)
        plain.gateway.until(lambda: any(link._read_paused for link in plain.gateway.target().connections))
        answer = client.read()
        assert (answer.complete, answer.body == body) == (True, True)
        assert client.get().body == b"next"


@on_both
def test_a_client_that_reads_late_is_not_the_origins_fault(entrance: Entrance) -> None:
    """The clock for the origin's silence stands still while it is the client who is waited for."""
    body = bytes(16 << 20)
    step = raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    with in_front(entrance, step, timeouts={"read": "100ms", "first_byte": "100ms"}) as pair, connected(pair.port) as client:
        narrow(client)
        client.request()
        pair.gateway.until(lambda: any(link._read_paused for link in pair.gateway.target().connections))
        time.sleep(0.4)  # the lateness itself is what is tested
        answer = client.read()
        assert (answer.complete, len(answer.body)) == (True, len(body))
