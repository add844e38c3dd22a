"""What an upstream takes on at a time: requests in flight for each target, and none at all while its circuit is open.

It stands before the balancer. A target that is at its limit is passed over; where all are, or the circuit is open, the
request is refused at once: a queue would only make everybody wait, and most of them in vain.
"""

from __future__ import annotations

import logging
from math import ceil, inf
from typing import TYPE_CHECKING

from gateway.errors import CircuitOpen, ConnectionLimitReached
from gateway.limits.adaptive import Adaptive
from gateway.limits.breaker import Breaker, Circuit
from gateway.limits.outlier import is_fault
from gateway.upstream.health import NO_STATUS, answered_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.balance import Balancer
    from gateway.balance.affinity import Preference
    from gateway.exchange import Exchange
    from gateway.limits.adaptive import AdaptiveRules
    from gateway.limits.breaker import BreakerRules
    from gateway.upstream.tally import Tally
    from gateway.upstream.upstream import AnyTarget, Upstream

log = logging.getLogger("gateway.health")


class Guard:
    """max_requests: in flight for each target, in all workers where there is a tally of them. now: the clock of
    `exchange.first_byte_at`.

    bounds: requests in flight are bounded, so that it is asked about each pick; without that it is while the circuit is
    not closed. adapts: it learns the bounds from latency. suspect: the lowest status that may be a failure.
    """

    __slots__ = (
        "_adaptive", "_max_requests", "_now", "_preference", "_rules", "_tally", "_trial", "_upstream", "adapts", "bounds", "breaker",
        "suspect",
    )  # fmt: skip

    def __init__(
        self,
        now: Callable[[], float],
        max_requests: float = inf,
        circuit: BreakerRules | None = None,
        adaptive: AdaptiveRules | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.breaker = None if circuit is None else Breaker(circuit)
        self.adapts = adaptive is not None
        self.bounds = self.adapts or max_requests < inf
        self.suspect = NO_STATUS if circuit is None else min(circuit.statuses, default=NO_STATUS)
        self._max_requests = max_requests
        self._rules = circuit
        self._adaptive = adaptive
        self._tally = tally if max_requests < inf else None
        self._now = now
        self._upstream: Upstream | None = None
        self._preference: Preference[AnyTarget] | None = None
        self._trial: Exchange | None = None

    def over(self, upstream: Upstream, preference: Preference[AnyTarget] | None) -> None:
        """Guard its targets from now on. What a target's latency has taught stays with it while the rules do."""
        self._upstream = upstream
        self._preference = preference
        for target in upstream.targets:
            target.max_in_flight = self._max_requests
            if self._tally is None:
                target.leave_row()
            elif target.row is None:
                address = target.address
                target.row = self._tally.row(f"{upstream.name} {address.url} {address.authority.decode('latin-1')}")
                if target.row is not None:
                    target.row.set(target.in_flight)
            if self._adaptive is None:
                target.adaptive = None
            else:
                if target.adaptive is None or target.adaptive.rules != self._adaptive:
                    target.adaptive = Adaptive(self._adaptive, self._now())
                self._apply(target, target.adaptive)

    def _apply(self, target: AnyTarget, adaptive: Adaptive) -> None:
        target.max_in_flight = min(self._max_requests, ceil(adaptive.limit))

    # ------------------------------------------------------------ before an attempt

    def pick(
        self, balancer: Balancer[AnyTarget], exchange: Exchange, tried: tuple[AnyTarget, ...]
    ) -> AnyTarget | None:
        """A target that may take one more, or None where there is no other. Raises ConnectionLimitReached or
        CircuitOpen."""
        target = self._choose(balancer, exchange, tried)
        full = None
        while target is not None and self._is_full(target):
            full = target
            tried = (*tried, target)
            target = self._choose(balancer, exchange, tried)
        if target is None:
            if full is not None:
                raise ConnectionLimitReached(f"{full.name}: as many requests as it may have are in flight")
            return None
        breaker = self.breaker
        if breaker is not None and breaker.state is not Circuit.CLOSED:
            self._ask(breaker, exchange)
        return target

    def _is_full(self, target: AnyTarget) -> bool:
        if target.in_flight >= target.max_in_flight:
            return True
        return target.row is not None and target.row.total() >= self._max_requests

    def _choose(
        self, balancer: Balancer[AnyTarget], exchange: Exchange, tried: tuple[AnyTarget, ...]
    ) -> AnyTarget | None:
        if self._preference is None:
            return balancer.pick(b"", tried)
        return self._preference.pick(balancer, exchange, tried)

    def _ask(self, breaker: Breaker, exchange: Exchange) -> None:
        """Let this exchange try whether the upstream is well again, or raise CircuitOpen."""
        now = self._now()
        if not breaker.asks(now):
            seconds = max(1, ceil(breaker.open_until - now))
            raise CircuitOpen(f"the circuit is open for {seconds} s", retry_after=seconds)
        self._trial = exchange

    # ------------------------------------------------------------ after it

    def learn(self, exchange: Exchange, target: AnyTarget) -> None:
        """An attempt has ended: its latency may move the target's limit."""
        if target.adaptive is not None:
            self._teach(target.adaptive, exchange, target, self._now())
            self._apply(target, target.adaptive)

    @staticmethod
    def _teach(adaptive: Adaptive, exchange: Exchange, target: AnyTarget, now: float) -> None:
        """An attempt that was given up tells as well that the answer took at least so long, where that is long."""
        answered = exchange.first_byte_at >= exchange.attempt_at
        latency = (exchange.first_byte_at if answered else now) - exchange.attempt_at
        if answered or latency > adaptive.unqueued:
            adaptive.answered(latency, target.in_flight + 1, now)

    def judge(self, exchange: Exchange, error: BaseException | None) -> None:
        """An attempt failed, or was answered with a suspect status; or it ended while the circuit is not closed."""
        breaker = self.breaker
        if breaker is None or self._upstream is None:
            return
        assert self._rules is not None
        now = self._now()
        status = answered_status(exchange, error)
        failed = is_fault(error, reused=exchange.reused) if status is None else status in self._rules.statuses
        before = breaker.state
        if exchange is self._trial:
            self._trial = None
            breaker.tried(now, failed=failed if failed or status is not None else None)
        elif failed:
            breaker.failed(sum(target.requests for target in self._upstream.targets), now)
        if breaker.state is not before:
            self._upstream.mind_all(minded=breaker.state is not Circuit.CLOSED)
            if failed:
                reason = str(error or f"status {status}")
                log.warning("circuit opened", extra={"upstream": self._upstream.name, "reason": reason})
            elif breaker.state is Circuit.CLOSED:
                log.info("circuit closed", extra={"upstream": self._upstream.name})
