"""WebSocket message by message, where the server speaks it and ASGI carries the messages.

Complete messages, close codes and reasons pass both ways, and so does a refused handshake with its status and body
where the server has the `websocket.http.response` extension. Frames and pings are the server's and ours: the byte
tunnel of `gateway run` (`tunnel.py`) passes them through and costs less.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from typing import TYPE_CHECKING, Any, Final, cast

from gateway.departure import outgoing
from gateway.errors import BadResponse, NoTarget, UpgradeFailed
from gateway.exchange import Reply, ResponseHead
from gateway.forward import attempt
from gateway.outgoing import response_headers
from gateway.upstream.answer import Answer
from gateway.upstream.local import local_scope
from gateway.upstream.local_target import LocalTarget
from gateway.upstream.websocket import Closed, TargetSocket, accepts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.deadlines import Deadlines
    from gateway.departure import Departure
    from gateway.exchange import Exchange, Headers
    from gateway.forward import AnyLink
    from gateway.pipeline import Pipeline
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.connection import Connection
    from gateway.upstream.upstream import AnyTarget

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger("gateway.local")

REFUSAL_BODY: Final = 65536  # bytes of a refused handshake's body that are passed on
NORMAL, NO_CODE, VANISHED, GATEWAY_FAULT = 1000, 1005, 1006, 1011  # RFC 6455 section 7.4.1


class Handshake:
    """A WebSocket client of ours that has asked, and is to be accepted or refused. answered: it has been, either way."""

    __slots__ = ("_denial", "_exchange", "_extensions", "_open", "_send", "answered", "deadlines", "pipeline")

    def __init__(
        self, exchange: Exchange, scope: dict[str, Any], send: Send, pipeline: Pipeline, deadlines: Deadlines
    ) -> None:
        self._exchange = exchange
        self._extensions = scope.get("extensions") or {}
        self._send = send
        self.deadlines = deadlines
        self.pipeline = pipeline
        self.answered = False
        self._open = False  # accepted and not closed
        self._denial: Reply | None = None  # of a local app, as far as it has come

    async def accept(self, subprotocol: str | None, headers: Headers) -> None:
        """headers: as they come from the target."""
        self.answered = self._open = True
        self._exchange.status = 101
        head = ResponseHead(101, headers, 0)
        self.pipeline.amend(self._exchange, head)
        headers = [pair for pair in head.headers if not pair[0].startswith(b"sec-websocket-")]
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})

    async def refuse(self, reply: Reply) -> None:
        """A status with a body where the server can; else the close that it turns into 403."""
        exchange = self._exchange
        self.answered = True
        exchange.error = exchange.error or reply.error
        head = reply.head()
        self.pipeline.amend(exchange, head)
        exchange.status = head.status
        if "websocket.http.response" not in self._extensions:
            await self._send({"type": "websocket.close", "code": NORMAL})
            return
        body = reply.body
        if head.transform is not None:
            body = head.transform.feed(body) + head.transform.finish()
            head.headers.append((b"content-length", b"%d" % len(body)))
        exchange.bytes_out += len(body)
        await self._send({"type": "websocket.http.response.start", "status": head.status, "headers": head.headers})
        await self._send({"type": "websocket.http.response.body", "body": body})

    async def fail(self, reply: Reply) -> None:
        """Refuse with this reply, or close where that is too late."""
        if not self.answered:
            await self.refuse(reply)
        elif self._open:
            await self._send({"type": "websocket.close", "code": GATEWAY_FAULT, "reason": ""})

    async def pass_on(self, message: dict[str, Any]) -> None:
        """A message of a local app, which answers the handshake itself."""
        kind = message["type"]
        if self.answered:
            self._open = self._open and kind != "websocket.close"
            await self._send(message)
        elif kind == "websocket.accept":
            await self.accept(message.get("subprotocol"), lowered(message.get("headers", ())))
        elif kind == "websocket.close":
            await self.refuse(Reply(403))
        elif kind == "websocket.http.response.start":
            self._denial = Reply(message["status"], lowered(message.get("headers", ())))
        elif kind == "websocket.http.response.body" and self._denial is not None:
            self._denial.body += message.get("body", b"")
            if not message.get("more_body", False):
                await self.refuse(self._denial)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")


def lowered(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return [(bytes(name).lower(), bytes(value)) for name, value in headers]


async def serve_local(
    exchange: Exchange, departure: Departure, handshake: Handshake, scope: dict[str, Any], receive: Receive
) -> None:
    """A local app speaks ASGI itself and is asked in our place. Raises BadResponse where it fails."""
    upstream = departure.upstream
    target = upstream.pick(exchange, ())
    if target is None:
        raise NoTarget(f"upstream {upstream.name} has no target")
    assert isinstance(target, LocalTarget)
    exchange.target = target
    exchange.upstream_name = upstream.name
    exchange.attempts = 1
    inner = local_scope(exchange, outgoing(exchange, departure), target.local)
    inner |= {"type": "websocket", "scheme": scope["scheme"], "subprotocols": scope.get("subprotocols", [])}
    inner["extensions"] = scope.get("extensions") or {}
    connect = [{"type": "websocket.connect"}]
    gone = False

    async def receive_on() -> dict[str, Any]:
        nonlocal gone
        message = connect.pop() if connect else await receive()
        gone = message["type"] == "websocket.disconnect"
        return message

    error: BadResponse | None = None
    upstream.began(exchange, target)
    try:
        assert target.local.app is not None
        await target.local.app(inner, receive_on, handshake.pass_on)
    except Exception as exc:
        log.exception("exception in a local app", extra={"app": target.local.name})
        if not gone:
            error = BadResponse(f"asgi://{target.local.name}: {exc!r}")
            raise error from exc
    finally:
        upstream.ended(exchange, target, error)
    if not handshake.answered:
        raise BadResponse(f"asgi://{target.local.name}: no answer to the handshake")


async def relay(exchange: Exchange, departure: Departure, handshake: Handshake, receive: Receive, send: Send) -> None:
    """Open the target's side, and pass messages until one side closes. Raises a GatewayError before that."""
    departure.made = client_fields(departure.headers(exchange))
    await attempt(exchange, departure, Opening(exchange, departure, handshake, receive, send))


