"""The answer to the client, over ASGI: head, chunks, trailers, or a visible break.

What ASGI cannot say (interim answers, an abort) is said through the stream extension of our own protocol class where
the server offers it (`gateway.server.stream`); other servers get what the ASGI specification has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.rfc.headers import end_to_end
from gateway.server.done import DONE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange, Headers, Reply, ResponseHead
    from gateway.gone import ClientWatch
    from gateway.pipeline import Pipeline
    from gateway.rfc.message import Original
    from gateway.server.cycle import Cycle


HELD_LIMIT: Final = 1 << 20  # bytes of a body that are held back to learn its length


class Delivery:
    """One answer to one client. `started` is set once a final head went out. send: takes ASGI messages, and
    carries_trailers says whether trailers may be among them; None where nobody is between us and the stream, which then
    gets the answer without any.

    Other servers send a body of unknown length in chunks even to an HTTP/1.0 client, which cannot read them; such a
    body is held back, up to HELD_LIMIT, so that its length can be said.
    """

    __slots__ = (
        "_carries_trailers", "_exchange", "_held", "_send", "_trailers_announced", "deadlines", "pipeline", "started", "stream",
        "watch",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        send: Callable[[dict[str, Any]], Awaitable[None]] | None,
        pipeline: Pipeline,
        stream: Cycle | None,
        deadlines: Deadlines,
        client_watch: ClientWatch,
        *,
        carries_trailers: bool = False,
    ) -> None:
        self._exchange = exchange
        self._send = send
        self.watch: ClientWatch | Cycle = client_watch if stream is None else stream
        self._carries_trailers = carries_trailers
        self._trailers_announced = False
        self._held: tuple[dict[str, Any], list[bytes]] | None = None
        self.pipeline = pipeline
        self.stream = stream
        self.deadlines = deadlines
        self.started = False

    async def reply(self, reply: Reply) -> None:
        """A response of our own, whole."""
        head, body = self.pipeline.complete(self._exchange, reply)
        await self.start(head, reply)
        await self.chunk(b"" if self._exchange.method == b"HEAD" else body, more=False)

    @property
    def is_gone(self) -> bool:
        """The client has left already, as far as the server tells without being asked."""
        return self.stream is not None and self.stream.is_gone

    def interim(self, status: int, headers: Headers) -> None:
        """Pass a 1xx on, where there is a way to."""
        if self.stream is not None:
            self.stream.interim(status, end_to_end(headers))

    def start(
        self, head: ResponseHead, source: Original | None = None, *, trailers: bool = False
    ) -> Awaitable[None]:
        """Await it: the head goes out. source: what it was made of, as `framing.passed_on` has it."""
        self._held = None  # of an answer that failed before it was sent
        exchange = self._exchange
        exchange.status = head.status
        if self._send is None:
            assert self.stream is not None
            self.started = True
            self._trailers_announced = trailers
            return self.stream.start_answer(head, source, trailers=trailers)
        message: dict[str, Any] = {"type": "http.response.start", "status": head.status, "headers": head.headers}
        if trailers and self._carries_trailers:
            self._trailers_announced = True
            message["trailers"] = True
        if exchange.http_version == "1.0" and self.stream is None and head.header(b"content-length") is None:
            self._held = (message, [])
            return DONE
        self.started = True
        return self._send(message)

    def chunk(self, data: bytes, *, more: bool) -> Awaitable[None]:
        """Await it: a piece of the body goes out."""
        self._exchange.bytes_out += len(data)
        if self._send is None:
            assert self.stream is not None
            return self.stream.send_chunk(data, more=more)
        if self._held is not None:
            return self._hold(self._send, *self._held, data, more=more)
        return self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _hold(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], start: dict[str, Any], chunks: list[bytes], data: bytes, *, more: bool
    ) -> None:
        chunks.append(data)
        if more and sum(map(len, chunks)) < HELD_LIMIT:
            return
        self._held = None
        data = b"".join(chunks)
        if not more and self._exchange.method != b"HEAD" and start["status"] not in (204, 304):
            start["headers"].append((b"content-length", b"%d" % len(data)))
        self.started = True
        await send(start)
        await send({"type": "http.response.body", "body": data, "more_body": more})

    async def end(self, trailers: Headers) -> None:
        """After the last chunk, which said that there is no more."""
        if not self._trailers_announced:
            return
        if self._send is None:
            assert self.stream is not None
            await self.stream.send_trailers(trailers)
        else:
            await self._send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})

    def abort(self) -> None:
        """Make it visible that the answer is not whole. Without our protocol class the server does so, as the app
        returns without its last chunk."""
        if self.stream is not None:
            self.stream.abort()
