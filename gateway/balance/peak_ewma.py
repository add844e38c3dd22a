"""How long a target takes: an exponentially weighted moving average that believes bad news at once and good news slowly.

A time above the average takes its place, one below it lowers it by how long ago the last news came; so does silence.
The idea is Finagle's (`PeakEwma`), where it was found that a mean notices a stalled target too late.
"""

from __future__ import annotations

from math import exp
from typing import Final

DECAY: Final = 10.0  # seconds after which old news counts for 1/e


class PeakEwma:
    """Seconds. Nothing is known until the first news."""

    __slots__ = ("_cost", "_stamp", "is_known")

    def __init__(self) -> None:
        self._cost = 0.0
        self._stamp = 0.0
        self.is_known = False

    def at(self, now: float) -> float:
        """What an answer is expected to take now."""
        age = now - self._stamp
        return self._cost * exp(-age / DECAY) if age > 0.0 else self._cost

    def observe(self, seconds: float, now: float) -> None:
        old = exp(-max(now - self._stamp, 0.0) / DECAY)
        self._cost = seconds if seconds > self._cost else self._cost * old + seconds * (1.0 - old)
        self._stamp = now
        self.is_known = True
