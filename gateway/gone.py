"""Noticing that the client has left, so that its work stops at once.

Our own protocol class calls back. Elsewhere ASGI tells it only to whoever awaits `receive()`, which takes a task; most
answers are there before one is worth its price, so it is started when an exchange has lasted `PATIENCE`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.deadlines import NEVER
from gateway.errors import ClientGone

if TYPE_CHECKING:
    from gateway.body import RequestBody
    from gateway.deadlines import Deadlines
    from gateway.deliver import Delivery
    from gateway.upstream.answer import Answer
    from gateway.upstream.sink import Link

PATIENCE: Final = 0.05  # seconds


class StreamWatch:
    """The server's protocol class tells when the client has gone."""

    __slots__ = ("_delivery",)

    def __init__(self, answer: Answer, link: Link, delivery: Delivery) -> None:
        self._delivery = delivery
        assert delivery.stream is not None

        def gone() -> None:
            link.abandon(answer)
            answer.failed(ClientGone())

        delivery.stream.on_gone = gone

    def stop(self) -> None:
        assert self._delivery.stream is not None
        self._delivery.stream.on_gone = None


class ReceiveWatch:
    """A task that awaits `http.disconnect`, once the exchange has lasted `PATIENCE` and its body is read."""

    __slots__ = ("_answer", "_body", "_deadlines", "_link", "_task", "bucket", "deadline")

    def __init__(self, answer: Answer, link: Link, body: RequestBody, deadlines: Deadlines) -> None:
        self._answer = answer
        self._link = link
        self._body = body
        self._deadlines = deadlines
        self._task: asyncio.Task[None] | None = None
        self.deadline = NEVER
        self.bucket = NEVER
        deadlines.watch(self, deadlines.now() + PATIENCE)

    def expired(self, now: float) -> None:
        if self._body.complete:
            self._task = asyncio.get_running_loop().create_task(self._wait())
        else:  # whoever reads the body sees the client leave
            self._deadlines.watch(self, now + PATIENCE)

    async def _wait(self) -> None:
        await self._body.disconnected()
        self._link.abandon(self._answer)
        self._answer.failed(ClientGone())

    def stop(self) -> None:
        self.deadline = NEVER
        if self._task is not None:
            self._task.cancel()


def watch_client(answer: Answer, link: Link, body: RequestBody, delivery: Delivery) -> StreamWatch | ReceiveWatch:
    """Give up link and answer with ClientGone when the client leaves, until `stop`."""
    if delivery.stream is not None:
        return StreamWatch(answer, link, delivery)
    return ReceiveWatch(answer, link, body, delivery.deadlines)
