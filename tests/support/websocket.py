"""WebSocket parts: targets made with the `websockets` package, and frames byte by byte (RFC 6455 section 5)."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect
from websockets.sync.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.sync.client import ClientConnection
    from websockets.sync.server import ServerConnection

    from support.origin import Visit

PATIENCE = 20.0
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketTarget:
    """url: for a gateway's configuration. seen: the connections that were made, in order."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.seen: list[ServerConnection] = []
        self._came = threading.Event()

    @property
    def first(self) -> ServerConnection:
        """The first connection; a client may know that it is accepted before its handler runs."""
        assert self._came.wait(PATIENCE), "nobody came"
        return self.seen[0]

    def come(self, connection: ServerConnection) -> None:
        self.seen.append(connection)
        self._came.set()


@contextmanager
def websocket_target(handler: Callable[[ServerConnection], None] | None = None, **options: Any) -> Iterator[WebSocketTarget]:
    """A server of the `websockets` package that runs `handler`, or sends back what it gets. options are its own."""
    behave = handler or echo

    def handle(connection: ServerConnection) -> None:
        target.come(connection)
        behave(connection)

    with serve(handle, "127.0.0.1", 0, **{"compression": None, "max_size": None, **options}) as server:
        target = WebSocketTarget(server.socket.getsockname()[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield target
        finally:
            server.shutdown()
            thread.join(PATIENCE)
    assert not thread.is_alive(), "the WebSocket target did not stop"


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextmanager
def opened(port: int, target: str = "/", *, scheme: str = "ws", **options: Any) -> Iterator[ClientConnection]:
    """A client of the `websockets` package; options are its own."""
    settings = {"compression": None, "max_size": None, "open_timeout": PATIENCE, "proxy": None, **options}
    with connect(f"{scheme}://localhost:{port}{target}", sock=socket.create_connection(("127.0.0.1", port), PATIENCE), **settings) as client:
        yield client


# ---------------------------------------------------------------- byte by byte


def handshake(target: str = "/", *fields: str) -> bytes:
    """A request to switch, as a client sends it."""
    lines = [f"GET {target} HTTP/1.1", "Host: test", "Connection: Upgrade", "Upgrade: websocket", *fields]
    lines += [f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}", "Sec-WebSocket-Version: 13"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def accepting(key: bytes, *fields: bytes) -> bytes:
    """The 101 that a key asks for."""
    accept = base64.b64encode(hashlib.sha1(key + KEY_SUFFIX, usedforsecurity=False).digest())
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"]
    return b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + accept, *fields]) + b"\r\n\r\n"


async def accept(visit: Visit, rest: bytes = b"") -> None:
    """For a step of the scripted origin: switch, with bytes right behind the 101."""
    await visit.send(accepting(visit.request.get("sec-websocket-key") or b"") + rest)


def frame(payload: bytes, opcode: int = BINARY, *, masked: bool = False, final: bool = True) -> bytes:
    """One frame; a client's are masked."""
    size = len(payload)
    head = bytes([opcode | (0x80 if final else 0)])
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([size | bit])
    elif size < 65536:
        head += bytes([126 | bit]) + struct.pack("!H", size)
    else:
        head += bytes([127 | bit]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    stream = key * (size // 4 + 1)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream[:size], "big")
    return head + key + mixed.to_bytes(size, "big")
