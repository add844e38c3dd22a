"""The stand-alone middlewares in a Starlette application under real uvicorn, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gateway.compress import CODINGS
from gateway.middleware import CompressionMiddleware, IPAllowlistMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

PATIENCE = 20.0  # seconds until a test that waits for something gives up
TEXT = "the quick brown fox jumps over the lazy dog\n" * 500


@contextmanager
def served(app: ASGIApp, listener: socket.socket | None = None) -> Iterator[str]:
    """The base URL of the app under uvicorn; the listener's backlog takes connections before the server is up."""
    if listener is None:
        listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http="httptools", ws="websockets-sansio", lifespan="off", log_config=None, proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        name = listener.getsockname()
        yield f"http://127.0.0.1:{name[1]}" if isinstance(name, tuple) else "http://unix"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
    assert not thread.is_alive()


def asking(url: str, **headers: str) -> httpx.Client:
    """A client that sends no field of its own that matters here."""
    client = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)
    del client.headers["accept-encoding"]
    client.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return client


class Gate:
    """Lets the application wait for the test."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.opened_in_time = False

    def open(self) -> None:
        self._event.set()

    async def passed(self) -> None:
        self.opened_in_time = await asyncio.to_thread(self._event.wait, PATIENCE)


def an_application(gate: Gate, **options: Any) -> Starlette:
    async def text(_request: Request) -> Response:
        return PlainTextResponse(TEXT, headers={"ETag": '"v1"', "Accept-Ranges": "bytes"})

    async def small(_request: Request) -> Response:
        return PlainTextResponse("small")

    async def encoded(_request: Request) -> Response:
        return Response(gzip.compress(TEXT.encode()), headers={"Content-Encoding": "gzip"}, media_type="text/plain")

    async def untransformed(_request: Request) -> Response:
        return PlainTextResponse(TEXT, headers={"Cache-Control": "no-transform"})

    async def chunks() -> AsyncIterator[bytes]:
        yield b"first "
        await gate.passed()
        yield b"second"

    async def streamed(_request: Request) -> Response:
        return StreamingResponse(chunks(), media_type="text/plain")

    async def events(_request: Request) -> Response:
        return StreamingResponse(chunks(), media_type="text/event-stream")

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return Starlette(
        routes=[
            Route("/text", text),
            Route("/small", small),
            Route("/encoded", encoded),
            Route("/untransformed", untransformed),
            Route("/streamed", streamed),
            Route("/events", events),
            WebSocketRoute("/echo", echo),
        ],
        middleware=[Middleware(CompressionMiddleware, **options)],
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(an_application(Gate(), minimum_size=100)) as base:
        yield base


def test_the_middleware_is_starlettes_put_right():
    assert issubclass(CompressionMiddleware, GZipMiddleware)


@pytest.mark.parametrize("coding", [coding.decode() for coding in CODINGS])
def test_a_text_comes_encoded_and_with_its_length(url, coding):
    with asking(url, accept_encoding=coding) as client, client.stream("GET", "/text") as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == coding
    assert int(answer.headers["content-length"]) == len(raw) < len(TEXT) // 10
    assert answer.headers["vary"].lower() == "accept-encoding"
    assert answer.headers["etag"] == 'W/"v1"'
    assert "accept-ranges" not in answer.headers
    with asking(url, accept_encoding=coding) as client:
        assert client.get("/text").text == TEXT


@pytest.mark.parametrize("accepted", ["gzip;q=0", "identity", "x-unknown", "*;q=0"])
def test_who_does_not_take_a_coding_gets_the_plain_text(url, accepted):
    with asking(url, accept_encoding=accepted) as client:
        answer = client.get("/text")
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"].lower() == "accept-encoding"
    assert answer.headers["etag"] == '"v1"'
    assert answer.content == TEXT.encode()


def test_who_says_nothing_gets_the_plain_text(url):
    with asking(url) as client:
        answer = client.get("/text")
    assert "content-encoding" not in answer.headers
    assert answer.content == TEXT.encode()


def test_a_small_text_stays_plain_and_varies(url):
    with asking(url, accept_encoding="gzip") as client:
        answer = client.get("/small")
    assert "content-encoding" not in answer.headers
    assert (answer.headers["content-length"], answer.headers["vary"].lower()) == ("5", "accept-encoding")


def test_the_head_for_head_names_the_same_representation(url):
    with asking(url, accept_encoding="gzip") as client:
        to_get, to_head = client.get("/text"), client.head("/text")
        assert client.get("/small").text == "small"  # the connection is still in step
    for name in ("content-encoding", "etag", "vary", "content-type"):
        assert to_head.headers[name] == to_get.headers[name]
    assert to_head.headers.get("content-length") in (None, to_get.headers["content-length"])
    assert to_head.content == b""


def test_what_is_encoded_already_is_not_encoded_twice(url):
    with asking(url, accept_encoding="gzip") as client:
        answer = client.get("/encoded")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == TEXT


def test_no_transform_is_respected(url):
    with asking(url, accept_encoding="gzip") as client:
        answer = client.get("/untransformed")
    assert "content-encoding" not in answer.headers
    assert answer.content == TEXT.encode()


def test_a_websocket_passes_through(url):
    with connect(url.replace("http", "ws") + "/echo", proxy=None) as websocket:
        websocket.send("hello")
        assert websocket.recv(PATIENCE) == "hello"


def decoder_of(coding: str) -> Any:
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    if coding == "zstd":
        return pytest.importorskip("zstandard").ZstdDecompressor().decompressobj().decompress
    return pytest.importorskip("brotli").Decompressor().process


@pytest.mark.parametrize("coding", [coding.decode() for coding in CODINGS])
def test_a_streamed_chunk_can_be_read_before_the_next_one_is_made(coding):
    gate, decode, text = Gate(), decoder_of(coding), b""
    with (
        served(an_application(gate)) as base,
        asking(base, accept_encoding=coding) as client,
        client.stream("GET", "/streamed") as answer,
    ):
        assert answer.headers["content-encoding"] == coding
        raw = answer.iter_raw()
        while text != b"first ":
            text += decode(next(raw))
        gate.open()
        text += b"".join(decode(chunk) for chunk in raw)
    assert text == b"first second"
    assert gate.opened_in_time


def test_an_event_stream_is_passed_on_as_it_comes():
    gate = Gate()
    with (
        served(an_application(gate, types=["text/*"])) as base,
        asking(base, accept_encoding="gzip") as client,
        client.stream("GET", "/events") as answer,
    ):
        assert "content-encoding" not in answer.headers
        raw = answer.iter_raw()
        assert next(raw) == b"first "
        gate.open()
        assert b"".join(raw) == b"second"
    assert gate.opened_in_time


def test_the_head_of_a_stream_goes_before_its_first_chunk():
    gate = Gate()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await gate.passed()
        await send({"type": "http.response.body", "body": b"late"})

    with (
        served(CompressionMiddleware(app)) as base,
        asking(base, accept_encoding="gzip") as client,
        client.stream("GET", "/") as answer,
    ):
        assert answer.headers["content-encoding"] == "gzip"
        gate.open()
        assert answer.read() == b"late"
    assert gate.opened_in_time


def test_a_file_is_encoded_whole_and_plain_in_parts(tmp_path: Path):
    data = "".join(f"line {number}\n" for number in range(50_000)).encode()
    (tmp_path / "lines.txt").write_bytes(data)

    async def file(_request: Request) -> Response:
        return FileResponse(tmp_path / "lines.txt")

    app = Starlette(routes=[Route("/", file)], middleware=[Middleware(CompressionMiddleware)])
    with served(app) as base, asking(base, accept_encoding="gzip") as client:
        whole = client.get("/")
        part = client.get("/", headers={"Range": "bytes=10-4999"})
        again = client.get("/", headers={"If-Range": whole.headers["etag"], "Range": "bytes=10-4999"})
    assert whole.headers["content-encoding"] == "gzip"
    assert whole.content == data
    assert (part.status_code, part.content) == (206, data[10:5000])
    assert "content-encoding" not in part.headers
    assert (again.status_code, again.content) == (200, data)  # a weak validator joins no parts


@pytest.mark.parametrize("claimed", [len(TEXT) + 1, len(TEXT) - 1])
def test_a_body_that_belies_its_length_does_not_arrive_as_a_complete_one(claimed):
    async def wrong(_request: Request) -> Response:
        return PlainTextResponse(TEXT, headers={"Content-Length": str(claimed)})

    app = Starlette(routes=[Route("/", wrong)], middleware=[Middleware(CompressionMiddleware)])
    with served(app) as base, asking(base, accept_encoding="gzip") as client:
        assert client.get("/").status_code == 500


# ---------------------------------------------------------------- IPAllowlistMiddleware


def guarded(**options: Any) -> Starlette:
    async def home(_request: Request) -> Response:
        return PlainTextResponse("welcome")

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("welcome")
        await websocket.close()

    return Starlette(
        routes=[Route("/", home), WebSocketRoute("/echo", echo)],
        middleware=[Middleware(IPAllowlistMiddleware, **options)],
    )


def assert_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "Access to this resource is not allowed.",
    }


@pytest.mark.parametrize(
    "options", [{}, {"allow": ["127.0.0.0/8"]}, {"allow": ["::ffff:127.0.0.1"]}, {"deny": ["::1"]}]
)
def test_a_client_that_the_rules_allow_comes_in(options):
    with served(guarded(**options)) as base, asking(base) as client:
        assert client.get("/").text == "welcome"
        with connect(base.replace("http", "ws") + "/echo", proxy=None) as websocket:
            assert websocket.recv(PATIENCE) == "welcome"


@pytest.mark.parametrize(
    "options", [{"allow": ["10.0.0.0/8"]}, {"deny": ["127.0.0.1"]}, {"allow": ["127.0.0.1"], "deny": ["127.0.0.0/8"]}]
)
def test_another_client_is_refused(options):
    with served(guarded(**options)) as base, asking(base) as client:
        assert_refused(client.get("/"))
        to_head = client.head("/")
        assert (to_head.status_code, to_head.content) == (403, b"")
        assert_refused(client.get("/"))
        with pytest.raises(InvalidStatus) as refusal, connect(base.replace("http", "ws") + "/echo", proxy=None):
            pass
        assert refusal.value.response.status_code == 403
        assert refusal.value.response.headers["content-type"] == "application/problem+json"


def test_a_strangers_forwarded_address_is_not_believed():
    with served(guarded(allow=["10.0.0.0/8"])) as base, asking(base, x_forwarded_for="10.0.0.1") as client:
        assert_refused(client.get("/"))


def test_a_trusted_proxys_forwarded_address_is_the_one_that_counts():
    app = guarded(allow=["10.0.0.0/8"], trusted_proxies=["127.0.0.1"])
    with served(app) as base, asking(base) as client:
        assert client.get("/", headers={"X-Forwarded-For": "10.0.0.1"}).text == "welcome"
        assert_refused(client.get("/", headers={"X-Forwarded-For": "10.0.0.1, 203.0.113.7"}))
        assert_refused(client.get("/"))


@pytest.mark.parametrize(("options", "status"), [({}, 200), ({"deny": ["10.0.0.1"]}, 200), ({"allow": ["::/0"]}, 403)])
def test_a_peer_without_an_address_comes_in_only_where_allow_is_empty(tmp_path: Path, options, status):
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    with served(guarded(**options), listener) as base, httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
        assert client.get(base).status_code == status


def test_bodies_in_many_chunks_come_out_the_same():
    parts = [hashlib.sha256(b"%d" % number).hexdigest().encode() * (number % 40) for number in range(300)]

    async def many() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def streamed(_request: Request) -> Response:
        return StreamingResponse(many(), media_type="text/plain", headers={"Content-Length": str(len(b"".join(parts)))})

    app = Starlette(routes=[Route("/", streamed)], middleware=[Middleware(CompressionMiddleware)])
    with served(app) as base:
        for coding in CODINGS:
            with asking(base, accept_encoding=coding.decode()) as client:
                answer = client.get("/")
                assert answer.headers["content-encoding"] == coding.decode()
                assert answer.content == b"".join(parts)
