"""A circuit breaker: an upstream whose attempts mostly fail is left alone for a while, then tried with one request.

Closed, everything goes. It opens when at least `error_rate` of `min_requests` or more attempts failed within `window`
seconds of a failure. After `open_for` seconds it is half open: one attempt goes, and what becomes of it closes the
circuit or opens it again. One whose end is not seen within `open_for` is not waited for: another one may try.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from gateway.limits.outlier import FailureWindow


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """error_rate: a share. window, open_for: seconds. statuses: answers that count as failures."""

    error_rate: float = 0.5
    min_requests: int = 20
    window: float = 10.0
    open_for: float = 10.0
    statuses: frozenset[int] = field(default=frozenset({502, 503, 504}))


class Circuit(IntEnum):
    """The numbers are those of the metric."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Breaker:
    """open_until: when the next attempt may try, while the circuit is not closed."""

    __slots__ = ("_rules", "_window", "open_until", "state")

    def __init__(self, rules: BreakerRules) -> None:
        self.state = Circuit.CLOSED
        self.open_until = float("-inf")
        self._rules = rules
        self._window = FailureWindow()

    def asks(self, now: float) -> bool:
        """Whether an attempt may be made now; while the circuit is not closed, it is the one that tries."""
        if self.state is Circuit.CLOSED:
            return True
        if now < self.open_until:
            return False
        self.state = Circuit.HALF_OPEN
        self.open_until = now + self._rules.open_for
        return True

    def failed(self, requests: int, now: float) -> None:
        """An attempt failed while the circuit is closed. requests: the upstream's attempts ever, this one included."""
        if self.state is not Circuit.CLOSED:  # of an attempt that began before it opened
            return
        rules = self._rules
        self._window.failed(requests, rules.window, now)
        if self._window.reaches(rules.error_rate, rules.min_requests):
            self._open(now)

    def tried(self, now: float, *, failed: bool | None) -> None:
        """What became of the attempt that tries, the last one of them. failed: None when it came to nothing, and another
        one has to try."""
        if failed:
            self._open(now)
        elif failed is None:
            self.state = Circuit.OPEN
            self.open_until = now
        else:
            self.state = Circuit.CLOSED

    def _open(self, now: float) -> None:
        self.state = Circuit.OPEN
        self.open_until = now + self._rules.open_for
        self._window.clear()
