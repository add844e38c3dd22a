"""What the middlewares do with ASGI messages that few servers and applications send."""

from __future__ import annotations

import asyncio
import gzip
import threading
from typing import TYPE_CHECKING, Any

import pytest

from gateway.compress import CODINGS, Coding, GzipEncoder
from gateway.middleware import CompressionMiddleware, IPAllowlistMiddleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 20.0  # seconds until a test that waits for something gives up
TEXT = b"some text, " * 1000
PLAIN = (b"content-type", b"text/plain")
LENGTH = (b"content-length", b"%d" % len(TEXT))


def http_scope(**more: Any) -> Scope:
    return {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"gzip")], "client": None, **more}


def sent_through(app: ASGIApp, scope: Scope, *received: Message) -> list[Message]:
    """The messages that the server gets from the app."""
    sent: list[Message] = []
    queue = list(received)

    async def receive() -> Message:
        return queue.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def answering(*messages: Message) -> CompressionMiddleware:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return CompressionMiddleware(app, encodings=["gzip"])


def start(*headers: tuple[bytes, bytes], **more: Any) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(headers), **more}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def decoded(messages: list[Message]) -> bytes:
    return gzip.decompress(b"".join(message["body"] for message in messages if message["type"].endswith(".body")))


@pytest.mark.parametrize("headers", [(PLAIN, LENGTH), (PLAIN,)])
def test_a_file_that_the_server_sends_by_itself_keeps_its_plain_head(headers):
    file = {"type": "http.response.pathsend", "path": "/a"}
    scope = http_scope(extensions={"http.response.pathsend": {}})
    head, *rest = sent_through(answering(start(*headers), file), scope)
    assert head["headers"] == [*headers, (b"vary", b"accept-encoding")]
    assert rest == [file]


def test_a_body_is_encoded_though_the_server_could_send_files():
    scope = http_scope(extensions={"http.response.pathsend": {}})
    head, *rest = sent_through(answering(start(PLAIN), body(TEXT, more=True), body(TEXT)), scope)
    assert (b"content-encoding", b"gzip") in head["headers"]
    assert decoded(rest) == TEXT * 2


def test_zero_copy_sending_is_not_offered_to_the_application():
    seen: list[Any] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["extensions"])

    offered = {"http.response.zerocopysend": {}, "http.response.trailers": {}}
    scope = http_scope(extensions=offered)
    sent_through(CompressionMiddleware(app), scope)
    assert seen == [{"http.response.trailers": {}}]
    assert scope["extensions"] is offered


def test_trailers_follow_an_encoded_body_that_has_no_length():
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    head, data, last = sent_through(answering(start(PLAIN, LENGTH, trailers=True), body(TEXT), trailers), http_scope())
    assert all(name != b"content-length" for name, _ in head["headers"])
    assert head["trailers"] is True
    assert decoded([data]) == TEXT
    assert last == trailers


def test_early_hints_go_on_at_once():
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
    assert sent_through(answering(hint, start(PLAIN, LENGTH), body(TEXT)), http_scope())[0] == hint


def test_names_that_are_not_in_lowercase_are_understood():
    fields = [(b"Content-Type", b"text/plain"), (b"Content-Length", LENGTH[1]), (b"Content-Encoding", b"br")]
    assert sent_through(answering(start(*fields), body(TEXT)), http_scope())[1]["body"] == TEXT
    head, data = sent_through(answering(start(*fields[:2]), body(TEXT)), http_scope())
    assert [value for name, value in head["headers"] if name == b"content-length"] == [b"%d" % len(data["body"])]


def test_the_applications_own_message_and_fields_are_not_changed():
    message = start(PLAIN, LENGTH)
    before = list(message["headers"])
    sent_through(answering(message, body(TEXT)), http_scope())
    assert message["headers"] == before


@pytest.mark.parametrize("bodies", [[TEXT + b"x"], [TEXT[1:]], [TEXT, b"x"], [TEXT[:9], b""]])
def test_a_body_that_belies_its_content_length_is_a_fault(bodies):
    messages = [body(data, more=True) for data in bodies[:-1]] + [body(bodies[-1])]
    with pytest.raises(RuntimeError, match="Content-Length"):
        sent_through(answering(start(PLAIN, LENGTH), *messages), http_scope())


def test_what_is_not_http_passes_untouched():
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    scopes: list[Scope] = [{"type": "lifespan"}, {"type": "websocket"}]
    for scope in scopes:
        sent_through(CompressionMiddleware(app), scope)
    sent_through(IPAllowlistMiddleware(app, allow=["10.0.0.1"]), scopes[0])
    assert seen == [*scopes, scopes[0]]


class WaitingEncoder(GzipEncoder):
    """Encodes when the event loop has said so: it would wait in vain if it ran in the loop's own thread."""

    released = threading.Event()

    def whole(self, data: bytes) -> bytes:
        assert self.released.wait(PATIENCE)
        return super().whole(data)


def test_the_event_loop_runs_on_while_a_large_chunk_is_compressed(monkeypatch):
    monkeypatch.setitem(CODINGS, b"gzip", Coding(WaitingEncoder, range(1, 10), 5))

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start(PLAIN, LENGTH))
        asyncio.get_running_loop().call_soon(WaitingEncoder.released.set)
        await send(body(TEXT))

    large = CompressionMiddleware(app, thread_minimum_size=len(TEXT), encodings=["gzip"])
    assert decoded(sent_through(large, http_scope())) == TEXT


def test_a_websocket_is_closed_where_the_server_cannot_send_a_refusal():
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("the application was reached")

    scope = {"type": "websocket", "headers": [], "client": ("192.0.2.1", 1)}
    guarded = IPAllowlistMiddleware(app, deny=["192.0.2.0/24"])
    assert sent_through(guarded, scope, {"type": "websocket.connect"}) == [
        {"type": "websocket.close", "code": 1008, "reason": ""}
    ]
    assert sent_through(guarded, scope, {"type": "websocket.disconnect", "code": 1006}) == []
