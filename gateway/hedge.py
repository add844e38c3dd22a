"""Hedging: a second attempt beside a first one that is slower than nearly all others, and the first answer counts.

Only what is idempotent and has no body is asked for twice at a time, on two targets, and each second attempt is a retry
that the upstream's budget pays. Which of the two has won is `exchange.target`; the other one has ended by then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import ClientGone, TargetError
from gateway.repeat import affords_another
from gateway.upstream.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.departure import Departure
    from gateway.exchange import Exchange
    from gateway.forward import AnyLink
    from gateway.upstream.sink import Outgoing
    from gateway.upstream.upstream import AnyTarget


class HedgeLost(Exception):
    """The end of an attempt when the other one has answered first: nobody's fault."""


def hedge_delay(exchange: Exchange, departure: Departure) -> float | None:
    """Seconds after which a second attempt is worth it; None where there is to be none."""
    retry = departure.upstream.retry
    assert retry is not None
    if departure.body.length or exchange.websocket or exchange.method not in retry.rules.methods:
        return None
    return retry.slow_after() if departure.retries < retry.rules.retries else None


class Second:
    """The attempt beside the first one, on a target of its own."""

    __slots__ = ("_exchange", "_upstream", "answer", "first_began_at", "link", "target")

    def __init__(self, exchange: Exchange, departure: Departure, target: AnyTarget) -> None:
        self._exchange = exchange
        self._upstream = departure.upstream
        self.target = target
        self.first_began_at = exchange.attempt_at
        self.link: AnyLink | None = None
        self.answer: Answer | None = None
        self._upstream.began(exchange, target)

    async def run(self, request: Outgoing) -> None:
        """Until its answer has begun. Raises the GatewayError that came instead."""
        link: AnyLink | None = self.target.take(self._exchange)
        if link is None:
            link = await self.target.connect(request.timeouts.connect, request.timeouts.pool)
        self.link = link
        self.answer = Answer(link)
        link.send(request, self.answer)
        await self.answer.wait_head()

    def drop(self, error: BaseException) -> None:
        if self.link is not None and self.answer is not None:
            self.link.abandon(self.answer)
        self._upstream.ended(self._exchange, self.target, error)


def second_attempt(exchange: Exchange, departure: Departure) -> Second | None:
    """None where no other target is free for it, or the budget is spent."""
    first = exchange.target
    assert first is not None
    if not affords_another(departure.upstream, (*departure.tried, first)):
        return None
    try:
        other = departure.upstream.pick(exchange, (*departure.tried, first))
    except TargetError:  # they are at their limits
        return None
    if other is None:
        return None
    departure.retries += 1
    exchange.attempts += 1
    return Second(exchange, departure, other)


async def race(first: asyncio.Task[object], second: asyncio.Task[object]) -> bool:
    """Wait until one of two attempts has answered, or both have failed. Whether the second one is what is left.

    Raises ClientGone when the client leaves, which ends the first one by that error, or cancels the second.
    """
    await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
    if first.done():
        error = first.exception()
        if error is None:
            return False
        if isinstance(error, ClientGone):
            raise error
        await asyncio.wait((second,))
    if second.cancelled():
        raise ClientGone("while a second attempt was made for it")
    if first.done() or second.exception() is None:
        return True
    await asyncio.wait((first,))
    return False


async def hedged(
    exchange: Exchange, departure: Departure, link: AnyLink, answer: Answer, second: Second, *, request: Outgoing,
    watch: Callable[[asyncio.Task[object]], None],
) -> tuple[AnyLink, Answer]:  # fmt: skip
    """Whichever of two attempts answers first. Raises the error of the last one where both fail.

    watch: is given the task to cancel when the client leaves.
    """
    loop = asyncio.get_running_loop()
    first_head: asyncio.Task[object] = loop.create_task(answer.wait_head())
    second_head: asyncio.Task[object] = loop.create_task(second.run(request))
    watch(second_head)
    try:
        second_wins = await race(first_head, second_head)
    except BaseException as exc:
        await _cancel(first_head, second_head)
        second.drop(exc)
        raise
    await _cancel(first_head, second_head)
    if not second_wins:
        second.drop(_error_of(second_head) or HedgeLost())
        exchange.attempt_at = second.first_began_at
        return link, answer
    link.abandon(answer)
    assert exchange.target is not None
    departure.upstream.ended(exchange, exchange.target, _error_of(first_head) or HedgeLost())
    departure.tried = (*departure.tried, exchange.target)
    exchange.target = second.target
    second_head.result()
    assert second.link is not None
    assert second.answer is not None
    exchange.reused = second.link.reused
    return second.link, second.answer


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _error_of(task: asyncio.Task[object]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
