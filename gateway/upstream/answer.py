"""A target's answer as something to await: the sink of the ASGI road.

At most `HIGH_WATER` bytes wait here for a slow client; then the connection is not read until they are taken.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.errors import GatewayError
    from gateway.exchange import Headers
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.sink import Link

HIGH_WATER: Final = 65536


class Answer:
    """One task awaits `wait_head`, then `next_chunk` until it is empty; another may await `room` to send a body.

    final: the head of the final answer, or the 101; None before it has come.

    on_interim is called at once for every interim answer; the link is the one that the request went out on.
    """

    __slots__ = (
        "_chunks", "_error", "_link", "_on_interim", "_paused", "_room", "_size", "_waiter", "ended", "final", "rest",
        "trailers",
    )  # fmt: skip

    def __init__(self, link: Link, on_interim: Callable[[int, Headers], None] | None = None) -> None:
        self._link = link
        self._on_interim = on_interim
        self.final: AnswerHead | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._paused = False
        self._error: GatewayError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.ended = False
        self.trailers: Headers = []
        self.rest: bytes | None = None  # set by `switched`: what came behind the 101

    # ------------------------------------------------------------ awaited

    def news(self) -> asyncio.Future[None]:
        """Await this while there is no `final`, or while the answer neither `has_chunk` nor has `ended`.

        Raises the GatewayError that came instead.
        """
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    async def wait_head(self) -> AnswerHead:
        """The final answer's head, or the 101. Raises the GatewayError that came instead."""
        while self.final is None:
            await self.news()
        return self.final

    async def next_chunk(self) -> bytes:
        """All the body that has come since; empty when there is no more. Raises what cut it off."""
        while not self._chunks:
            if self.ended:
                return b""
            await self.news()
        return self.take()

    def take(self) -> bytes:
        """`next_chunk` for an answer that `has_chunk`."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._link.resume_reading()
        return data

    @property
    def has_more(self) -> bool:
        """There are bytes to take, or will be."""
        return not self.ended or bool(self._chunks)

    @property
    def is_over(self) -> bool:
        """Whole or failed, so that nothing more is sent for it."""
        return self.ended or self._error is not None

    @property
    def has_chunk(self) -> bool:
        return bool(self._chunks)

    async def room(self) -> None:
        """Wait until the target takes more of the body, or its answer is over."""
        if self._link.write_paused and not self.ended and self._error is None:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    # ------------------------------------------------------------ the sink

    def interim(self, status: int, headers: Headers) -> None:
        if self._on_interim is not None:
            self._on_interim(status, headers)

    def head(self, head: AnswerHead) -> None:
        self.final = head
        self._wake()

    def whole(self, head: AnswerHead, body: bytes, now: float) -> None:
        self.final = head
        if body:
            self._chunks.append(body)
        self.ended = True
        self._wake()
        if self._room is not None:
            self.writable()

    def data(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= HIGH_WATER and not self._paused:
            self._paused = True
            self._link.pause_reading()
        self._wake()

    def end(self, trailers: Headers) -> None:
        self.ended = True
        self._paused = False  # the link may serve another exchange by now
        self.trailers = trailers
        self._wake()
        self.writable()

    def failed(self, error: GatewayError) -> None:
        self._error = error
        self._wake()
        self.writable()

    def switched(self, head: AnswerHead, rest: bytes) -> None:
        self.final = head
        self.rest = rest
        self._wake()

    def writable(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
