"""Every way in which a target can fail: its status, its Proxy-Status, and nothing that tells where the target is."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from support.client import Answer, connected, get
from support.origin import Step, Visit, hang, nobody, origin, raw, reset
from support.serving import Pair, forwarding, gateway, in_front, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.serving import Entrance


def assert_error(answer: Answer, status: int, error: str, *secrets: object) -> None:
    assert (answer.status, answer.complete) == (status, True)
    assert answer.all("proxy-status") == [f"gateway; error={error}".encode()]
    assert answer.get("cache-control") == b"no-store"
    problem = json.loads(answer.body)
    assert problem["status"] == status
    whole = (answer.head + answer.body).lower()
    for secret in ("127.0.0.1", "traceback", "errno", *secrets):
        assert str(secret).encode() not in whole, f"{secret} is told"


@on_both
def test_a_refused_connection_is_502(entrance: Entrance) -> None:
    with nobody() as url, gateway(forwarding(url), entrance) as front:
        assert_error(get(front.port), 502, "connection_refused", url.rpartition(":")[2])


@contextmanager
def full() -> Iterator[str]:
    """The URL of a listener whose backlog is full: a connection is neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        name = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(name)
        yield f"http://127.0.0.1:{name[1]}"
        for sock in waiting:
            sock.close()


@on_both
def test_a_connection_that_is_not_taken_in_time_is_504(entrance: Entrance) -> None:
    with full() as url, gateway(forwarding(url, timeouts={"connect": "100ms"}), entrance) as front:
        assert_error(get(front.port), 504, "connection_timeout")
        assert front.target().open == 0


@on_both
def test_a_name_that_does_not_resolve_is_502(entrance: Entrance) -> None:
    with gateway(forwarding("http://nonexistent.invalid"), entrance) as front:
        assert_error(get(front.port), 502, "dns_error", "nonexistent")


@on_both
def test_a_certificate_that_is_not_trusted_is_502(entrance: Entrance) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with origin(tls=context) as server, gateway(forwarding(server.url), entrance) as front:
        assert_error(get(front.port), 502, "tls_certificate_error", "verify", "issuer")
        assert not server.requests
        front.until(lambda: front.target().open == 0)


