"""Local ASGI apps for `asgi://support.local_apps:...` targets: they do what their path says, and tell what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

PATIENCE = 20.0
CHUNK = b"x" * 65536


class Probe:
    """A bare ASGI app. `reset` forgets what earlier tests left."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lifespan: list[str] = []
        self.scopes: list[dict[str, Any]] = []
        self.sent = 0
        self.received = 0
        self._events: dict[str, threading.Event] = {}

    def event(self, name: str) -> threading.Event:
        return self._events.setdefault(name, threading.Event())

    def wait(self, name: str) -> None:
        assert self.event(name).wait(PATIENCE), f"{name} did not happen"

    async def waited(self, name: str) -> None:
        assert await asyncio.to_thread(self.event(name).wait, PATIENCE), f"{name} did not happen"

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
            return
        self.scopes.append(scope)
        name = scope["path"].rpartition("/")[2].replace("-", "_")
        await getattr(self, f"{scope['type']}_{name}")(scope, receive, send)

    async def _run_lifespan(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        while True:
            try:
                message = await receive()
            except asyncio.CancelledError:
                self.lifespan.append("cancelled")
                raise
            self.lifespan.append(message["type"])
            if message["type"] == "lifespan.startup":
                scope["state"]["answer"] = 42
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    # ------------------------------------------------------------ HTTP

    async def http_scope(self, scope: dict[str, Any], _receive: Any, send: Any) -> None:
        seen = {key: value for key, value in scope.items() if isinstance(value, str | int | dict | list | tuple)}
        seen["headers"] = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        seen["raw_path"] = scope["raw_path"].decode()
        seen["query_string"] = scope["query_string"].decode()
        await answer(send, json.dumps(seen).encode(), b"application/json")

    async def http_echo(self, _scope: Any, receive: Any, send: Any) -> None:
        """Every piece of the body at once, as it comes."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Case", b"kept")]})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    async def http_stream(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await self.waited("first was read")
        await send({"type": "http.response.body", "body": b"second"})

    async def http_cancelled(self, _scope: Any, _receive: Any, _send: Any) -> None:
        """Lets a cancellation of its own escape."""
        raise asyncio.CancelledError

    async def http_flood(self, _scope: Any, _receive: Any, send: Any) -> None:
        """As much as is taken, and 256 MB at most."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(4096):
                await asyncio.wait_for(send({"type": "http.response.body", "body": CHUNK, "more_body": True}), 0.5)
                self.sent += len(CHUNK)
        except TimeoutError:
            self.event("stalled").set()
        except asyncio.CancelledError:
            self.event("cancelled").set()
            raise
        self.event("flooded").set()

    async def http_deaf(self, _scope: Any, receive: Any, send: Any) -> None:
        """Reads its body only when it is told to."""
        self.event("called").set()
        await self.waited("read now")
        more = True
        while more:
            message = await receive()
            self.received += len(message["body"])
            more = message["more_body"]
        await answer(send, b"%d" % self.received)

    async def http_early(self, _scope: Any, _receive: Any, send: Any) -> None:
        """Answers without reading the body."""
        await answer(send, b"no need")

    async def http_fail(self, _scope: Any, _receive: Any, _send: Any) -> None:
        msg = "the app is broken"
        raise ValueError(msg)

    async def http_fail_late(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        msg = "the app broke"
        raise ValueError(msg)

    async def http_nothing(self, _scope: Any, _receive: Any, _send: Any) -> None:
        return

    async def http_wait(self, _scope: Any, receive: Any, _send: Any) -> None:
        self.event("waiting").set()
        try:
            while (await receive())["type"] != "http.disconnect":
                continue
            self.event("client gone").set()
        except asyncio.CancelledError:
            self.event("client gone").set()
            raise

    async def http_trailers(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"4")]})

    # ------------------------------------------------------------ WebSocket

    async def websocket_echo(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-from", b"the app")]})
        while (message := await receive())["type"] == "websocket.receive":
            kind = "text" if message.get("text") is not None else "bytes"
            await send({"type": "websocket.send", kind: message[kind]})
        self.event(f"closed {message['code']}").set()

    async def websocket_close(self, _scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4003, "reason": "enough"})

    async def websocket_refuse(self, _scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    async def websocket_deny(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        assert "websocket.http.response" in scope["extensions"]
        headers = [(b"content-length", b"6")]
        await send({"type": "websocket.http.response.start", "status": 402, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"pay up"})

    async def websocket_fail(self, _scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        msg = "the app is broken"
        raise ValueError(msg)


async def answer(send: Any, body: bytes, kind: bytes = b"text/plain") -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


probe = Probe()


# ---------------------------------------------------------------- an app of a framework


@contextlib.asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"database": "open"}


async def _links(request: Request) -> JSONResponse:
    return JSONResponse({"link": str(request.url_for("links")), "state": request.state.database})


async def _inner(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("inner")


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"state": websocket.state.database, "link": str(websocket.url_for("links"))})
    await websocket.close(4004, "done")


shop = Starlette(
    routes=[
        Route("/links", _links, name="links"),
        Mount("/inner", routes=[Route("/page", _inner)]),
        WebSocketRoute("/socket", _socket),
    ],
    lifespan=_lifespan,
)


async def no_lifespan(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await answer(send, b"no lifespan")


async def fails_to_start(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


starts: list[None] = []


async def counts_starts(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers how often it was started in this process."""
    if scope["type"] == "lifespan":
        starts.append(None)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await answer(send, str(len(starts)).encode())
