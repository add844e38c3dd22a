"""One request and its answer under our protocol class: the ASGI messages, and the stream extension beyond them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from gateway.outlet import COPIED
from gateway.rfc.octets import has_break
from gateway.server.done import DONE
from gateway.server.framing import LAST_CHUNK, app_lines, chunk, interim_lines, passed_on
from gateway.server.stream import STREAM

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.exchange import Headers, ResponseHead
    from gateway.gone import Watchable
    from gateway.rfc.message import Original, RequestHead
    from gateway.server.protocol import GatewayProtocol

log = logging.getLogger("gateway.server")

BODY_HIGH_WATER: Final = 65536  # bytes of a request body that wait for the app

ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
METHODS: Final = {method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}

EXTENSIONS: Final[dict[str, dict[str, object]]] = {"http.response.trailers": {}, "http.response.early_hint": {}}


class Cycle:
    """keep_alive: another request may follow on this connection."""

    __slots__ = (
        "_bodiless", "_body", "_body_size", "_chunked", "_disconnected", "_end_given", "_finished", "_kept_trailers",
        "_left", "_more_body", "_protocol", "_room", "_task", "_trailers", "_waiter", "_wants_continue",
        "_watched", "closes", "head", "keep_alive", "started",
    )  # fmt: skip

    def __init__(self, protocol: GatewayProtocol, head: RequestHead) -> None:
        self._protocol = protocol
        self.head = head
        self.keep_alive = head.fields.keep_alive
        self.closes = not self.keep_alive
        self._watched: Watchable | None = None
        self.started = False
        self._finished = False
        self._disconnected = False
        self._end_given = False
        self._bodiless = False
        self._kept_trailers: Headers = []
        self._wants_continue = head.fields.expects_continue
        self._body: list[bytes] = []
        self._body_size = 0
        self._more_body = head.fields.length != 0
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None  # for whoever sends to a client that takes nothing
        self._chunked = False
        self._left = -1  # bytes of a declared length still to come; -1: none declared
        self._trailers = False
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Awaitable[None] | None = None) -> None:
        """Ask the app; or do this work, which answers by `send` as the app would."""
        protocol = self._protocol
        self._task = protocol.loop.create_task(self._run(work))
        protocol.server_state.tasks.add(self._task)

    # ------------------------------------------------------------ fed by the protocol

    def feed(self, data: bytes, *, whole: bool) -> None:
        self._more_body = not whole
        if data and not self._finished:
            self._body.append(data)
            self._body_size += len(data)
            if self._body_size > BODY_HIGH_WATER and not whole:
                self._protocol.pause_reading()
        self._wake()

    def disconnect(self) -> None:
        """The client has gone, or can not be understood any more."""
        if self._disconnected or self._finished:
            return
        self._disconnected = True
        self._wake()
        self.writable()
        if self._watched is not None:
            watched, self._watched = self._watched, None
            watched.gone()

    def writable(self) -> None:
        """The client takes more of the answer, or has gone."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    @property
    def is_gone(self) -> bool:
        return self._disconnected

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------ the app

    async def _run(self, work: Awaitable[None] | None) -> None:
        protocol = self._protocol
        try:
            if work is None and protocol.lane is not None:
                work = protocol.lane.serve(protocol, self)
            await (work or protocol.app(self._scope(), self.receive, self.send))
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception:
            log.exception("exception in the ASGI app")
            await self._fail()
        else:
            if not self._finished and not self._disconnected:
                if not self.started:
                    log.error("the ASGI app returned without an answer")
                await self._fail()
        finally:
            if self._task is not None:
                protocol.server_state.tasks.discard(self._task)
            protocol.released(self)

    async def _fail(self) -> None:
        """500 while that can be said; afterwards a broken connection is the only honest answer."""
        if self._disconnected or self._finished:
            return
        if self.started:
            self.abort()
            return
        body = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _scope(self) -> dict[str, Any]:
        protocol = self._protocol
        head = self.head
        path = head.path
        text = path.decode("latin-1")
        root_path = protocol.config.root_path
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": "1.1" if head.minor else "1.0",
            "method": METHODS.get(head.method) or head.method.decode("latin-1"),
            "scheme": protocol.scheme,
            "path": root_path + (unquote(text) if "%" in text else text),
            "raw_path": root_path.encode() + path,
            "root_path": root_path,
            "query_string": head.query or b"",
            "headers": list(head.fields.headers),
            "client": protocol.client,
            "server": protocol.server,
            "state": protocol.state.copy(),
            "extensions": {**EXTENSIONS, STREAM: self},
        }

    async def receive(self) -> dict[str, Any]:
        if self._wants_continue:
            self._say_continue()
        if not self._end_given:
            while not self._body and self._more_body and not self._disconnected:
                await self._wait()
            if not self._disconnected:
                return self._take_body()
        while not self._disconnected and not self._finished:
            await self._wait()
        return {"type": "http.disconnect"}

    def _take_body(self) -> dict[str, Any]:
        body = self._body
        data = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        self._body_size = 0
        self._end_given = not self._more_body
        self._protocol.resume_reading()
        return {"type": "http.request", "body": data, "more_body": self._more_body}

    async def _wait(self) -> None:
        self._waiter = self._protocol.loop.create_future()
        await self._waiter

    def _say_continue(self) -> None:
        """The app wants the body that the client holds back (RFC 9110 section 10.1.1)."""
        self._wants_continue = False
        if not self.started and self._more_body and not self._body and not self._disconnected:
            self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def send(self, message: dict[str, Any]) -> None:
        if self._protocol.write_paused and not self._disconnected:
            self._room = self._protocol.loop.create_future()
            await self._room
        if self._disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body":
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start":
            self._send_head(message["status"], message.get("headers", ()), trailers=message.get("trailers", False))
        elif kind == "http.response.trailers":
            self._send_trailers(message.get("headers", ()), more=message.get("more_trailers", False))
        elif kind == "http.response.early_hint":
            self.interim(103, [(b"link", link) for link in message["links"]])
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    # ------------------------------------------------------------ the same without messages, for whoever serves the cycle itself

    def start_answer(self, head: ResponseHead, source: Original | None, *, trailers: bool) -> Awaitable[None]:
        status, headers = head.status, head.headers
        if self._protocol.write_paused or self._disconnected:
            return self.send({"type": "http.response.start", "status": status, "headers": headers, "trailers": trailers})
        if source is not None:
            lines, says_length = passed_on(source, status, headers, self._protocol.shared.stamps)
            if says_length is (head.length is not None):
                self._start(lines, status, -1 if head.length is None else head.length, trailers=trailers, says_length=says_length)
                return DONE
        self._send_head(status, headers, trailers=trailers)
        return DONE

    def send_chunk(self, data: bytes, *, more: bool) -> Awaitable[None]:
        if self._protocol.write_paused or self._disconnected:
            return self.send({"type": "http.response.body", "body": data, "more_body": more})
        self._send_body(data, more=more)
        return DONE

    def send_trailers(self, headers: Headers) -> Awaitable[None]:
        return self.send({"type": "http.response.trailers", "headers": headers})

    # ------------------------------------------------------------ the answer on the wire

    def _send_head(self, status: int, headers: Headers, *, trailers: bool) -> None:
        lines, length, closes = app_lines(status, headers, self._protocol.shared.stamps)
        if closes:
            self.keep_alive = False
        self._start(lines, status, length, trailers=trailers, says_length=False)

    def _start(self, lines: bytes, status: int, length: int, *, trailers: bool, says_length: bool) -> None:
        """says_length: the lines have it already."""
        if self.started:
            raise RuntimeError("http.response.start was sent twice")
        self.started = True
        framing = self._framing(status, length, trailers=trailers, says_length=says_length)
        self._protocol.transport.write_soon(b"%b%b\r\n" % (lines, framing))

    def _framing(self, status: int, length: int, *, trailers: bool, says_length: bool) -> bytes:
        """Decide how the body ends and whether the connection goes on (RFC 9112 sections 6 and 9.3)."""
        framing = b"" if length < 0 or status == 204 or says_length else b"content-length: %d\r\n" % length
        if self.head.method == b"HEAD" or status in (204, 304):
            self._bodiless = True
        elif length >= 0:
            self._left = length
        elif self.head.minor == 1:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        else:
            self.keep_alive = False  # an HTTP/1.0 client: the body ends with the connection
        self._trailers = trailers
        if self._more_body:  # an answer before the request was whole: what follows is not read as a request
            self.keep_alive = False
        if not self.keep_alive:
            return framing + b"connection: close\r\n"
        return framing if self.head.minor == 1 else framing + b"connection: keep-alive\r\n"

    def _send_body(self, data: bytes, *, more: bool) -> None:
        if not self.started or self._finished:
            raise RuntimeError("http.response.body outside an answer")
        ends = not more and not self._trailers
        if self._bodiless:
            data = b""
        elif self._chunked:
            data = chunk(data) + LAST_CHUNK if ends else chunk(data)
        elif self._left >= 0:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                self._finished = True
                self._protocol.transport.abort()
                raise RuntimeError("the body does not have its Content-Length")
        if data and ends and len(data) < COPIED:
            self._protocol.transport.write_soon(data)
        elif data:
            self._protocol.transport.write(data)
        if ends:
            self._finish()

    def _send_trailers(self, headers: Headers, *, more: bool) -> None:
        if not self._trailers:
            raise RuntimeError("http.response.trailers were not announced")
        self._kept_trailers += headers
        if not more:
            if self._chunked:
                lines = [b"%s: %s" % (name, value) for name, value in self._kept_trailers]
                if has_break(b"".join(lines)):
                    raise RuntimeError("a trailer field holds a line break")
                self._protocol.transport.write(b"\r\n".join((b"0", *lines, b"", b"")))
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        self._watched = None
        self._wake()
        self._protocol.answered(self._protocol.deadlines.now(), keep_alive=self.keep_alive)

    # ------------------------------------------------------------ the stream extension

    def begin(self, exchange: Watchable) -> None:
        if self._disconnected:  # before anybody could be told
            exchange.gone()
        else:
            self._watched = exchange

    def end(self, exchange: Watchable) -> None:
        self._watched = None

    def interim(self, status: int, headers: Headers) -> None:
        if self.started or self._disconnected or self.head.minor == 0:
            return
        self._protocol.transport.write(interim_lines(status, headers))

    def abort(self) -> None:
        """Break the answer off. What a declared framing shows as cut is flushed; else only a reset tells."""
        if self._finished or self._disconnected:
            return
        self._finished = True
        self._watched = None
        self._protocol.break_off(shown=self._chunked or self._left > 0)

    def switch(self, headers: Headers) -> tuple[asyncio.Transport, bytes]:
        protocol = self._protocol
        lines = interim_lines(101, headers)
        self.started = self._finished = True
        self._watched = None
        protocol.give_up()
        protocol.transport.write(lines)
        return protocol.transport.raw, protocol.take_buffer()

    def hand_over(self) -> None:
        """As uvicorn's own classes do: the request is written again for the WebSocket protocol class."""
        protocol = self._protocol
        self.started = self._finished = True
        self._watched = None
        head = self.head
        lines = [head.method, b" ", head.origin_form, b" HTTP/1.1\r\n"]
        for name, value in head.fields.headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (b"\r\n", protocol.take_buffer())
        protocol.give_up()
        protocol.connections.discard(protocol)
        successor = protocol.config.ws_protocol_class(  # type: ignore[misc,call-arg]
            config=protocol.config, server_state=protocol.server_state, app_state=protocol.state
        )
        transport = protocol.transport.raw
        successor.connection_made(transport)
        successor.data_received(b"".join(lines))
        transport.set_protocol(successor)
