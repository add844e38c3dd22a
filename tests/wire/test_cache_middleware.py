"""The cache before an ASGI app, under a plain server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gateway.middleware import CacheMiddleware, redis_store
from support.caching import are_waiting
from support.client import connected, get
from support.redis import redis_server
from support.serving import Served, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Message = dict[str, Any]


class App:
    """Answers as its path says, and counts. `go` lets the slow ones on."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.go: asyncio.Event | None = None

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["type"] == "lifespan":
            self.go = asyncio.Event()
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        self.calls.append(scope)
        await getattr(self, scope["path"].split("/")[1])(scope, receive, send)

    async def answer(self, send: Callable[[Message], Awaitable[None]], *pieces: bytes, status: int = 200, control: bytes = b"max-age=60", **more: str) -> None:
        fields = [(b"Cache-Control", control), *((name.replace("_", "-").encode(), value.encode()) for name, value in more.items())]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    async def fresh(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(send, b"call ", b"%d" % len(self.calls), ETag='"1"')

    async def short(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(send, b"half" if len(self.calls) == 1 else b"complete", content_length="8")

    async def large(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(send, *[bytes(65536)] * 64, control=b"no-store")

    async def slow(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.go is not None
        await self.go.wait()
        await self.answer(send, b"slow")

    async def host(self, scope: Any, receive: Any, send: Any) -> None:
        fields = dict(scope["headers"])
        await self.answer(send, fields.get(b"x-forwarded-host", b"none"))

    async def posted(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await self.answer(send, b"got " + message["body"], content_location="/posted")

    async def broken(self, scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("on purpose")

    async def once(self, scope: Any, receive: Any, send: Any) -> None:
        if len(self.calls) > 1:
            raise RuntimeError("on purpose")
        await self.answer(send, b"once", control=b"max-age=0, stale-if-error=60", ETag='"1"')

    async def silent(self, scope: Any, receive: Any, send: Any) -> None:
        return

    async def half(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def front(app: App) -> Iterator[Served]:
    with served(CacheMiddleware(app, ttl=60.0)) as running:
        yield running


def test_the_app_is_called_once(app: App, front: Served):
    first, second = get(front.port, "/fresh"), get(front.port, "/fresh")
    assert first.body == second.body == b"call 1"
    assert (second.get("age"), second.get("content-length"), second.get("etag")) == (b"0", b"6", b'"1"')
    assert get(front.port, "/fresh", 'If-None-Match: "1"').status == 304
    assert get(front.port, "/fresh", "Range: bytes=0-3").body == b"call"
    assert get(front.port, "/fresh", method="HEAD").get("content-length") == b"6"
    assert len(app.calls) == 1


def test_an_answer_that_is_not_stored_flows_with_the_client(app: App, front: Served):
    for expected in (b"gateway; fwd=uri-miss; detail=no-store", b"gateway; fwd=uri-miss; detail=no-store"):
        answer = get(front.port, "/large")
        assert (len(answer.body), answer.get("cache-status")) == (64 * 65536, expected)
    assert len(app.calls) == 2


def test_processes_that_share_a_redis_share_calls_and_purges():
    app = App()
    with redis_server() as redis, served(CacheMiddleware(app, store=redis_store(redis.url))) as one:
        with served(CacheMiddleware(app, store=redis_store(redis.url))) as other:
            with ThreadPoolExecutor(20) as pool:
                asked = [pool.submit(get, front.port, "/slow") for front in (one, other) for _ in range(10)]
                one.until(lambda: app.calls)
                one.loop.call_soon_threadsafe(app.go.set)  # type: ignore[union-attr]
                other.loop.call_soon_threadsafe(app.go.set)  # type: ignore[union-attr]
                assert {future.result().body for future in asked} == {b"slow"}
            assert len(app.calls) == 1
            for purge in ({"url": ["http://test/fresh"]}, {"url": ["HTTP://TEST:80/fresh"]}, {"prefix": ["/fr"]}, {"tag": ["none"], "everything": True}):
                before = get(one.port, "/fresh").body
                one.until(lambda: one.app.store.is_current)
                asyncio.run_coroutine_threadsafe(other.app.purge(**purge), other.loop).result()
                assert get(other.port, "/fresh").body != before


def test_a_store_is_made_with_the_first_request_where_no_lifespan_is():
    with redis_server() as redis:
        cached = CacheMiddleware(App(), store=redis_store(redis.url, memory=0))  # no loop runs here

        async def main() -> list[bytes]:
            bodies: list[bytes] = []

            async def send(message: Message) -> None:
                bodies.append(message.get("body", b""))

            async def receive() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            scope = {
                "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/fresh", "raw_path": b"/fresh",
                "query_string": b"", "headers": [(b"host", b"x")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            }  # fmt: skip
            await asyncio.gather(*(cached(scope, receive, send) for _ in range(2)))
            await cached.purge(everything=True, soft=True)
            await cached.store.stop()
            return bodies

        assert b"".join(asyncio.run(main())) == b"call 1" * 2


@pytest.mark.parametrize(("url", "fault"), [("", "empty"), ("http://x", "redis://"), ("redis://a:b", "port")])
def test_what_is_wrong_with_a_redis_is_said_at_once(url: str, fault: str):
    with pytest.raises(ValueError, match=fault):
        redis_store(url)


def test_many_clients_share_one_call(app: App, front: Served):
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(get, front.port, "/slow") for _ in range(20)]
        cache = front.app._cache
        front.until(lambda: are_waiting(cache.fetches, 20))
        front.loop.call_soon_threadsafe(app.go.set)  # type: ignore[union-attr]
        assert {future.result().body for future in asked} == {b"slow"}
    assert len(app.calls) == 1


def test_an_unsafe_request_drops_what_is_stored_and_reaches_the_app_with_its_body(app: App, front: Served):
    get(front.port, "/fresh")
    assert get(front.port, "/posted", method="POST", body=b"x").body == b"got x"
    assert get(front.port, "/posted").body == b"got x"
    get(front.port, "/fresh", method="DELETE")
    assert get(front.port, "/fresh").body == b"call 4"


def test_fields_that_a_client_can_send_itself_are_part_of_the_key(app: App, front: Served):
    assert get(front.port, "/host", "X-Forwarded-Host: evil.example").body == b"evil.example"
    assert get(front.port, "/host").body == b"none"
    assert get(front.port, "/host", "X-Forwarded-For: 1.2.3.4").get("cache-status", ).startswith(b"gateway; hit")  # type: ignore[union-attr]


def test_an_app_that_fails_is_told_and_nothing_is_stored(app: App, front: Served, caplog: pytest.LogCaptureFixture):
    assert get(front.port, "/broken").status == 500
    assert "on purpose" in caplog.text
    assert get(front.port, "/silent").status == 502
    assert not get(front.port, "/half").complete
    assert get(front.port, "/fresh").body == b"call 4"


def test_a_body_that_is_shorter_than_the_app_said_is_not_stored(app: App, front: Served):
    first, second = get(front.port, "/short"), get(front.port, "/short")
    assert (first.body, first.complete) == (b"half", False)
    assert (second.body, second.complete) == (b"complete", True)


def test_what_is_stale_helps_out_when_the_app_fails(app: App, front: Served):
    assert [get(front.port, "/once").body for _ in range(2)] == [b"once", b"once"]
    assert len(app.calls) == 2


def test_a_client_that_leaves_ends_the_call(app: App, front: Served):
    with connected(front.port) as client:
        client.request("/slow")
        front.until(lambda: app.calls)
    front.until(lambda: not len(front.app._tasks))
