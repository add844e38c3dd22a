"""Whether a request goes to another target after an attempt that failed, or was answered badly.

The rules are `gateway.limits.retry`, the budget is the upstream's; here they meet the request: its body, what was spent
of its retries, and the targets that are left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.body import REPLAY_LIMIT
from gateway.errors import AnswerDeclined, ConnectionTerminated, Reach
from gateway.limits.retry import may_decline, may_retry
from gateway.rfc.message import IDEMPOTENT

if TYPE_CHECKING:
    from gateway.departure import Departure
    from gateway.errors import TargetError
    from gateway.exchange import Exchange
    from gateway.upstream.sink import Timeouts
    from gateway.upstream.upstream import AnyTarget, Upstream


def pause_after(error: TargetError, exchange: Exchange, departure: Departure) -> float:
    """Seconds until the next attempt, which passes over `departure.tried`; raises `error` where there must be none."""
    stale = isinstance(error, ConnectionTerminated) and error.reach is Reach.MAYBE_PROCESSED and exchange.reused
    if stale and exchange.method in IDEMPOTENT and departure.body.replayable:
        return 0.0  # its other connections may be as stale, but a fresh one is made when they run out
    target, retry = exchange.target, departure.upstream.retry
    assert target is not None
    if retry is None:
        raise error
    if error.reach is Reach.UNSENT:
        if not may_retry(retry.rules, exchange.method, error, departure.retries):
            raise error
        departure.tried = (*departure.tried, target)
        return 0.0
    if not isinstance(error, AnswerDeclined) and not (  # that it may be was found before it was declined
        may_retry(retry.rules, exchange.method, error, departure.retries)
        and departure.body.replayable
        and affords_another(departure.upstream, (*departure.tried, target))
    ):
        raise error
    departure.tried = (*departure.tried, target)
    departure.retries += 1
    return retry.pause(departure.retries - 1)


def timeouts_of(exchange: Exchange, departure: Departure, target: AnyTarget) -> Timeouts:
    """An attempt that another one may follow has `per_try_timeout`, the last one all the time that there is."""
    retry = departure.upstream.retry
    assert retry is not None
    may_follow = (
        exchange.method in retry.rules.methods
        and departure.retries < retry.rules.retries
        and 0 <= departure.body.length <= REPLAY_LIMIT
        and departure.upstream.has_other((*departure.tried, target))
    )
    return retry.hasten(departure.patience) if may_follow else departure.patience


def affords_another(upstream: Upstream, tried: tuple[AnyTarget, ...]) -> bool:
    """Whether a request can be sent to another target than those; takes it from the budget."""
    return upstream.has_other(tried) and upstream.retry is not None and upstream.retry.spend(upstream)


def declines(
    status: int, exchange: Exchange, upstream: Upstream, tried: tuple[AnyTarget, ...], retries: int = 0
) -> bool:
    """Whether another target is to answer in place of the one that answered so, the last of `tried`. The request has a
    body that can be sent again, or none."""
    retry = upstream.retry
    assert retry is not None
    return may_decline(retry.rules, exchange.method, status, retries) and affords_another(upstream, tried)


def decline(status: int, exchange: Exchange, departure: Departure) -> None:
    """Raises AnswerDeclined where another target is to answer in place of the one that answered so."""
    assert exchange.target is not None
    tried = (*departure.tried, exchange.target)
    if departure.body.replayable and declines(status, exchange, departure.upstream, tried, departure.retries):
        raise AnswerDeclined(f"answered {status}", status=status)
