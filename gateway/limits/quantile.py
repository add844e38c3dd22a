"""A latency's quantile as it is lately: counts in buckets that grow by a fixed factor, all halved now and then.

A figure is exact to the width of its bucket, about a tenth, and the last few HALF_LIFE answers have most of the say.
"""

from __future__ import annotations

from math import log
from typing import Final

LOWEST: Final = 0.0005  # seconds: whatever is below is in the first bucket
GROWTH: Final = 1.1
BUCKETS: Final = 128  # up to about 90 s
HALF_LIFE: Final = 1000  # answers
ENOUGH: Final = 50  # answers, before anything is said

_SCALE: Final = 1 / log(GROWTH)


class Latency:
    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._total = 0

    def add(self, seconds: float) -> None:
        index = int(log(seconds / LOWEST) * _SCALE) + 1 if seconds > LOWEST else 0
        self._counts[min(index, BUCKETS - 1)] += 1
        self._total += 1
        if self._total >= 2 * HALF_LIFE:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)

    def quantile(self, share: float) -> float | None:
        """The upper end of the bucket that holds it; None while too little was seen."""
        if self._total < ENOUGH:
            return None
        wanted = share * self._total
        index = 0
        seen = self._counts[0]
        while seen < wanted:
            index += 1
            seen += self._counts[index]
        return float(LOWEST * GROWTH**index)
