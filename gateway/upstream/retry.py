"""What an upstream lets be repeated: the rules, the budget that its attempts pay for, and the pauses between."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Final

from gateway.limits.budget import Budget
from gateway.limits.quantile import Latency
from gateway.limits.retry import backoff
from gateway.upstream.sink import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange
    from gateway.limits.retry import RetryRules
    from gateway.upstream.upstream import Upstream

SLOW: Final = 0.95  # the share of attempts that are not slower


class Retry:
    """now: a clock that goes forward."""

    __slots__ = ("_budget", "_latency", "_now", "rules")

    def __init__(self, rules: RetryRules, now: Callable[[], float]) -> None:
        self.rules = rules
        self._now = now
        self._budget = Budget(rules.budget, rules.min_per_second, now())
        self._latency = Latency()

    def spend(self, upstream: Upstream) -> bool:
        """Take one retry from the budget, where one is left."""
        return self._budget.spend(sum(target.requests for target in upstream.targets), self._now())

    def pause(self, retries: int) -> float:
        """Seconds before the next attempt, after so many retries."""
        return backoff(self.rules.backoff, retries, random())  # noqa: S311 - to spread them

    def learn(self, exchange: Exchange) -> None:
        """An attempt has ended: where it was answered, its time to the first byte counts."""
        if exchange.first_byte_at >= exchange.attempt_at:
            self._latency.add(exchange.first_byte_at - exchange.attempt_at)

    def slow_after(self) -> float | None:
        """Seconds within which SLOW of all attempts are answered; None while too little is known."""
        return self._latency.quantile(SLOW)

    def hasten(self, timeouts: Timeouts) -> Timeouts:
        """The same for an attempt that another one may follow."""
        limit = self.rules.per_try_timeout
        if limit is None:
            return timeouts
        return Timeouts(
            connect=min(timeouts.connect, limit),
            pool=min(timeouts.pool, limit),
            first_byte=min(timeouts.first_byte, limit),
            read=timeouts.read,
            write=timeouts.write,
            stream_idle=timeouts.stream_idle,
            total=timeouts.total,
        )
