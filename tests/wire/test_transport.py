"""`target_client`: httpx's interface over the gateway's own connections."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.deadlines import Deadlines
from gateway.upstream.address import Address
from gateway.upstream.target import Target, TargetLimits
from gateway.upstream.transport import target_client
from support.origin import Origin, Step, Visit, echo, hang, nobody, origin, raw, reset, respond
from support.serving import gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Use = Callable[[httpx.AsyncClient, Target], Awaitable[Any]]


def using(url: str, use: Use, **limits: Any) -> Any:
    """What `use` returns, called with a client and its target on a loop of its own."""

    async def main() -> Any:
        deadlines = Deadlines(asyncio.get_running_loop())
        target = Target(Address(url), deadlines, limits=TargetLimits(**limits))
        try:
            async with target_client(target) as client:
                return await use(client, target)
        finally:
            await target.stop()
            deadlines.close()

    return asyncio.run(main())


def asking(*script: Step, use: Use) -> tuple[Any, Origin]:
    with origin(*script) as server:
        return using(server.url, use), server


def test_a_request_and_its_answer() -> None:
    async def use(client: httpx.AsyncClient, _target: Target) -> httpx.Response:
        return await client.post("/x?y=%20", content=b"body", headers=[("X-A", "1"), ("X-A", "2")])

    answer, server = asking(respond(201, b"made", "Set-Cookie: a=1", "Set-Cookie: b=2"), use=use)
    assert (answer.status_code, answer.content, answer.http_version) == (201, b"made", "HTTP/1.1")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    (received,) = server.requests
    assert (received.target, received.body, received.all("x-a")) == (b"/x?y=%20", b"body", [b"1", b"2"])
    assert received.all("host") == [server.url[7:].encode()]


def test_a_target_is_sent_byte_for_byte() -> None:
    async def use(client: httpx.AsyncClient, _target: Target) -> None:
        await client.get("/", extensions={"target": b"/a/../%2e//b?"})

    _, server = asking(use=use)
    assert server.requests[0].target == b"/a/../%2e//b?"


def test_an_answer_is_streamed() -> None:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            await visit.send(b"1\r\n%d\r\n" % number)
            await visit.server.waited(f"seen {number}")
        await visit.send(b"0\r\n\r\n")

    with origin(step) as server:

        async def use(client: httpx.AsyncClient, _target: Target) -> list[bytes]:
            pieces = []
            async with client.stream("GET", "/") as answer:
                async for piece in answer.aiter_raw():
                    pieces.append(piece)
                    server.event(f"seen {len(pieces) - 1}").set()
            return pieces

        assert using(server.url, use) == [b"0", b"1", b"2"]


def test_a_body_is_streamed_in_chunks() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    async def use(client: httpx.AsyncClient, _target: Target) -> bytes:
        return (await client.put("/", content=body())).content

    content, server = asking(echo(), use=use)
    assert content == bytes(2_000_000)
    assert server.requests[0].all("transfer-encoding") == [b"chunked"]


def test_httpx_decodes_what_it_asked_to_be_encoded() -> None:
    async def use(client: httpx.AsyncClient, _target: Target) -> str:
        return (await client.get("/")).text

    text, _ = asking(respond(200, gzip.compress(b"hello"), "Content-Encoding: gzip"), use=use)
    assert text == "hello"


def test_no_cookie_of_one_request_goes_with_another() -> None:
    async def use(client: httpx.AsyncClient, _target: Target) -> None:
        await client.get("/")
        await client.get("/")

    _, server = asking(respond(200, b"", "Set-Cookie: session=secret; Path=/"), use=use)
    assert [request.all("cookie") for request in server.requests] == [[], []]


def test_no_redirect_is_followed() -> None:
    async def use(client: httpx.AsyncClient, _target: Target) -> int:
        return (await client.get("/")).status_code

    status, server = asking(respond(302, b"", "Location: /elsewhere"), use=use)
    assert (status, len(server.requests)) == (302, 1)


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(client: httpx.AsyncClient, _target: Target) -> bytes:
        return (await client.get("/")).content

    with nobody() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        content, _ = asking(use=use)
    assert content == b"ok"


def failing(*script: Step, timeout: float | None = None, method: str = "GET") -> type[BaseException]:
    """The class of what a request raises."""

    async def use(client: httpx.AsyncClient, _target: Target) -> type[BaseException]:
        with pytest.raises(httpx.HTTPError) as raised:
            await client.request(method, "/", timeout=timeout or 20)
        assert raised.value.request is not None
        return raised.type

    kind: type[BaseException] = asking(*script, use=use)[0]
    return kind


@pytest.mark.parametrize(
    ("step", "timeout", "kind"),
    [
        (hang(), 0.1, httpx.ReadTimeout),
        (reset(), None, httpx.RemoteProtocolError),
        (raw(b"", close=True), None, httpx.RemoteProtocolError),
        (raw(b"what?\r\n\r\n"), None, httpx.RemoteProtocolError),
        (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", close=True), None, httpx.RemoteProtocolError),
        (raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"), None, httpx.RemoteProtocolError),
    ],
    ids=["silence", "reset", "close", "garbage", "half", "101"],
)
def test_a_fault_is_raised_as_httpx_would(step: Step, timeout: float | None, kind: type[BaseException]) -> None:
    assert failing(step, timeout=timeout) is kind


def test_a_refused_connection_is_a_connect_error() -> None:
    async def use(client: httpx.AsyncClient, target: Target) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.get("/")
        assert target.open == 0

    with nobody() as url:
        using(url, use)


def test_a_pool_that_is_full_is_a_pool_timeout() -> None:
    async def use(client: httpx.AsyncClient, target: Target) -> None:
        first = asyncio.ensure_future(client.get("/"))
        while not target.connections:
            await asyncio.sleep(0.001)
        with pytest.raises(httpx.PoolTimeout):
            await client.get("/", timeout=httpx.Timeout(20, pool=0.05))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    with origin(hang()) as server:
        using(server.url, use, max_connections=1)


def test_a_stale_connection_is_met_by_one_more_request() -> None:
    async def closing(visit: Visit) -> None:
        visit.close()

    async def use(client: httpx.AsyncClient, _target: Target) -> list[int]:
        return [(await client.get("/")).status_code for _ in range(2)]

    statuses, server = asking(respond(200, b"ok"), closing, respond(200, b"ok"), use=use)
    assert statuses == [200, 200]
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_post_on_a_stale_connection_is_not_sent_twice() -> None:
    async def closing(visit: Visit) -> None:
        visit.close()

    async def use(client: httpx.AsyncClient, _target: Target) -> None:
        await client.get("/")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/")

    _, server = asking(respond(200, b"ok"), closing, respond(200, b"twice"), use=use)
    assert len(server.requests) == 2


def test_an_answer_that_is_not_read_to_its_end_gives_its_place_back() -> None:
    async def use(client: httpx.AsyncClient, target: Target) -> None:
        for _ in range(5):
            async with client.stream("GET", "/") as answer:
                assert answer.status_code == 200
        while target.open:
            await asyncio.sleep(0.001)

    asking(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + bytes(1 << 20)), use=use)


def test_an_early_answer_ends_an_upload() -> None:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await visit.closed()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)
            await asyncio.sleep(0)

    async def use(client: httpx.AsyncClient, _target: Target) -> int:
        return (await client.post("/", content=body())).status_code

    assert asking(step, use=use)[0] == 413


def test_surplus_bytes_never_reach_the_next_request() -> None:
    async def use(client: httpx.AsyncClient, _target: Target) -> list[bytes]:
        return [(await client.get("/")).content for _ in range(2)]

    poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    bodies, _ = asking(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + poison), respond(200, b"clean"), use=use)
    assert bodies == [b"ok", b"clean"]


def test_a_reset_inside_an_upload_is_raised_as_httpx_would() -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)
            await asyncio.sleep(0)

    async def use(client: httpx.AsyncClient, target: Target) -> None:
        for _ in range(20):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/", content=body())
        while target.open:
            await asyncio.sleep(0.001)

    asking(reset(), use=use)


def test_code_of_ones_own_asks_an_upstream_by_the_same_balancer_and_connections() -> None:
    with origin(respond(200, b"one")) as one, origin(respond(200, b"two")) as two:
        options = {"upstreams": {"u": {"targets": [one.url, two.url]}}, "routes": [{"path": "/*", "upstream": "u"}]}
        with gateway(options) as front:

            async def ask() -> list[bytes]:
                return [(await front.app.client("u").get("/x?y=1")).content for _ in range(4)]

            assert sorted(front.run(ask())) == [b"one", b"one", b"two", b"two"]
            assert [front.target(index, "u").open for index in range(2)] == [1, 1]
            with pytest.raises(KeyError):
                front.app.client("unheard-of")
        assert one.requests[0].target == b"/x?y=1"
        with pytest.raises(RuntimeError, match="does not run"):
            front.app.client("u")


def test_a_target_that_had_begun_to_answer_is_not_asked_again() -> None:
    hint = raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n", close=True)

    async def use(client: httpx.AsyncClient, _target: Target) -> None:
        await client.get("/")
        with pytest.raises(httpx.TransportError):
            await client.get("/")

    _, server = asking(respond(200, b"ok"), hint, respond(200, b"again"), use=use)
    assert len(server.requests) == 2
