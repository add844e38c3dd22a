"""Bodies in every framing, both ways (RFC 9112 section 6, RFC 9110 sections 8.6, 9.3.2, 10.1.1 and 15)."""

from __future__ import annotations

import hashlib
import os

import pytest

from support.client import connected, get
from support.origin import Step, Visit, echo, raw, respond
from support.serving import Pair

BIG = os.urandom(3 << 20)


def chunked(body: bytes, size: int = 5) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "PROPFIND"])
def test_a_body_with_a_length_arrives_with_it(plain: Pair, method: str) -> None:
    answer, received = plain.ask("/", method=method, body=b"some body", step=echo())
    assert answer.body == b"some body"
    assert received.all("content-length") == [b"9"]
    assert not received.all("transfer-encoding")


def test_a_chunked_body_arrives_chunked(plain: Pair) -> None:
    plain.play(echo())
    with connected(plain.port) as client:
        client.request("/", "Transfer-Encoding: chunked", method="POST", body=chunked(b"hello world"))
        assert client.read().body == b"hello world"
        client.request("/", "Transfer-Encoding: Chunked", method="POST", body=b"5;x=y\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n")
        assert client.read().body == b"hello"
    for received in plain.origin.requests:
        assert received.all("transfer-encoding") == [b"chunked"]
        assert not received.all("content-length")
        assert received.complete


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_method_that_usually_has_a_body_says_that_it_has_none(plain: Pair, method: str) -> None:
    _, received = plain.ask("/", method=method)
    assert received.all("content-length") == [b"0"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_other_methods_without_a_body_say_nothing(plain: Pair, method: str) -> None:
    _, received = plain.ask("/", method=method)
    assert not received.all("content-length")
    assert not received.all("transfer-encoding")


def test_large_bodies_go_both_ways_whole(plain: Pair) -> None:
    plain.play(echo())
    with connected(plain.port) as client:
        for framing, body in (([], BIG), (["Transfer-Encoding: chunked"], chunked(BIG, 70_001))):
            client.request("/", *framing, method="POST", body=body)
            answer = client.read()
            assert answer.complete
            assert hashlib.sha256(answer.body).digest() == hashlib.sha256(BIG).digest()


ANSWERS = {
    "content-length": b"content-length: %d\r\n\r\n%s" % (len(BIG), BIG),
    "chunked": b"transfer-encoding: chunked\r\n\r\n" + chunked(BIG, 65_537),
    "until close": b"\r\n" + BIG,
}


@pytest.mark.parametrize("framing", ANSWERS)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_an_answer_is_delivered_whole_in_every_framing(plain: Pair, framing: str, version: bytes) -> None:
    if version == b"1.0" and framing == "chunked":
        plain.play(raw(b"HTTP/1.0 200 OK\r\n" + ANSWERS[framing], close=True))
        assert get(plain.port).status == 502, "RFC 9112 section 6.1: no Transfer-Encoding in HTTP/1.0"
        return
    plain.play(raw(b"HTTP/" + version + b" 200 OK\r\n" + ANSWERS[framing], close=framing == "until close"))
    with connected(plain.port) as client:
        answer = client.get()
        assert answer.complete
        assert answer.body == BIG
        plain.play(respond(200, b"next"))
        assert client.get().body == b"next", "the client's connection goes on"


def test_the_length_of_an_answer_is_told(plain: Pair) -> None:
    answer, _ = plain.ask(step=respond(200, b"12345"))
    assert (answer.all("content-length"), answer.all("transfer-encoding")) == ([b"5"], [])
    empty, _ = plain.ask(step=respond(200, b""))
    assert (empty.all("content-length"), empty.body) == ([b"0"], b"")


def test_equal_lengths_of_an_answer_are_told_once(plain: Pair) -> None:
    answer, _ = plain.ask(step=raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab"))
    assert (answer.all("content-length"), answer.body) == ([b"2"], b"ab")


@pytest.mark.parametrize("framing", [b"content-length: 1234\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_head_has_no_body_whatever_its_fields_say(plain: Pair, framing: bytes) -> None:
    plain.play(raw(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n"), respond(200, b"next"))
    with connected(plain.port) as client:
        answer = client.get("/", method="HEAD")
        assert answer.status == 200
        assert client.get().body == b"next"
    if b"length" in framing:
        assert answer.all("content-length") == [b"1234"]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\netag: "a"\r\ncontent-length: 500\r\n\r\n',
        b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_an_answer_that_cannot_have_a_body_has_none(plain: Pair, head: bytes) -> None:
    plain.play(raw(head), respond(200, b"next"))
    with connected(plain.port) as client:
        answer = client.get()
        assert answer.status in (204, 304)
        assert not answer.all("transfer-encoding")
        assert client.get().body == b"next"


@pytest.mark.parametrize("framing", ["content-length", "chunked", "until close"])
def test_a_client_of_http_1_0_gets_no_chunks(plain: Pair, framing: str) -> None:
    data = {"content-length": b"content-length: 5\r\n\r\nhello", "chunked": b"transfer-encoding: chunked\r\n\r\n" + chunked(b"hello", 2), "until close": b"\r\nhello"}
    plain.play(raw(b"HTTP/1.1 200 OK\r\n" + data[framing], close=framing == "until close"))
    with connected(plain.port) as client:
        answer = client.get("/", version="1.0")
        assert (answer.body, answer.complete) == (b"hello", True)
        assert not answer.all("transfer-encoding")
        assert client.closed()


# ---------------------------------------------------------------- Expect


def continuing(*, answer_first: bytes = b"") -> Step:
    """Say 100, or a final answer, before a byte of the body has come."""

    async def step(visit: Visit) -> None:
        if answer_first:
            await visit.send(answer_first)
            await visit.closed()
            return
        await visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await visit.read_body()
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    return step


def test_a_body_that_waits_for_100_is_asked_for(plain: Pair) -> None:
    plain.play(continuing())
    with connected(plain.port) as client:
        client.request("/", "Expect: 100-continue", "Content-Length: 5", method="POST")
        assert client.read_head().status == 100
        client.send(b"hello")
        answer = client.read()
        assert (answer.status, answer.body) == (200, b"hello")
        assert not client.interims, "100 comes once"
        assert client.get().status == 200, "the connection goes on"
    assert plain.origin.requests[0].all("expect") == [b"100-continue"]


def test_an_origin_may_refuse_a_body_before_it_is_sent(plain: Pair) -> None:
    plain.play(continuing(answer_first=b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno"))
    with connected(plain.port) as client:
        client.request("/", "Expect: 100-continue", "Content-Length: 5", method="POST")
        answer = client.read()
        assert (answer.status, answer.body, client.interims) == (417, b"no", [])


def test_a_body_is_sent_all_the_same_to_an_origin_that_is_silent(plain: Pair) -> None:
    plain.play(echo())
    with connected(plain.port) as client:
        client.request("/", "Expect: 100-continue", "Content-Length: 5", method="PUT")
        assert client.read_head().status == 100
        client.send(b"hello")
        assert client.read().body == b"hello"


def test_a_client_of_http_1_0_is_never_told_to_continue(plain: Pair) -> None:
    plain.needs_http1("uvicorn sends 100 to HTTP/1.0 clients")
    plain.play(continuing())
    with connected(plain.port) as client:
        client.request("/", "Expect: 100-continue", "Content-Length: 5", method="POST", version="1.0", body=b"hello")
        assert client.read().body == b"hello"
        assert not client.interims


# ---------------------------------------------------------------- early answers


def early(*, then_read: bool) -> Step:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\nearly")
        visit.server.event("answered").set()
        if then_read:
            await visit.read_body()
        else:
            await visit.closed()
        visit.server.event("over").set()
        visit.close()

    return step


def test_an_answer_before_the_body_has_ended_is_delivered_at_once(plain: Pair) -> None:
    plain.play(early(then_read=False))
    with connected(plain.port) as client:
        client.request("/", "Content-Length: 1000000", method="POST")
        client.send(b"x" * 1000)
        answer = client.read()
        assert (answer.status, answer.body) == (403, b"early")
        plain.origin.wait("over")
    plain.gateway.until(lambda: plain.gateway.target().in_flight == 0)


def test_an_answer_may_stream_while_the_body_still_comes(plain: Pair) -> None:
    """Both ways at once: each piece is answered before the next one is sent."""

    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while size := int(await visit.reader.readline(), 16):
            piece = await visit.reader.readexactly(size + 2)
            await visit.send(b"%x\r\n%s" % (size, piece))
        await visit.reader.readline()
        await visit.send(b"0\r\n\r\n")

    plain.play(step)
    with connected(plain.port) as client:
        client.request("/", "Transfer-Encoding: chunked", method="POST")
        assert client.read_head().status == 200
        for piece in (b"one", b"two", b"three"):
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            assert client.read_chunk() == piece
        client.send(b"0\r\n\r\n")
        assert client.read_chunk() == b""
