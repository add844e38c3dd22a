"""What the end of an attempt teaches a balancer that learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import TargetError

if TYPE_CHECKING:
    from gateway.balance import Learns
    from gateway.exchange import Exchange
    from gateway.upstream.upstream import AnyTarget

FAILED: Final = frozenset({502, 503, 504})  # answers that come fast because nothing was done for them


def teach(
    learner: Learns, exchange: Exchange, target: AnyTarget, error: BaseException | None, now: float
) -> None:
    """error: what became of the attempt, where that is not an answer. now: on the clock of the exchange."""
    begun = exchange.attempt_at
    if isinstance(error, TargetError) or (error is None and exchange.status in FAILED):
        learner.failed(target, now - begun, now)
    elif exchange.first_byte_at >= begun:
        learner.answered(target, exchange.first_byte_at - begun, now)
    elif error is not None and not exchange.websocket:  # relayed messages have no first byte, and may last for days
        learner.left(target, now - begun, now)
