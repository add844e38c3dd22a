"""The request's body on its way in: read once, bounded, and remembered as far as an attempt may be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.errors import BodyTooLarge, ClientGone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.exchange import Exchange

REPLAY_LIMIT: Final = 65536  # bytes kept for a second attempt


class RequestBody:
    """Reads ASGI messages. length: 0 without a body, -1 where it is not declared. `limit` is in bytes."""

    __slots__ = ("_at", "_exchange", "_kept", "_limit", "_receive", "complete", "length", "replayable")

    def __init__(
        self, receive: Callable[[], Awaitable[dict[str, Any]]], length: int, limit: int, exchange: Exchange
    ) -> None:
        self._receive = receive
        self._exchange = exchange
        self._limit = limit
        self._kept: list[bytes] = []
        self._at = 0
        self.length = length
        self.complete = length == 0
        self.replayable = True
        if length > limit:
            raise BodyTooLarge(f"Content-Length {length} over {limit}")

    @classmethod
    def of(cls, data: bytes, exchange: Exchange) -> RequestBody:
        """A body that is there already, of at most REPLAY_LIMIT bytes."""
        body = cls(_no_more, len(data), len(data), exchange)
        body.complete = True
        if data:
            body._kept.append(data)
        return body

    async def read(self) -> bytes:
        """The next bytes, empty at the end. Raises ClientGone where the client left before that."""
        if self._at < len(self._kept):
            self._at += 1
            return self._kept[self._at - 1]
        while not self.complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone("inside its request body")
            self.complete = not message.get("more_body", False)
            data: bytes = message.get("body", b"")
            if data:
                self._keep(data)
                return data
        return b""

    async def disconnected(self) -> None:
        """Wait until the client leaves; only once the body is `complete`."""
        while (await self._receive())["type"] != "http.disconnect":
            continue

    def rewind(self) -> None:
        """Start again for another attempt; only while `replayable`."""
        self._at = 0

    def kept(self) -> bytes:
        """All that was read until now; only while `replayable`."""
        return b"".join(self._kept)

    def _keep(self, data: bytes) -> None:
        exchange = self._exchange
        exchange.bytes_in += len(data)
        if exchange.bytes_in > self._limit:
            raise BodyTooLarge(f"body over {self._limit}")
        if exchange.bytes_in <= REPLAY_LIMIT:
            self._kept.append(data)
            self._at += 1
        elif self.replayable:
            self.replayable = False
            self._kept.clear()
            self._at = 0


async def _no_more() -> dict[str, Any]:
    return {"type": "http.disconnect"}
