"""Adaptive concurrency: how many requests at a time a target works on best, found from its latency.

More requests than a target can work on only wait in it, which shows as latency. So answers are watched in short windows:
while their median stays near what it is without a queue, and the limit is reached, the limit grows a little; when the
median rises, the limit falls in proportion (the gradient, as in Netflix's concurrency-limits and in Envoy).

What the median is without a queue is learnt while few requests are in flight, and whenever it is lower than was thought.
Work changes, so after RECHECK windows at the limit, and when nothing is known, only a few are let in for one window.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

WINDOW: Final = 0.1  # seconds at least, and
SAMPLES: Final = 6  # answers at least, before a window is judged;
MAX_SAMPLES: Final = 100  # those after it are not kept
STEEPEST: Final = 0.5  # the lowest gradient: one bad window does no more
RECHECK: Final = 300  # windows
CALM: Final = 2  # requests in flight that do not queue in any target worth the name
NEAR: Final = 0.9  # of the limit counts as reaching it
DOWN, UP = 0.3, 0.05  # how fast what is thought of the latency without a queue follows what is seen


@dataclass(frozen=True, slots=True)
class AdaptiveRules:
    """The bounds of the limit, and where it begins. tolerance: by how much of itself latency may rise unpunished."""

    lowest: int = 1
    highest: int = 200
    initial: int = 20
    tolerance: float = 0.25


class Adaptive:
    """The limit of one target. Latencies are seconds; `now` is on any clock that goes forward. unqueued: what is thought
    of the latency without a queue, 0 while nothing is known."""

    __slots__ = ("_before", "_began", "_full_windows", "_peak", "_seen", "limit", "rules", "unqueued")

    def __init__(self, rules: AdaptiveRules, now: float) -> None:
        self.limit = float(min(max(rules.initial, rules.lowest), rules.highest))
        self.rules = rules
        self.unqueued = 0.0
        self._before = 0.0  # the limit before this window lets in only a few; else 0
        self._full_windows = 0
        self._began = now
        self._seen: list[float] = []
        self._peak = 0

    def answered(self, latency: float, in_flight: int, now: float) -> None:
        """An attempt has ended after `latency`. in_flight: of the target until then."""
        if self._before and now - latency < self._began:  # it had the company of those from before
            return
        self._peak = max(self._peak, in_flight)
        if len(self._seen) < MAX_SAMPLES:
            self._seen.append(latency)
        if len(self._seen) >= SAMPLES and now - self._began >= WINDOW:
            self._close(max(median(self._seen), 1e-6))
            self._began = now
            self._seen.clear()
            self._peak = 0

    def _close(self, latency: float) -> None:
        if self._before:
            self.unqueued = latency
            self.limit, self._before = self._before, 0.0
            return
        is_full = self._peak >= NEAR * self.limit
        self._learn(latency, is_full=is_full)
        if is_full:
            self._full_windows += 1
        if not self.unqueued or self._full_windows >= RECHECK:
            self._full_windows = 0
            self._before = self.limit
            self.limit = float(max(CALM, self.rules.lowest))
            return
        gradient = max(STEEPEST, min(1.0, (1 + self.rules.tolerance) * self.unqueued / latency))
        if is_full or gradient < 1:
            self._set(self.limit * gradient + self.limit**0.5 / 8)

    def _learn(self, latency: float, *, is_full: bool) -> None:
        if self._peak <= max(CALM, self.rules.lowest) or (not self.unqueued and not is_full):
            self.unqueued = latency
        elif latency < self.unqueued:
            self.unqueued += DOWN * (latency - self.unqueued)
        elif not is_full:
            self.unqueued += UP * (latency - self.unqueued)

    def _set(self, limit: float) -> None:
        self.limit = min(max(limit, float(self.rules.lowest)), float(self.rules.highest))
