"""Least time: of two targets drawn by weight, the one whose answer is expected to begin sooner.

What is expected is the target's peak average (`peak_ewma.py`) for each of the requests that it has in flight for its
weight, and for ours. The clock is that of the answers: the time of the last one is now, and without answers there is
nothing new to know. A target that nothing is known of gets one request at a time until it has answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from gateway.balance.chance import Odds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import BalancerOptions
    from gateway.balance.peak_ewma import PeakEwma

FAILURE: Final = 1.0  # seconds that a failure counts for at least: one that comes at once must not look fast
FASTEST: Final = 0.001  # seconds; the clock of an event loop sees no less, and what is faster is alike
UNKNOWN: Final = 1e6  # seconds; more than anything that is known


class Timed(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def latency(self) -> PeakEwma:
        """Kept with the target, so that it outlives this balancer; nobody else writes it."""


T = TypeVar("T", bound=Timed)


class LeastTime(Generic[T]):
    __slots__ = ("_now", "_odds")

    def __init__(self, targets: Sequence[T], options: BalancerOptions) -> None:
        self._odds = Odds(targets, options)
        self._now = 0.0

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        one, other = self._odds.two(tried)
        if one is None or other is None:
            return one
        return other if self._expected(other) < self._expected(one) else one

    def answered(self, target: T, seconds: float, now: float) -> None:
        self._now = now
        target.latency.observe(seconds, now)

    def failed(self, target: T, seconds: float, now: float) -> None:
        self.answered(target, max(seconds, FAILURE), now)

    def left(self, target: T, seconds: float, now: float) -> None:
        if seconds > target.latency.at(now):
            self.answered(target, seconds, now)

    def _expected(self, target: T) -> float:
        load = target.in_flight / target.weight
        if not target.latency.is_known:
            return UNKNOWN * load
        seconds = target.latency.at(self._now)
        return (seconds if seconds > FASTEST else FASTEST) * (1.0 + load)
