"""The health of an upstream's targets: what probes and failures say becomes who may be picked, and how much each gets.

Verdicts are kept on the targets, which live on when the configuration changes; here are the rules and the timers. Two
voices are heard. Probes take a target out that does not answer them, and in again. Failures of requests eject a target
for a time that grows; where they were of a kind that probes would see, `passes` good ones end that early.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.deadlines import NEVER
from gateway.errors import AnswerDeclined
from gateway.limits.outlier import is_fault, may_eject
from gateway.limits.slow_start import weight_share
from gateway.upstream.probe import Prober
from gateway.upstream.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange
    from gateway.limits.outlier import Passive
    from gateway.upstream.probe import HealthCheck
    from gateway.upstream.upstream import AnyTarget, Upstream

log = logging.getLogger("gateway.health")

STEPS: Final = 20  # of a slow start
NO_STATUS: Final = 1000  # above all


class Health:
    """check, passive: None for none. slow_start: seconds, 0 for none. An upstream binds it to itself."""

    def __init__(
        self, deadlines: Deadlines, check: HealthCheck | None = None, passive: Passive | None = None, slow_start: float = 0
    ) -> None:
        self.check = check
        self.passive = passive
        self.slow_start = slow_start
        self.deadlines = deadlines
        self.cares: dict[AnyTarget, Care] = {}
        self._upstream: Upstream | None = None
        self.running = False
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def suspect(self) -> int:
        """The lowest status that may be a failure."""
        return min(self.passive.statuses, default=NO_STATUS) if self.passive is not None else NO_STATUS

    # ------------------------------------------------------------ its targets

    def follow(self, upstream: Upstream, targets: Sequence[AnyTarget]) -> None:
        """Watch over these from now on; the upstream looks at the ready set after this."""
        self._upstream = upstream
        for target in [known for known in self.cares if known not in targets]:
            self._leave(self.cares.pop(target))
        for target in targets:
            if target not in self.cares:
                self.cares[target] = care = Care(self, target)
                care.adopt()
                care.start()

    def start(self, upstream: Upstream, targets: Sequence[AnyTarget]) -> None:
        """Begin to probe and to learn; before this the targets may be another configuration's."""
        self.running = True
        self.follow(upstream, targets)

    def leave(self) -> None:
        """Judge nobody any more."""
        self.running = False
        for care in self.cares.values():
            self._leave(care)
        self.cares.clear()

    async def stop(self) -> None:
        self.leave()
        await asyncio.gather(*self._stopping)

    def _leave(self, care: Care) -> None:
        care.deadline = NEVER
        if care.prober is not None:
            task = asyncio.get_running_loop().create_task(care.prober.stop())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
            care.prober = None

    # ------------------------------------------------------------ what requests teach

    def ended(self, exchange: Exchange, target: AnyTarget, error: BaseException | None) -> None:
        """An attempt failed, or was answered with a suspect status."""
        passive = self.passive
        if passive is None or (care := self.cares.get(target)) is None:
            return
        status = answered_status(exchange, error)
        if status is not None and status not in passive.statuses:
            target.outlier.in_a_row = 0
        elif status is not None or is_fault(error, reused=exchange.reused):
            now = self.deadlines.now()
            if target.outlier.failed(passive, target.requests, now) and not target.ejected:
                reason = str(error) if status is None else f"status {status}"
                care.eject(passive, now, reason, by_status=status is not None)

    def refresh(self) -> None:
        assert self._upstream is not None
        self._upstream.refresh()

    def may_eject(self, passive: Passive) -> bool:
        """Whether the upstream can spare one more."""
        undrained = [target for target in self.cares if not target.drained]
        ejected = sum(target.ejected for target in undrained)
        ready = sum(not (target.ejected or target.down) for target in undrained)
        return may_eject(ejected, ready, len(undrained), passive.max_ejected)

    def facts(self, target: AnyTarget) -> dict[str, str]:
        """Which target of which upstream, for the log."""
        assert self._upstream is not None
        return {"upstream": self._upstream.name, "target": target.name}


def answered_status(exchange: Exchange, error: BaseException | None) -> int | None:
    """What the target answered in an attempt; None where it did not."""
    if isinstance(error, AnswerDeclined):
        return error.status
    return exchange.status if error is None else None


class Care:
    """One target under an upstream's health: its timer, and its probes."""

    __slots__ = ("_health", "_recovering_since", "bucket", "deadline", "prober", "target")

    def __init__(self, health: Health, target: AnyTarget) -> None:
        self._health = health
        self.target = target
        self.deadline = NEVER
        self.bucket = NEVER
        self.prober: Prober | None = None
        self._recovering_since = 0.0

    # ------------------------------------------------------------ life

    def adopt(self) -> None:
        """What is known of the target from before holds, as far as these rules would have found it out."""
        target, health = self.target, self._health
        if health.passive is None:
            target.ejected = False
        elif target.ejected:
            health.deadlines.watch(self, target.outlier.until)
        if health.check is None or not isinstance(target, Target):
            target.down = False
        elif not target.verdict.is_known:
            target.verdict.is_down = target.down = health.check.starts_down
        target.weight = target.full_weight

    def start(self) -> None:
        check = self._health.check
        if check is not None and isinstance(self.target, Target):
            self.prober = Prober(self.target, check, self.probed)
            self.prober.start()

    def expired(self, now: float) -> None:
        if self.target.ejected:
            self._return(now)
        else:
            self._grow(now)

    # ------------------------------------------------------------ out and in

    def eject(self, passive: Passive, now: float, reason: str, *, by_status: bool) -> None:
        health, target = self._health, self.target
        if target.down or not health.may_eject(passive):
            return
        until = target.outlier.eject(passive, now)
        target.ejected = True
        target.ejected_by_status = by_status
        target.reason = reason
        target.verdict.in_a_row = 0  # only what is probed from now on may end it
        health.deadlines.watch(self, until)
        log.warning("target ejected", extra={**health.facts(target), "reason": reason, "seconds": round(until - now, 3)})
        health.refresh()

    def probed(self, fault: str) -> None:
        """The result of a probe: what was wrong, or nothing."""
        health, target = self._health, self.target
        check = health.check
        assert check is not None
        now = health.deadlines.now()
        passed = not fault
        target.checks_passed += passed
        target.checks_failed += not passed
        if target.verdict.probed(passed, check.passes, check.fails):
            target.down = not passed
            if passed:
                log.info("target up", extra=health.facts(target))
                self._come_in(now)
            else:
                target.reason = fault
                log.warning("target down", extra={**health.facts(target), "reason": fault})
            health.refresh()
        if passed and target.ejected and not target.ejected_by_status and target.verdict.in_a_row >= check.passes:
            self._return(now)

    def _return(self, now: float) -> None:
        """From an ejection."""
        health, target = self._health, self.target
        target.ejected = False
        target.outlier.returned(now)
        self.deadline = NEVER
        log.info("target returned", extra=health.facts(target))
        self._come_in(now)
        health.refresh()

    # ------------------------------------------------------------ slow start

    def _come_in(self, now: float) -> None:
        """It may be picked again, unless the other voice is still against it."""
        target = self.target
        if self._health.slow_start and not (target.ejected or target.down):
            self._recovering_since = now
            self._grow(now)

    def _grow(self, now: float) -> None:
        health, target = self._health, self.target
        share = weight_share(now - self._recovering_since, health.slow_start)
        if share < 1:
            target.weight = target.full_weight * share
            health.deadlines.watch(self, now + health.slow_start / STEPS)
        else:
            target.weight = target.full_weight
