"""Passive ejection: when a target's failures say that it is out of order, and for how long it stays out.

It goes after `max_fails` failures in a row, or when at least `error_rate` of its attempts failed. Both are counted over
windows of `fail_timeout` seconds that begin with a failure, so that attempts which succeed cost no bookkeeping: they
only end the row. An ejection lasts `fail_timeout`, and twice as long as the last one when that was not long ago.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.errors import ConnectionLimitReached, ConnectionTerminated, Reach, TargetError, TotalTimeout

LONGEST: Final = 32  # times `fail_timeout`, however often a target was ejected


@dataclass(frozen=True, slots=True)
class Passive:
    """fail_timeout: seconds. statuses: answers that count as failures. error_rate, max_ejected: shares; of attempts, at
    least `min_requests`, and of the upstream's targets."""

    max_fails: int = 3
    fail_timeout: float = 10.0
    statuses: frozenset[int] = field(default=frozenset({502, 503, 504}))
    error_rate: float | None = None
    min_requests: int = 20
    max_ejected: float = 0.5


class FailureWindow:
    """Counts the failures among all attempts, from a failure on, for `seconds`; then the next failure begins anew."""

    __slots__ = ("_before", "_since", "failures", "requests")

    def __init__(self) -> None:
        self._since = float("-inf")
        self._before = 0
        self.failures = 0
        self.requests = 0

    def failed(self, requests: int, seconds: float, now: float) -> None:
        """requests: attempts ever, this one included."""
        if now - self._since >= seconds:
            self._since = now
            self._before = requests - 1
            self.failures = 0
        self.failures += 1
        self.requests = max(requests - self._before, self.failures)  # attempts of before may fail now

    def clear(self) -> None:
        self._since = float("-inf")

    def reaches(self, error_rate: float, min_requests: int) -> bool:
        return self.requests >= min_requests and self.failures >= error_rate * self.requests


class Outlier:
    """What the failures of one target have come to. in_a_row: whoever sees a success sets it to 0."""

    __slots__ = ("_lasted", "_returned_at", "_row_since", "_window", "in_a_row", "until")

    def __init__(self) -> None:
        self.in_a_row = 0
        self.until = float("-inf")  # the end of the last ejection
        self._row_since = 0.0
        self._window = FailureWindow()
        self._lasted = 0.0
        self._returned_at = float("-inf")

    def failed(self, rules: Passive, requests: int, now: float) -> bool:
        """Whether this failure should eject the target. requests: its attempts ever, this one included."""
        if not self.in_a_row or now - self._row_since >= rules.fail_timeout:
            self.in_a_row = 0
            self._row_since = now
        self.in_a_row += 1
        if rules.error_rate is not None:
            self._window.failed(requests, rules.fail_timeout, now)
            if self._window.reaches(rules.error_rate, rules.min_requests):
                return True
        return self.in_a_row >= rules.max_fails

    def eject(self, rules: Passive, now: float) -> float:
        """When it is over."""
        again = now - self._returned_at < self._lasted + rules.fail_timeout
        self._lasted = min(2 * self._lasted, LONGEST * rules.fail_timeout) if again else rules.fail_timeout
        self.until = now + self._lasted
        return self.until

    def returned(self, now: float) -> None:
        """It is in again, and begins without failures."""
        self._returned_at = now
        self.until = now
        self.in_a_row = 0
        self._window.clear()


def is_fault(error: BaseException | None, *, reused: bool) -> bool:
    """Whether an attempt that ended so speaks against its target. A reused connection that was closed does not: idle
    ones are closed at any time. Neither do limits of ours, nor clients that leave."""
    if not isinstance(error, TargetError) or isinstance(error, ConnectionLimitReached | TotalTimeout):
        return False
    return not (reused and isinstance(error, ConnectionTerminated) and error.reach is Reach.MAYBE_PROCESSED)


def may_eject(ejected: int, ready: int, undrained: int, max_ejected: float) -> bool:
    """Whether one more may go. ejected: those that are. ready: those that are neither ejected nor down, this one
    included. undrained: all that could be used."""
    return ready > 1 and ejected + 1 <= max_ejected * undrained
