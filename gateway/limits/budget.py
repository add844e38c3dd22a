"""The retry budget: repeating what failed must not double the load of an upstream that is failing because of load.

Every attempt pays in a share of a retry, every second a few whole ones, and what is not spent is forgotten in about
WINDOW seconds. The attempts are counted elsewhere and read when a retry is wanted, so that they cost nothing here.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 10.0  # seconds


class Budget:
    """share: retries for each attempt. minimum: retries a second, whatever the attempts."""

    __slots__ = ("_at", "_left", "_minimum", "_requests", "_share")

    def __init__(self, share: float, minimum: float, now: float) -> None:
        self._share = share
        self._minimum = minimum
        self._left = minimum
        self._at = now
        self._requests = 0

    def spend(self, requests: int, now: float) -> bool:
        """Take one retry, where there is one left. requests: attempts ever."""
        elapsed = now - self._at
        if elapsed > 0:
            earned = self._share * max(0, requests - self._requests) + self._minimum * elapsed
            kept = max(0.0, 1 - elapsed / WINDOW)
            self._left = self._left * kept + earned * min(1.0, WINDOW / elapsed)
            self._at = now
            self._requests = requests
        if self._left < 1:
            return False
        self._left -= 1
        return True
