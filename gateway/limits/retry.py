"""May a failed attempt be repeated, and after which pause? (RFC 9110 section 9.2.2)

What was never sent may go to another target whatever its method, and costs no target anything. What a target may have
processed, or answered badly, is repeated only for methods that allow it, at most `retries` times, and as far as the
budget goes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gateway.errors import (
    BadResponse,
    ConnectionRefused,
    ConnectionTerminated,
    FirstByteTimeout,
    GatewayError,
    IncompleteResponse,
    Reach,
    TargetError,
    TotalTimeout,
    WriteTimeout,
)
from gateway.rfc.message import IDEMPOTENT


class Reason(Enum):
    """Why an attempt is repeated; the values are words of the configuration."""

    CONNECT = "connect"  # no connection could be made, or none was free
    REFUSED = "refused"  # the target refused the connection, or closed it without an answer
    TIMEOUT = "timeout"  # it did not take the request, or did not answer, in time
    INVALID = "invalid"  # its answer is not HTTP


@dataclass(frozen=True, slots=True)
class RetryRules:
    """retries: for each request, those apart that follow on what was never sent. budget: a share of the upstream's
    attempts; min_per_second: what it affords in any case. backoff, per_try_timeout: seconds. hedge: a second attempt
    beside a first one that is slow."""

    retries: int = 1
    reasons: frozenset[Reason] = field(default=frozenset({Reason.CONNECT, Reason.REFUSED}))
    statuses: frozenset[int] = field(default=frozenset({502, 503, 504}))
    methods: frozenset[bytes] = field(default=IDEMPOTENT)
    budget: float = 0.2
    min_per_second: float = 3.0
    backoff: float = 0.025
    per_try_timeout: float | None = None
    hedge: bool = False


def reason_of(error: GatewayError) -> Reason | None:
    """Why an attempt with this end might be repeated; None for what never is."""
    if not isinstance(error, TargetError) or isinstance(error, TotalTimeout):
        return None
    if error.reach is Reach.ANSWERED:
        invalid = isinstance(error, BadResponse) and not isinstance(error, IncompleteResponse)
        return Reason.INVALID if invalid else None
    if isinstance(error, ConnectionRefused | ConnectionTerminated):
        return Reason.REFUSED
    if isinstance(error, FirstByteTimeout | WriteTimeout):
        return Reason.TIMEOUT
    return Reason.CONNECT if error.reach is Reach.UNSENT else None


def may_retry(rules: RetryRules, method: bytes, error: GatewayError, retries: int) -> bool:
    """Whether a request may be sent again after this error. retries: how many there were already. The request's body
    has a word too, and where something was sent, the budget."""
    if reason_of(error) not in rules.reasons:
        return False
    return error.reach is Reach.UNSENT or (method in rules.methods and retries < rules.retries)


def may_decline(rules: RetryRules, method: bytes, status: int, retries: int) -> bool:
    """Whether an answer with this status may be dropped for another attempt."""
    return status in rules.statuses and method in rules.methods and retries < rules.retries


def backoff(base: float, retries: int, chance: float) -> float:
    """Seconds until the next attempt. base: the mean of the first pause; each one is twice the last. chance: from 0 to
    1; it spreads the pauses from half to one and a half, so that those who failed together do not come back together."""
    return float(base * 2.0**retries * (0.5 + chance))
