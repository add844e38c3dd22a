"""A share of a route's requests goes to another upstream as well, and its answers are dropped.

The client must not notice. A copy is decided on at once, goes out in a task of its own, and what becomes of it is
counted and nothing else. Its body is what the exchange has kept of it for a second attempt, so that nothing is copied on
the way: a request without a body is copied at once, one with a body when its own exchange is over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.body import RequestBody
from gateway.departure import Departure, outgoing
from gateway.errors import GatewayError
from gateway.forward import attempt
from gateway.upstream.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange
    from gateway.forward import AnyLink
    from gateway.upstream.sink import Timeouts
    from gateway.upstream.upstream import AnyTarget, Upstream

log = logging.getLogger("gateway.mirror")

MARK: Final = b"x-gateway-mirror"  # the name of the route; a request that has it is not copied again
DROP_LIMIT: Final = 1 << 20  # bytes of an answer that are read so that its connection can be used again


class Mirror:
    """share: from 0 to 1. timeouts: the upstream's own. total: seconds that a copy lasts at most. most: copies under way
    at a time. chance: gives numbers from 0 to 1.

    sent: copies that were answered. failed: copies that were not. too_large, too_many, incomplete: requests that were
    chosen and not copied, for their body, for want of a place, or because their body never came whole.
    """

    __slots__ = (
        "_chance", "_mark", "_most", "_share", "_tasks", "_timeouts", "_total", "_waiting", "failed", "incomplete", "sent",
        "too_large", "too_many", "upstream",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        timeouts: Timeouts,
        *,
        share: float,
        total: float,
        most: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.upstream = upstream
        self._mark = (MARK, name.encode("ascii"))
        self._timeouts = timeouts
        self._share = share
        self._total = total
        self._most = most
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[Exchange, tuple[Exchange, Departure]] = {}  # as many as exchanges are under way
        self.sent = self.failed = self.too_large = self.too_many = self.incomplete = 0

    def departs(self, exchange: Exchange, departure: Departure) -> None:
        """The exchange is about to be forwarded: copy it, where it is chosen. One with a body waits for its end."""
        if self._chance() >= self._share or exchange.websocket or exchange.header(MARK) is not None:
            return
        twin = exchange.twin()
        if departure.body.length:
            self._waiting[exchange] = twin, departure
        else:
            self._launch(twin, departure, b"")

    def finish(self, exchange: Exchange) -> None:
        """A policy's hook: the exchange is over, however it went."""
        waiting = self._waiting.pop(exchange, None)
        if waiting is None:
            return
        twin, departure = waiting
        body = departure.body
        if not body.replayable:
            self.too_large += 1
        elif not body.complete:
            self.incomplete += 1
        else:
            self._launch(twin, departure, body.kept())

    # ------------------------------------------------------------ its life

    def told(self) -> dict[str, int]:
        """For the status."""
        return {
            "under_way": len(self._tasks), "sent": self.sent, "failed": self.failed, "too_large": self.too_large,
            "too_many": self.too_many, "incomplete": self.incomplete,
        }  # fmt: skip

    async def start(self) -> None:
        """There is nothing to start."""

    def retire(self) -> None:
        """Another one takes its place, and its requests."""

    @property
    def busy(self) -> bool:
        """Copies are under way."""
        return bool(self._tasks)

    async def stop(self) -> None:
        """Drop the copies that are under way, and make no more."""
        self._most = 0
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # ------------------------------------------------------------ copies

    def _launch(self, twin: Exchange, departure: Departure, data: bytes) -> None:
        if len(self._tasks) >= self._most:
            self.too_many += 1
            return
        headers = [*departure.headers(twin), self._mark]
        body = RequestBody.of(data, twin)
        upstream = self.upstream
        away = Departure(upstream, departure.target, headers, body, self._timeouts, upstream.host_header)
        task = asyncio.get_running_loop().create_task(self._send(twin, away))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, twin: Exchange, departure: Departure) -> None:
        try:
            async with asyncio.timeout(self._total):
                await attempt(twin, departure, Errand(twin, departure))
        except (GatewayError, TimeoutError):
            self.failed += 1
        except Exception:
            self.failed += 1
            log.exception("a copy failed", extra={"request_id": twin.request_id.decode("latin-1")})
        else:
            self.sent += 1


class Errand:
    """A copy on its way; nobody waits for what it brings."""

    __slots__ = ("_departure", "_exchange")

    def __init__(self, exchange: Exchange, departure: Departure) -> None:
        self._exchange = exchange
        self._departure = departure

    def has_started(self) -> bool:
        return False

    async def connect(self, target: AnyTarget) -> AnyLink:
        timeouts = self._departure.timeouts
        return await target.connect(timeouts.connect, timeouts.pool)

    async def over(self, link: AnyLink) -> None:
        exchange, body = self._exchange, self._departure.body
        answer = Answer(link)
        try:
            link.send(outgoing(exchange, self._departure), answer)
            if body.length:
                link.send_body(await body.read())
                link.end_body()
            head = await answer.wait_head()
            exchange.status = head.status
            exchange.first_byte_at = monotonic()
            await _drop(answer)
        finally:
            link.abandon(answer)  # nothing, when the answer is whole


async def _drop(answer: Answer) -> None:
    """Read the answer away, DROP_LIMIT bytes of it at most."""
    left = DROP_LIMIT
    while left > 0 and (data := await answer.next_chunk()):
        left -= len(data)
