"""WebSocket message by message, where the server speaks it and ASGI carries the messages.

Complete messages, close codes and reasons pass both ways, and so does a refused handshake with its status and body
where the server has the `websocket.http.response` extension. Frames and pings are the server's and ours: the byte
tunnel of `gateway run` (`tunnel.py`) passes them through and costs less.
"""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import UpgradeFailed
from gateway.exchange import Reply
from gateway.forward import attempt, outgoing
from gateway.outgoing import response_headers
from gateway.rfc.message import UNTIL_CLOSE
from gateway.upstream.answer import Answer
from gateway.upstream.websocket import Closed, TargetSocket, accept_value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.exchange import Exchange, Headers
    from gateway.forward import Departure
    from gateway.pipeline import Pipeline
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.connection import Connection

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

REFUSAL_BODY: Final = 65536  # bytes of a refused handshake's body that are passed on
NORMAL, NO_CODE, VANISHED, GATEWAY_FAULT = 1000, 1005, 1006, 1011  # RFC 6455 section 7.4.1


class Handshake:
    """A WebSocket client of ours that has asked, and is to be accepted or refused."""

    __slots__ = ("_exchange", "_extensions", "_send", "accepted", "pipeline")

    def __init__(self, exchange: Exchange, scope: dict[str, Any], send: Send, pipeline: Pipeline) -> None:
        self._exchange = exchange
        self._extensions = scope.get("extensions") or {}
        self._send = send
        self.pipeline = pipeline
        self.accepted = False

    async def accept(self, head: AnswerHead) -> None:
        self.accepted = True
        self._exchange.status = 101
        chosen = [value for name, value in head.headers if name == b"sec-websocket-protocol"]
        await self._send(
            {
                "type": "websocket.accept",
                "subprotocol": chosen[0].decode("latin-1") if chosen else None,
                "headers": [pair for pair in response_headers(head) if not pair[0].startswith(b"sec-websocket-")],
            }
        )

    async def refuse(self, reply: Reply) -> None:
        """A status with a body where the server can; else the close that it turns into 403."""
        exchange = self._exchange
        exchange.status = reply.status
        exchange.error = exchange.error or reply.error
        if "websocket.http.response" not in self._extensions:
            await self._send({"type": "websocket.close", "code": NORMAL})
            return
        headers = [pair for pair in reply.headers if pair[0] not in (b"content-length", b"transfer-encoding")]
        headers.append((b"content-length", b"%d" % len(reply.body)))
        await self._send({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": reply.body})


async def relay(exchange: Exchange, departure: Departure, handshake: Handshake, receive: Receive, send: Send) -> None:
    """Open the target's side, and pass messages until one side closes. Raises a GatewayError before that."""
    departure.headers = client_fields(departure.headers)
    key = next(value for name, value in departure.headers if name == b"sec-websocket-key")

    async def open_and_pass(link: Connection) -> None:
        answer = Answer(link)
        try:
            link.send(outgoing(exchange, departure), answer)
            head = await answer.wait_head()
            if answer.rest is None:
                await handshake.refuse(await refusal(head, answer))
                return
        except BaseException:
            link.abandon(answer)
            raise
        await _pass(exchange, check_switch(head, key, link), TargetSocket(link, answer.rest), handshake, receive, send)

    await attempt(exchange, departure, open_and_pass, lambda: handshake.accepted)  # type: ignore[arg-type]


def client_fields(headers: Headers) -> Headers:
    """The handshake's fields: the client's without its extensions, since ASGI hides their frames."""
    ours = [pair for pair in headers if pair[0] not in (b"sec-websocket-extensions", b"sec-websocket-version")]
    ours.append((b"sec-websocket-version", b"13"))
    if not any(name == b"sec-websocket-key" for name, _ in ours):  # a WebSocket over HTTP/2 has none (RFC 8441)
        ours.append((b"sec-websocket-key", base64.b64encode(os.urandom(16))))
    return ours


def check_switch(head: AnswerHead, key: bytes, link: Connection) -> AnswerHead:
    fields = dict(head.headers)
    if fields.get(b"sec-websocket-accept") != accept_value(key) or fields.get(b"upgrade", b"").lower() != b"websocket":
        link.leave()
        raise UpgradeFailed("the target's 101 does not accept this handshake")
    return head


async def refusal(head: AnswerHead, answer: Answer) -> Reply:
    """The target's refusal as a reply; of a long body only the beginning."""
    body = b""
    while answer.has_more and len(body) < REFUSAL_BODY:
        body += await answer.next_chunk()
    if answer.has_more and head.length == UNTIL_CLOSE:
        body = body[:REFUSAL_BODY]
    return Reply(head.status, response_headers(head), body)


async def _pass(
    exchange: Exchange, head: AnswerHead, socket: TargetSocket, handshake: Handshake, receive: Receive, send: Send
) -> None:
    await handshake.accept(head)
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
        socket.drop()


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
