"""When to leave Redis alone, and when to try it again. Pure.

One fault opens the breaker: a request that has waited its few milliseconds in vain must be the last one that does. Tries
are made apart from requests, so that none of them ever pays for one; each that fails doubles the pause before the next.
A Redis that answers its tries and fails again at once is no better than one that is down: the pause starts from the
beginning only once it has worked for as long as it had been left alone.
"""

from __future__ import annotations

from typing import Final

FIRST_PAUSE: Final = 0.05  # seconds
LONGEST_PAUSE: Final = 2.0


class Breaker:
    """Closed at first. Times are seconds of any one clock."""

    __slots__ = ("_closed_at", "is_open", "opened", "pause")

    def __init__(self) -> None:
        self.is_open = False
        self.pause = 0.0  # between the last fault and the next try, seconds
        self.opened = 0  # how often so far
        self._closed_at = 0.0

    def failed(self, now: float) -> float:
        """A command or a try has failed; the time of the next try. Faults while it is open are tries that failed."""
        if not self.is_open:
            self.is_open = True
            self.opened += 1
            if now - self._closed_at >= self.pause:
                self.pause = 0.0
        self.pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, self.pause * 2))
        return now + self.pause

    def worked(self, now: float) -> None:
        """A try has been answered in time."""
        if self.is_open:
            self.is_open = False
            self._closed_at = now