@on_both
def test_a_certificate_of_an_authority_that_is_named_is_trusted(entrance: Entrance, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("inside.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = {"ca": str(tmp_path / "ca.pem")}
    with origin(tls=context) as server:
        named = forwarding(server.url, tls={**tls, "server_name": "inside.example"})
        with gateway(named, entrance) as front, connected(front.port) as client:
            assert [client.get().body for _ in range(3)] == [b"ok"] * 3
        assert {request.connection for request in server.requests} == {1}
        with gateway(forwarding(server.url, tls=tls), entrance) as front:
            assert_error(get(front.port), 502, "tls_certificate_error")


@on_both
def test_a_target_that_does_not_speak_tls_is_502(entrance: Entrance) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"

        def answer_in_plain_text() -> None:
            with listener.accept()[0] as sock:
                sock.recv(1 << 16)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_in_plain_text)
        thread.start()
        with gateway(forwarding(url), entrance) as front:
            assert_error(get(front.port), 502, "tls_protocol_error")
        thread.join()


@on_both
def test_no_answer_in_time_is_504(entrance: Entrance) -> None:
    with in_front(entrance, hang(), timeouts={"first_byte": "100ms"}) as pair:
        assert_error(get(pair.port), 504, "http_response_timeout")
        pair.origin.wait("hanging gone")


@on_both
def test_half_a_head_in_time_is_504(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-")
        await visit.closed()

    with in_front(entrance, step, timeouts={"first_byte": "100ms"}) as pair:
        assert_error(get(pair.port), 504, "http_response_timeout")


@on_both
def test_an_exchange_over_its_total_is_504(entrance: Entrance) -> None:
    with in_front(entrance, hang(), timeouts={"total": "100ms"}) as pair:
        assert_error(get(pair.port), 504, "http_response_timeout")
        pair.origin.wait("hanging gone")
        pair.gateway.until(lambda: pair.gateway.target().in_flight == 0)


@on_both
def test_a_total_ends_an_answer_that_streams(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n")
        await visit.closed()
        visit.server.event("gone").set()

    with in_front(entrance, step, timeouts={"total": "200ms"}) as pair:
        answer = get(pair.port)
        assert (answer.body, answer.complete) == (b"ab", False)
        pair.origin.wait("gone")


@on_both
def test_an_origin_that_takes_no_more_of_a_body_is_504(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        visit.writer.transport.pause_reading()
        await visit.server.waited("answered")
        visit.close()

    options: dict[str, Any] = {"timeouts": {"write": "200ms"}, "server": {"limits": {"max_body": "100MiB"}}}
    with in_front(entrance, step, **options) as pair, connected(pair.port) as client:
        client.request("/", f"Content-Length: {64 << 20}", method="POST")

        def push() -> None:
            try:
                client.send(bytes(64 << 20))
            except OSError:
                return

        sender = threading.Thread(target=push)
        sender.start()
        try:
            answer = client.read()
            assert_error(answer, 504, "connection_write_timeout")
        finally:
            with suppress(OSError):  # it may be reset already
                client.sock.shutdown(socket.SHUT_RDWR)
            sender.join()
            pair.origin.event("answered").set()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_reset_without_an_answer_is_502(plain: Pair, method: str) -> None:
    plain.play(reset())
    assert_error(get(plain.port, method=method), 502, "connection_terminated", plain.origin.port)


def test_a_close_without_an_answer_is_502(plain: Pair) -> None:
    plain.play(raw(b"", close=True))
    assert_error(get(plain.port), 502, "connection_terminated", plain.origin.port)


HEAD = b"HTTP/1.1 200 OK\r\n"
BAD = {
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n", "http_protocol_error"),
    "garbage with an end": (b"what?\r\n\r\n", "http_protocol_error"),
    "http/0.9": (b"<html>hello</html>", "http_protocol_error"),
    "http/2": (b"HTTP/2 200\r\n\r\n", "http_protocol_error"),
    "status": (b"HTTP/1.1 20 OK\r\n\r\n", "http_protocol_error"),
    "two lengths": (HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", "http_protocol_error"),
    "a length that is none": (HEAD + b"content-length: +3\r\n\r\nabc", "http_protocol_error"),
    "a list of lengths": (HEAD + b"content-length: 3, 3\r\n\r\nabc", "http_protocol_error"),
    "a coding": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "http_response_transfer_coding"),
    "two codings": (HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "http_response_transfer_coding"),
    "a folded field": (HEAD + b"x-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n", "http_protocol_error"),
    "a space before the colon": (HEAD + b"x-a : 1\r\ncontent-length: 0\r\n\r\n", "http_protocol_error"),
    "NUL": (HEAD + b"x-a: 1\0\r\ncontent-length: 0\r\n\r\n", "http_protocol_error"),
    "a bare CR": (HEAD + b"x-a: 1\rx-b: 2\r\ncontent-length: 0\r\n\r\n", "http_protocol_error"),
    "an unasked 101": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", "http_protocol_error"),
    "a head over its limit": (HEAD + b"x-a: %s\r\n\r\n" % (b"a" * 70_000), "http_response_header_section_size"),
    "a head without end": (HEAD + b"x-a: a\r\n" * 20_000, "http_response_header_section_size"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_answer_that_is_not_http_is_502(plain: Pair, case: str) -> None:
    data, error = BAD[case]
    plain.play(raw(data), raw(HEAD + b"content-length: 4\r\n\r\nfine"))
    with connected(plain.port) as client:
        assert_error(client.get(), 502, error, plain.origin.port)
        assert client.get().body == b"fine", "the client's connection goes on"


def test_a_length_beside_chunks_is_dropped_and_the_connection_not_used_again(plain: Pair) -> None:
    plain.play(raw(HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
    with connected(plain.port) as client:
        for _ in range(2):
            answer = client.get()
            assert (answer.body, answer.complete, answer.all("content-length")) == (b"ab", True, [])
    assert len({request.connection for request in plain.origin.requests}) == 2


def test_a_client_learns_the_type_of_error_in_html_too(plain: Pair) -> None:
    plain.play(reset())
    answer = get(plain.port, "/", "Accept: text/html")
    assert (answer.status, answer.get("content-type")) == (502, b"text/html; charset=utf-8")
    assert b"127.0.0.1" not in answer.body


# ---------------------------------------------------------------- the limits of a target


@on_both
def test_a_queue_that_is_full_is_503_at_once(entrance: Entrance) -> None:
    limits = {"max_connections": 1, "max_pending": 1}
    with in_front(entrance, hang(), **limits) as pair:
        front = pair.gateway
        with connected(front.port) as first, connected(front.port) as second, connected(front.port) as third:
            first.request()
            pair.origin.wait("hanging")
            second.request()
            front.until(lambda: len(front.target()._waiting) == 1)
            answer = third.get()
            assert_error(answer, 503, "connection_limit_reached")
            assert answer.get("retry-after") is not None


@on_both
def test_a_place_that_does_not_come_free_in_time_is_503(entrance: Entrance) -> None:
    with in_front(entrance, hang(), max_connections=1, timeouts={"pool": "100ms"}) as pair, connected(pair.port) as first:
        first.request()
        pair.origin.wait("hanging")
        assert_error(get(pair.port), 503, "connection_limit_reached")


@on_both
def test_those_who_wait_are_served_in_order(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        await visit.server.waited("go")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    with in_front(entrance, step, max_connections=1) as pair:
        front = pair.gateway
        clients = []
        for number in range(5):
            manager = connected(front.port)
            client = manager.__enter__()
            clients.append((manager, client))
            client.request(f"/{number}")
            front.until(lambda number=number: front.target().in_flight == number + 1)
        pair.origin.event("go").set()
        for manager, client in clients:
            assert client.read().body == b"ok"
            manager.__exit__(None, None, None)
        assert [request.target for request in pair.origin.requests] == [b"/%d" % number for number in range(5)]
        assert {request.connection for request in pair.origin.requests} == {1}


# ---------------------------------------------------------------- cut off inside the body


def cut(data: bytes, how: str) -> Step:
    async def step(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(data)
        await visit.server.waited("seen")
        if how == "reset":
            await reset()(visit)
        elif how == "close":
            visit.close()

    return step


CUTS = [
    ("content-length: 10\r\n", "hello", "close", "hello"),
    ("content-length: 10\r\n", "hello", "reset", "hello"),
    ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n", "close", "hello"),
    ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n", "reset", "hello"),
    ("transfer-encoding: chunked\r\n", "a\r\nhello", "close", "hello"),
    ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n", "close", "hello"),
    ("", "hello", "reset", "hello"),
]


@on_both
@pytest.mark.parametrize(("framing", "sent", "how", "body"), CUTS)
def test_an_answer_that_is_cut_off_does_not_look_whole(entrance: Entrance, framing: str, sent: str, how: str, body: str) -> None:
    with in_front(entrance, cut(f"HTTP/1.1 200 OK\r\n{framing}\r\n{sent}".encode(), how)) as pair, connected(pair.port) as client:
        client.request()
        head = client.read_head()
        assert head.status == 200
        if head.get("transfer-encoding") == b"chunked":
            assert client.read_chunk() == body.encode()
        else:
            assert client.read_some(5) == body.encode()
        pair.origin.event("seen").set()
        with pytest.raises((AssertionError, ConnectionError)):
            assert client.read_chunk() == b""
            assert client.read_some(2) == b"\r\n"
        pair.gateway.until(lambda: pair.gateway.target().open == 0)


@on_both
def test_an_answer_that_is_cut_off_does_not_look_whole_to_http_1_0(entrance: Entrance) -> None:
    step = cut(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "close")
    with in_front(entrance, step) as pair, connected(pair.port) as client:
        pair.origin.event("seen").set()
        client.request(version="1.0")
        if entrance == "asgi":  # which holds such a body back, as uvicorn would send it in chunks
            assert_error(client.read(), 502, "http_response_incomplete")
            return
        answer = client.read()
        assert (answer.status, answer.body, answer.complete) == (200, b"hello", False)


@on_both
@pytest.mark.parametrize("bad", ["zz\r\n", "5\r\nhelloX", "5 \r\nhello\r\n", "0x5\r\nhello\r\n"])
def test_chunks_that_break_are_not_a_whole_answer(entrance: Entrance, bad: str) -> None:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await visit.server.waited("seen")
        await visit.send(bad.encode())
        await visit.closed()

    with in_front(entrance, step) as pair, connected(pair.port) as client:
        client.request()
        client.read_head()
        assert client.read_chunk() == b"ok"
        pair.origin.event("seen").set()
        with pytest.raises((AssertionError, ConnectionError)):
            while client.read_chunk():
                continue


@on_both
def test_an_answer_that_stalls_is_broken_off(entrance: Entrance) -> None:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        await visit.closed()
        visit.server.event("gone").set()

    with in_front(entrance, step, timeouts={"read": "100ms"}) as pair:
        answer = get(pair.port)
        assert (answer.body, answer.complete) == (b"hello", False)
        pair.origin.wait("gone")