class Opening:
    """A handshake on its way to a target, and the messages after it."""

    __slots__ = ("_departure", "_exchange", "_handshake", "_receive", "_send")

    def __init__(
        self, exchange: Exchange, departure: Departure, handshake: Handshake, receive: Receive, send: Send
    ) -> None:
        self._exchange = exchange
        self._departure = departure
        self._handshake = handshake
        self._receive = receive
        self._send = send

    def has_started(self) -> bool:
        return self._handshake.answered

    async def connect(self, target: AnyTarget) -> AnyLink:
        timeouts = self._departure.timeouts
        return await target.connect(timeouts.connect, timeouts.pool)

    async def over(self, link: AnyLink) -> None:
        departure, handshake = self._departure, self._handshake
        answer = Answer(link)
        try:
            link.send(outgoing(self._exchange, departure), answer)
            head = await answer.wait_head()
            if answer.rest is None:
                reply = await refusal(head, answer)
                link.abandon(answer)  # of a long body
                await handshake.refuse(reply)
                return
        except BaseException:
            link.abandon(answer)
            raise
        connection = cast("Connection", link)
        if not accepts(head, next(value for name, value in departure.headers(self._exchange) if name == b"sec-websocket-key")):
            connection.leave()
            raise UpgradeFailed("the target's 101 does not accept this handshake")
        socket = TargetSocket(connection, answer.rest, departure.timeouts, handshake.deadlines)
        try:
            chosen = [value for name, value in head.headers if name == b"sec-websocket-protocol"]
            await handshake.accept(chosen[0].decode("latin-1") if chosen else None, response_headers(head))
            await _pass(self._exchange, socket, self._receive, self._send)
        finally:
            socket.drop()


def client_fields(headers: Headers) -> Headers:
    """The handshake's fields: the client's without its extensions, since ASGI hides their frames."""
    ours = [pair for pair in headers if pair[0] not in (b"sec-websocket-extensions", b"sec-websocket-version")]
    ours.append((b"sec-websocket-version", b"13"))
    if not any(name == b"sec-websocket-key" for name, _ in ours):  # a WebSocket over HTTP/2 has none (RFC 8441)
        ours.append((b"sec-websocket-key", base64.b64encode(os.urandom(16))))
    return ours


async def refusal(head: AnswerHead, answer: Answer) -> Reply:
    """The target's refusal as a reply; of a long body only the beginning."""
    body = b""
    while answer.has_more and len(body) < REFUSAL_BODY:
        body += await answer.next_chunk()
    return Reply(head.status, response_headers(head), body)


async def _pass(exchange: Exchange, socket: TargetSocket, receive: Receive, send: Send) -> None:
    up = asyncio.get_running_loop().create_task(_up(exchange, socket, receive))
    down = asyncio.get_running_loop().create_task(_down(exchange, socket, send))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if up.done() and not down.done():  # our close is on its way; the target's answer to it is not for the client
            down.cancel()
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _up(exchange: Exchange, socket: TargetSocket, receive: Receive) -> None:
    """Client to target, until the client closes or is gone."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code", NO_CODE)
            if code != VANISHED:
                socket.close(None if code == NO_CODE else code, message.get("reason") or "")
            return
        data: str | bytes | None = message.get("bytes")
        if data is None:
            data = message["text"]
        exchange.bytes_in += len(data)
        await socket.send(data)


async def _down(exchange: Exchange, socket: TargetSocket, send: Send) -> None:
    """Target to client, until the target closes or is gone."""
    while True:
        try:
            message = await socket.receive()
        except Closed as closed:
            code = {NO_CODE: NORMAL, VANISHED: GATEWAY_FAULT}.get(closed.code, closed.code)
            await send({"type": "websocket.close", "code": code, "reason": closed.reason})
            return
        exchange.bytes_out += len(message)
        kind = "text" if isinstance(message, str) else "bytes"
        await send({"type": "websocket.send", kind: message})
