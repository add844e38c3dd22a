"""An origin that follows a script, on a real socket in a thread of its own.

    with origin(respond(200, b"a"), reset()) as server:
        ...  # the first request is answered, the second one finds its connection reset

Each request takes the next step of the script; the last step is repeated for all that follow. Steps see the raw bytes
of the request's head, and everything that arrived is kept in `server.requests`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

Step = Callable[["Visit"], Awaitable[None]]
PATIENCE = 20.0


class Received:
    """One request as it arrived. body: decoded from chunks; complete: whether its end came."""

    def __init__(self, head: bytes, connection: int) -> None:
        self.head = head
        self.connection = connection
        self.body = b""
        self.complete = False
        lines = head.split(b"\r\n")
        self.line = lines[0]
        self.method, self.target, _ = lines[0].split(b" ", 2)
        self.fields = [
            (name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:] if line)
        ]

    def all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key == name.lower().encode()]

    def get(self, name: str) -> bytes | None:
        values = self.all(name)
        return values[0] if values else None


class Visit:
    """A request at the origin, with its connection."""

    def __init__(self, server: Origin, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.request = request
        self.reader = reader
        self.writer = writer

    async def read_body(self) -> bytes:
        """The whole body, by its framing. `request.complete` stays False where it was cut off."""
        request = self.request
        try:
            if b"chunked" in (request.get("transfer-encoding") or b""):
                while size := int((await self.reader.readline()).split(b";")[0], 16):
                    request.body += await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
                while (await self.reader.readline()) not in (b"\r\n", b""):
                    continue
            else:
                request.body = await self.reader.readexactly(int(request.get("content-length") or 0))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return request.body
        request.complete = True
        return request.body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self) -> None:
        """Until the other side has closed."""
        try:
            while await self.reader.read(65536):
                continue
        except ConnectionError:
            return

    def close(self) -> None:
        self.writer.close()


class Origin:
    """requests: in the order of their arrival. connections: how many were made. events: set by steps, by name."""

    def __init__(self, script: tuple[Step, ...]) -> None:
        self.script = list(script)
        self.requests: list[Received] = []
        self.connections = 0
        self.host = "127.0.0.1"
        self.port = 0
        self.scheme = "http"
        self._events: dict[str, threading.Event] = {}
        self.stopping = False

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def event(self, name: str) -> threading.Event:
        event = self._events.setdefault(name, threading.Event())
        if self.stopping:  # nobody is to be waited for any more
            event.set()
        return event

    def forget(self) -> None:
        """No event has happened yet."""
        self._events.clear()

    def wait(self, name: str) -> None:
        assert self.event(name).wait(PATIENCE), f"{name} did not happen"

    async def waited(self, name: str) -> None:
        """`wait` for a step: without blocking the origin's loop."""
        assert await asyncio.to_thread(self.event(name).wait, PATIENCE), f"{name} did not happen"

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = Received(head[:-4], number)
                step = self.script[0] if len(self.script) == 1 else self.script.pop(0)
                self.requests.append(request)
                await step(Visit(self, request, reader, writer))
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return  # the origin stops, or the other side has gone
        finally:
            writer.close()


@contextmanager
def origin(
    *script: Step, tls: ssl.SSLContext | None = None, path: str | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Origin]:
    """path: of a Unix socket to listen on instead of a port. port: 0 for any that is free."""
    server = Origin(script or (respond(200, b"ok"),))
    server.scheme = "http" if tls is None else "https"
    if path is None:
        listener = socket.create_server((host, port), backlog=512)
        server.host, server.port = listener.getsockname()
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
    stopped = threading.Event()
    ready = threading.Event()

    async def serve() -> None:
        start = asyncio.start_server if path is None else asyncio.start_unix_server
        running = await start(server.visit, sock=listener, ssl=tls, limit=1 << 20)  # type: ignore[operator]
        ready.set()
        await asyncio.to_thread(stopped.wait)
        asyncio.get_running_loop().remove_reader(listener.fileno())
        for _ in range(10):  # turns until what has just been accepted has a task that closes it: asyncio leaks the connections
            await asyncio.sleep(0)  # that it was about to make for a server that is closed
        running.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield server
    finally:
        server.stopping = True
        stopped.set()
        for event in list(server._events.values()):
            event.set()
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the origin did not stop"


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port that refuses connections: bound, so that nobody else gets it, and not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


# ---------------------------------------------------------------- steps


def respond(status: int = 200, body: bytes = b"", *fields: str, reason: str = "OK") -> Step:
    """Read the request whole, then answer with a Content-Length."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return raw(f"HTTP/1.1 {status} {reason}\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode("latin-1") + body)


def raw(data: bytes, *, close: bool = False) -> Step:
    """Read the request whole, then send exact bytes."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(data)
        if close:
            visit.close()

    return step


def echo() -> Step:
    """Answer with the request's body."""

    async def step(visit: Visit) -> None:
        body = await visit.read_body()
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    return step


def reset() -> Step:
    """Reset the connection without an answer."""

    async def step(visit: Visit) -> None:
        sock = visit.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        visit.writer.transport.abort()

    return step


def hang(name: str = "hanging") -> Step:
    """Never answer; the event `NAME` is set when the request came, and `NAME gone` when the other side closed."""

    async def step(visit: Visit) -> None:
        visit.server.event(name).set()
        await visit.closed()
        visit.server.event(f"{name} gone").set()
        visit.close()

    return step
