"""The plain listener's answers, over real sockets and on both event loops."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from gateway.rfc.message import read_request_head
from gateway.server.listeners import bind
from gateway.server.redirect import location, serve_redirect
from gateway.server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from gateway.server.redirect import RedirectServer

    Run = Callable[[Coroutine[Any, Any, None]], None]

PATIENCE = 20.0


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def runner(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(asyncio.wait_for(main, PATIENCE))

    return runner


@asynccontextmanager
async def redirecting(
    settings: ServerSettings | None = None, https_port: int = 443
) -> AsyncIterator[tuple[RedirectServer, int]]:
    sock = bind("127.0.0.1:0", 64)
    port = sock.getsockname()[1]
    server = await serve_redirect(sock, settings or ServerSettings(), https_port)
    try:
        yield server, port
    finally:
        server.close()
        await server.wait_closed()


async def ask(port: int, request: bytes, *, more: bytes = b"") -> bytes:
    """All that is answered until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if more:
            await writer.drain()
            writer.write(more)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def fields(answer: bytes) -> dict[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b""
    return dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])


def get(target: bytes, host: bytes) -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host)


@pytest.mark.parametrize(
    ("target", "host", "port", "where"),
    [
        (b"/", b"a.test", 443, b"https://a.test/"),
        (b"/", b"a.test:80", 443, b"https://a.test/"),
        (b"/", b"a.test:", 443, b"https://a.test/"),
        (b"/", b"A.Test.", 443, b"https://A.Test./"),
        (b"/", b"a.test:8080", 8443, b"https://a.test:8443/"),
        (b"/", b"[2001:db8::1]:8080", 443, b"https://[2001:db8::1]/"),
        (b"/", b"[::1]", 8443, b"https://[::1]:8443/"),
        (
            b"/a//b/../%2e%2E/%C3%A9?x=1&y=%20?#".removesuffix(b"#"),
            b"a",
            443,
            b"https://a/a//b/../%2e%2E/%C3%A9?x=1&y=%20?",
        ),
        (b"//evil.test/..", b"a", 443, b"https://a//evil.test/.."),
        (b"/\xc3\xa9?", b"a", 443, b"https://a/\xc3\xa9?"),
        (b"http://b.test:80/x?y", b"a", 443, b"https://b.test/x?y"),
        (b"http://b.test", b"a", 443, b"https://b.test/"),
    ],
)
def test_host_and_target_are_kept_byte_for_byte(target: bytes, host: bytes, port: int, where: bytes):
    assert location(read_request_head(get(target, host)[:-4]), port) == where


def test_a_request_about_the_whole_server_is_sent_to_the_whole_server():
    assert location(read_request_head(b"OPTIONS * HTTP/1.1\r\nHost: a.test"), 443) == b"https://a.test"


def test_a_redirect_is_permanent_and_closes(run: Run):
    async def main() -> None:
        async with redirecting(https_port=8443) as (_, port):
            answer = await ask(port, get(b"/a?b", b"a.test"))
        assert answer.startswith(b"HTTP/1.1 308 Permanent Redirect\r\n")
        found = fields(answer)
        assert found[b"location"] == b"https://a.test:8443/a?b"
        assert found[b"connection"] == b"close"
        assert found[b"content-length"] == b"0"
        assert found[b"date"].endswith(b"GMT")

    run(main())


def test_a_body_on_its_way_does_not_destroy_the_answer(run: Run):
    async def main() -> None:
        head = b"POST /form HTTP/1.1\r\nHost: a.test\r\nContent-Length: 500000\r\n\r\n"
        async with redirecting() as (_, port):
            answer = await ask(port, head, more=b"x" * 500_000)
        assert fields(answer)[b"location"] == b"https://a.test/form"

    run(main())


def test_a_head_may_come_in_pieces(run: Run):
    async def main() -> None:
        async with redirecting() as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"\r\n" + get(b"/a", b"a.test"):
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert fields(await reader.read())[b"location"] == b"https://a.test/a"
            writer.close()
            await writer.wait_closed()

    run(main())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\r\n\r\n", 400),
        (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 900), 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n%s\r\n" % (b"X: y\r\n" * 10), 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"y" * 3000), 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 3000, 431),
    ],
)
def test_what_is_no_good_request_is_refused(run: Run, request_: bytes, status: int):
    async def main() -> None:
        settings = ServerSettings(max_header_size=2000, max_headers=8, max_target_size=800)
        async with redirecting(settings) as (_, port):
            answer = await ask(port, request_)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"location" not in answer

    run(main())


def test_http_1_0_with_a_host_is_redirected(run: Run):
    async def main() -> None:
        async with redirecting() as (_, port):
            answer = await ask(port, b"GET /a HTTP/1.0\r\nHost: a.test\r\n\r\n")
        assert fields(answer)[b"location"] == b"https://a.test/a"

    run(main())


def test_a_second_request_on_the_connection_gets_no_answer(run: Run):
    async def main() -> None:
        async with redirecting() as (_, port):
            answer = await ask(port, get(b"/a", b"a") + get(b"/b", b"b"))
        assert answer.count(b"HTTP/1.1") == 1

    run(main())


@pytest.mark.parametrize(("sent", "answer"), [(b"", b""), (b"GET / HTTP/1.1\r\n", b"HTTP/1.1 408 ")])
def test_a_slow_head_is_not_waited_for(run: Run, sent: bytes, answer: bytes):
    async def main() -> None:
        async with redirecting(ServerSettings(header=0.1)) as (_, port):
            found = await ask(port, sent)
        assert found.startswith(answer)
        assert bool(found) == bool(answer)

    run(main())


def test_one_connection_too_many_is_told_so(run: Run):
    async def main() -> None:
        async with redirecting(ServerSettings(max_connections=1)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answer = await ask(port, b"")
            assert answer.startswith(b"HTTP/1.1 503 ")
            writer.write(get(b"/", b"a"))
            assert (await reader.read()).startswith(b"HTTP/1.1 308 ")
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_closed_server_has_no_connections(run: Run):
    async def main() -> None:
        async with redirecting() as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /")
            await ask(port, get(b"/", b"a"))  # the first connection has been taken by now
            assert server.connections
            server.close()
            await server.wait_closed()
            assert not server.connections
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_client_that_does_not_leave_is_left(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.server.redirect.LINGER_SECONDS", 0.1)

    async def main() -> None:
        async with redirecting() as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get(b"/", b"a"))
            await reader.read()
            while server.connections:
                await next(iter(server.connections)).gone
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)  # it was reset

    run(main())
