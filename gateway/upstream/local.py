"""A local ASGI app as a target (`asgi://module:app`): no socket and no HTTP parsing, but the same interface.

The app runs in a task of its own for every request and is streamed both ways: it waits in `send` while the client is
slow, and in `receive` for the rest of the body. Its lifespan is run, once, with the gateway's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from gateway.errors import BadResponse, GatewayError, IncompleteResponse, TargetError
from gateway.extensions import imported
from gateway.rfc.message import CHUNKED, UNTIL_CLOSE, AnswerHead
from gateway.upstream.sink import Outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.exchange import Exchange, Headers
    from gateway.upstream.sink import Sink

    Message = dict[str, Any]
    App = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]

log = logging.getLogger("gateway.local")

BODY_HIGH_WATER: Final = 65536
STARTUP_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 10.0  # seconds for what requests still do, and again for the end of the lifespan


def import_app(name: str) -> App:
    """`module:attribute` to the app. Raises TargetError."""
    try:
        return imported(name)  # type: ignore[no-any-return]
    except ImportError as exc:
        raise TargetError(f"asgi://{exc}") from exc


class LocalApp:
    """An app with its lifespan, which runs from the first `startup` to the last `shutdown` of the targets that name it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.app: App | None = None
        self.state: dict[str, Any] = {}
        self.requests: set[asyncio.Task[None]] = set()  # some work on behind their answers
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Message] = asyncio.Queue(maxsize=2)
        self._answer: asyncio.Future[str] | None = None
        self._users = 0
        self._changing = asyncio.Lock()

    async def startup(self) -> None:
        """Import the app and start its lifespan. Raises TargetError where either fails."""
        async with self._changing:
            self._users += 1
            if self._users == 1:
                await self._start()

    async def shutdown(self) -> None:
        async with self._changing:
            self._users -= 1
            if not self._users:
                await self._end_requests()
                await self._stop()

    async def _start(self) -> None:
        self.app = import_app(self.name)
        self._task = asyncio.create_task(self._run_lifespan(), name=f"lifespan of {self.name}")
        failure = await self._ask("lifespan.startup", STARTUP_TIMEOUT)
        if failure:
            raise TargetError(f"asgi://{self.name}: start-up failed: {failure}")

    async def _end_requests(self) -> None:
        """The app's lifespan is there as long as its requests are; they are not waited for without end."""
        requests = list(self.requests)
        if not requests:
            return
        _, left = await asyncio.wait(requests, timeout=STOP_TIMEOUT)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=STOP_TIMEOUT)

    async def _stop(self) -> None:
        if self._task is None:
            return
        if not self._task.done():
            await self._ask("lifespan.shutdown", STOP_TIMEOUT)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _ask(self, event: str, timeout: float) -> str:
        """Send a lifespan event and wait for its answer: what failed, or nothing."""
        self._answer = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": event})
        try:
            return await asyncio.wait_for(self._answer, timeout)
        except TimeoutError:
            return f"no answer to {event} within {timeout:g} s"

    async def _run_lifespan(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        assert self.app is not None
        try:
            await self.app(scope, self._events.get, self._lifespan_send)
        except Exception as exc:  # an app without lifespan raises whatever it likes (ASGI lifespan section 2)
            log.debug("app without lifespan", extra={"app": self.name, "reason": repr(exc)})
        self._settle("")

    async def _lifespan_send(self, message: Message) -> None:
        self._settle(str(message.get("message") or "refused") if message["type"].endswith(".failed") else "")

    def _settle(self, failure: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(failure)


class LocalLink:
    """One exchange with a local app; the counterpart of `Connection`."""

    __slots__ = (
        "_body", "_body_done", "_body_size", "_body_waiter", "_ended", "_exchange", "_head_passed", "_local",
        "_outgoing", "_paused", "_resumed", "_sink", "_started", "_task", "_trailers", "reused",
    )  # fmt: skip

    def __init__(self, local: LocalApp, exchange: Exchange) -> None:
        self._local = local
        self._exchange = exchange
        self.reused = False
        self._sink: Sink | None = None
        self._outgoing: Outgoing | None = None
        self._task: asyncio.Task[None] | None = None
        self._body: deque[bytes] = deque()
        self._body_size = 0
        self._body_done = False
        self._body_waiter: asyncio.Future[None] | None = None
        self._started: AnswerHead | None = None
        self._head_passed = False
        self._ended = False
        self._trailers: Headers | None = None
        self._paused = False
        self._resumed: asyncio.Future[None] | None = None

    # ------------------------------------------------------------ driven by the forwarder

    @property
    def write_paused(self) -> bool:
        return self._body_size >= BODY_HIGH_WATER

    def send(self, request: Outgoing, sink: Sink) -> None:
        self._outgoing = request
        self._sink = sink
        self._body_done = request.length == 0
        scope = local_scope(self._exchange, request, self._local)
        self._task = task = asyncio.get_running_loop().create_task(self._run(scope))
        self._local.requests.add(task)
        task.add_done_callback(self._local.requests.discard)

    def send_body(self, data: bytes) -> None:
        self._body.append(data)
        self._body_size += len(data)
        self._wake(self._body_waiter)

    def end_body(self) -> None:
        self._body_done = True
        self._wake(self._body_waiter)

    def allow_silence(self, seconds: float) -> None:
        """A local app's silence is not timed."""

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._wake(self._resumed)

    def give_back(self) -> None:
        """There is nothing to give back."""

    def abandon(self, sink: Sink) -> None:
        """The app is cancelled: its client has gone."""
        if self._sink is not sink:
            return
        self._sink = None
        self._ended = True
        if self._task is not None:
            self._task.cancel()

    # ------------------------------------------------------------ the app's side

    async def _run(self, scope: dict[str, Any]) -> None:
        assert self._local.app is not None
        try:
            await self._local.app(scope, self._receive, self._send)
        except asyncio.CancelledError as exc:
            self._fail(exc)  # nothing, where it was we who cancelled it
            raise
        except Exception as exc:
            log.exception("exception in a local app", extra={"app": self._local.name})
            self._fail(exc)
        else:
            self._fail(None)

    def _fail(self, exc: BaseException | None) -> None:
        """The app returned: fine if its answer is whole."""
        sink, self._sink = self._sink, None
        if sink is not None and not self._ended:
            reason = f"asgi://{self._local.name}: {exc!r}"
            error: GatewayError = BadResponse(reason) if self._started is None else IncompleteResponse(reason)
            sink.failed(error)

    async def _receive(self) -> Message:
        while not self._body and not self._body_done and not self._ended:
            await self._wait_body()
        if self._ended:
            return {"type": "http.disconnect"}
        if not self._body and self._outgoing is None:  # the whole body was delivered
            await self._wait_end()
            return {"type": "http.disconnect"}
        data = b"".join(self._body)
        self._body.clear()
        was_paused = self.write_paused
        self._body_size = 0
        if was_paused and self._sink is not None:
            self._sink.writable()
        if self._body_done:
            self._outgoing = None
        return {"type": "http.request", "body": data, "more_body": not self._body_done}

    async def _wait_body(self) -> None:
        self._body_waiter = asyncio.get_running_loop().create_future()
        await self._body_waiter

    async def _wait_end(self) -> None:
        while not self._ended:
            await self._wait_body()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._sink is None:
            return
        if kind == "http.response.start":
            self._start(message)
        elif kind == "http.response.body":
            await self._send_chunk(message)
        elif kind == "http.response.trailers":
            self._send_trailers(message)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    def _start(self, message: Message) -> None:
        if self._started is not None:
            raise RuntimeError("http.response.start was sent twice")
        headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", [])]
        head = AnswerHead(message["status"], 1, headers)
        head.length = declared_length(head, self._exchange.method)
        if message.get("trailers"):
            self._trailers = []
            if head.length == UNTIL_CLOSE:
                head.length = CHUNKED
        self._started = head

    async def _send_chunk(self, message: Message) -> None:
        head = self._started
        if head is None:
            raise RuntimeError("http.response.body before http.response.start")
        assert self._sink is not None
        if self._ended:
            raise RuntimeError("http.response.body after the answer was whole")
        if not self._head_passed:
            self._head_passed = True
            self._sink.head(head)
        body = message.get("body", b"")
        if body and self._sink is not None and self._exchange.method != b"HEAD":
            self._sink.data(bytes(body))
        if not message.get("more_body", False):
            if self._trailers is None:
                self._end([])
        elif self._paused:
            self._resumed = asyncio.get_running_loop().create_future()
            await self._resumed

    def _send_trailers(self, message: Message) -> None:
        if self._trailers is None:
            return
        self._trailers += [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", [])]
        if not message.get("more_trailers", False):
            self._end(self._trailers)

    def _end(self, trailers: Headers) -> None:
        self._ended = True
        self._wake(self._body_waiter)
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.end(trailers)

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def declared_length(head: AnswerHead, method: bytes) -> int:
    """The body's length as the app's fields declare it."""
    if method == b"HEAD" or head.status in (204, 304):
        return 0
    for name, value in head.headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return UNTIL_CLOSE


def local_scope(exchange: Exchange, request: Outgoing, local: LocalApp) -> dict[str, Any]:
    """The ASGI scope of a request to a local app: `root_path` is what the gateway stripped from the path."""
    path, _, query = request.target.partition(b"?")
    mount = mount_of(exchange, path)
    root_path = decoded(mount)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": exchange.http_version,
        "method": request.method.decode("latin-1"),
        "scheme": exchange.scheme.decode("latin-1"),
        "path": root_path + decoded(path),
        "raw_path": mount + path,
        "root_path": root_path,
        "query_string": query,
        "headers": request.headers,
        "client": (exchange.client, exchange.peer_port),
        "server": exchange.server,
        "state": local.state.copy(),
        "extensions": {"http.response.trailers": {}},
    }


def decoded(path: bytes) -> str:
    text = path.decode("latin-1")
    return unquote(text) if "%" in text else text


def mount_of(exchange: Exchange, raw_path: bytes) -> bytes:
    """What lies before the target's path in the client's, when a prefix was stripped."""
    whole = exchange.mount + exchange.path
    if whole != raw_path and whole.endswith(raw_path):
        return whole[: -len(raw_path)]
    return exchange.mount
