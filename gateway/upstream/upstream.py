"""A named group of targets: which of them may be picked, the balancer that picks, and what attempts teach about them.

Whoever forwards asks `pick` for a target, and calls `began` and `ended` around every attempt on it, exactly once each.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway.balance import Learns
from gateway.errors import NoTarget, TargetError
from gateway.limits.ready import ready_set
from gateway.upstream.health import NO_STATUS
from gateway.upstream.lessons import teach
from gateway.upstream.transport import target_client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    from gateway.balance import Balancer
    from gateway.balance.affinity import Affinity, Preference
    from gateway.exchange import Exchange
    from gateway.upstream.base import TargetBase
    from gateway.upstream.discovery.keeper import Keeper
    from gateway.upstream.guard import Guard
    from gateway.upstream.health import Health
    from gateway.upstream.local_target import LocalTarget
    from gateway.upstream.retry import Retry
    from gateway.upstream.target import Target

    AnyTarget: TypeAlias = Target | LocalTarget

log = logging.getLogger("gateway.health")

PRESERVE: Final = b"preserve"
UPSTREAM: Final = b"upstream"


class Upstream:
    """targets: all of them, in the order of the file. balancer: over those that may be picked now, the ready set.
    all_out: nobody is in, and so all are tried. health: who judges the targets, where somebody does. guard: what they
    take on at a time, where that is bounded. retry: what may be repeated, None for nothing; declined: the statuses for
    which it may; is_hasty: an attempt that another may follow has less time; hedges: it may get another one beside it;
    needs_task: either, so that forwarding takes a task.
    host_header: PRESERVE, UPSTREAM (the target's own name) or a literal value for Host."""

    __slots__ = (
        "_adapts", "_balance", "_chooser", "_clients", "_learner", "_now", "_preference", "_ready", "_started", "_suspect", "_timed",
        "all_out", "balancer", "declined", "drained", "guard", "health", "hedges", "host_header", "is_hasty", "is_local",
        "keeper", "name", "needs_task", "retry", "targets",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        targets: Sequence[AnyTarget],
        balance: Callable[[Sequence[AnyTarget]], Balancer[AnyTarget]],
        host_header: bytes = PRESERVE,
        preference: Preference[AnyTarget] | None = None,
        now: Callable[[], float] = monotonic,
        *,
        health: Health | None = None,
        guard: Guard | None = None,
        retry: Retry | None = None,
        drained: set[str] | None = None,
    ) -> None:
        """balance: makes the balancer over the ready set, again whenever that changes. preference: what a request
        says about where it wants to go, where that counts. now: the clock of `exchange.first_byte_at`. drained: the
        URLs of targets that are out by hand, which lasts longer than they do."""
        self.name = name
        self.host_header = host_header
        self.keeper: Keeper | None = None  # where the targets are discovered: it gives them, by `set_targets`
        self.is_local = any(target.address.app for target in targets)
        self._balance = balance
        self._clients: dict[AnyTarget, httpx.AsyncClient] = {}
        self.drained = set() if drained is None else drained
        self.targets = self._marked(targets)
        self.health = health
        self.retry = retry
        self.declined = frozenset() if retry is None else retry.rules.statuses
        self.is_hasty = retry is not None and retry.rules.per_try_timeout is not None
        self.hedges = retry is not None and retry.rules.hedge
        self.needs_task = self.is_hasty or self.hedges
        self.guard = guard
        self._adapts = guard is not None and guard.adapts
        self._ready, self.all_out = ready_set(self.targets)
        self._preference = preference
        self._chooser: Preference[AnyTarget] | Guard | None = None
        self._suspect = NO_STATUS
        self.mind_all(minded=False)
        self._started = False
        self._now = now
        self._take_in(self._ready)

    # ------------------------------------------------------------ who may be picked

    def set_targets(self, targets: Sequence[AnyTarget]) -> None:
        """Other targets from now on. Who swaps them starts the new ones, and stops the old ones when their exchanges
        are over."""
        if self._started:
            for target in [new for new in targets if new not in self.targets]:
                target.users += 1
            for target in [old for old in self.targets if old not in targets]:
                target.users -= 1
        self.targets = self._marked(targets)
        self._clients = {target: client for target, client in self._clients.items() if target in self.targets}
        if self.guard is not None:
            self.guard.over(self, self._preference)
        if self.health is not None and self.health.running:
            self.health.follow(self, self.targets)
        self.refresh()

    def _marked(self, targets: Sequence[AnyTarget]) -> tuple[AnyTarget, ...]:
        for target in targets:
            target.drained = target.address.url in self.drained
        return tuple(targets)

    def drain(self, target: AnyTarget) -> None:
        """Take it out by hand: it gets no new exchanges."""
        self.drained.add(target.address.url)
        target.drained = True
        self.refresh()

    def enable(self, target: AnyTarget) -> None:
        """Take it in again."""
        self.drained.discard(target.address.url)
        target.drained = False
        self.refresh()

    @property
    def ready(self) -> tuple[AnyTarget, ...]:
        """The targets that may be picked now."""
        return self._ready

    def refresh(self) -> None:
        """Look again who is ready, after a target was drained, enabled, judged or replaced."""
        ready, all_out = ready_set(self.targets)
        if all_out is not self.all_out:
            self.all_out = all_out
            if all_out:
                log.warning("all targets out", extra={"upstream": self.name})
            else:
                log.info("targets in again", extra={"upstream": self.name})
        if ready != self._ready:
            self._take_in(ready)

    def _take_in(self, ready: tuple[AnyTarget, ...]) -> None:
        self._ready = ready
        self.balancer = self._balance(ready)
        self._learner = self.balancer if isinstance(self.balancer, Learns) else None
        self._timed = self._learner is not None or self._adapts or self.hedges
        if self._preference is not None:
            self._preference.over(ready)

    @property
    def affinity(self) -> Affinity[AnyTarget] | None:
        """By whose cookies clients come back to their targets, where they do."""
        return None if self._preference is None else self._preference.affinity

    # ------------------------------------------------------------ attempts

    def pick(self, exchange: Exchange | None, tried: tuple[AnyTarget, ...]) -> AnyTarget | None:
        """A target that is not in `tried`, or None. exchange: None for what is not a client's request. Raises
        ConnectionLimitReached or CircuitOpen where the guard takes on no more."""
        if self._chooser is None or exchange is None:
            return self.balancer.pick(b"", tried)
        return self._chooser.pick(self.balancer, exchange, tried)

    def mind_all(self, *, minded: bool) -> None:
        """minded: the guard's circuit is not closed, so that it is asked about each pick, and told each end."""
        guard = self.guard
        self._chooser = guard if guard is not None and (minded or guard.bounds) else self._preference
        statuses = [judge.suspect for judge in (guard, self.health) if judge is not None]
        self._suspect = 0 if minded else min(statuses, default=NO_STATUS)

    def has_other(self, tried: tuple[AnyTarget, ...]) -> bool:
        """Whether a target that is not in `tried` may be picked."""
        return any(target not in tried for target in self._ready)

    def began(self, exchange: Exchange, target: AnyTarget) -> None:
        """An attempt on this target begins."""
        base: TargetBase = target  # compiled, what is of one class is faster to get at
        base.requests += 1
        base.in_flight += 1
        if base.row is not None:
            base.row.set(base.in_flight)
        if self._timed:
            exchange.attempt_at = self._now()

    def ended(self, exchange: Exchange, target: AnyTarget, error: BaseException | None) -> None:
        """It is over. error: what became of it, where that is not an answer; only a TargetError is the target's fault."""
        base: TargetBase = target
        base.in_flight -= 1
        if base.row is not None:
            base.row.set(base.in_flight)
        if self._learner is not None:
            teach(self._learner, exchange, target, error, self._now())
        if self._adapts and self.guard is not None:
            self.guard.learn(exchange, target)
        if self.hedges and self.retry is not None:
            self.retry.learn(exchange)
        if error is None and exchange.status < self._suspect:
            base.outlier.in_a_row = 0
            return
        if isinstance(error, TargetError):
            base.failures += 1
        if self.guard is not None:
            self.guard.judge(exchange, error)
        if self.health is not None:
            self.health.ended(exchange, target, error)

    # ------------------------------------------------------------ beside the requests

    def client(self) -> httpx.AsyncClient:
        """The httpx client of the target whose turn it is; each target has one, over the connections of all others."""
        target = self.pick(None, ())
        if target is None:
            raise NoTarget(f"upstream {self.name} has no target")
        client = self._clients.get(target)
        if client is None:
            client = self._clients[target] = target_client(target)
        return client

    # ------------------------------------------------------------ the life of it

    async def start(self) -> None:
        """Start the targets that no other upstream has started. Raises TargetError."""
        self._started = True
        fresh = [target for target in self.targets if not target.users]
        for target in self.targets:
            target.users += 1
        outcomes = await asyncio.gather(*(target.start() for target in fresh), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        if self.keeper is not None:
            await self.keeper.start()

    def take_over(self) -> None:
        """Be the one that counts from now on: its targets have their settings, and it judges them."""
        if self.guard is not None:
            self.guard.over(self, self._preference)
        else:
            for target in self.targets:
                target.leave_row()
        if self.health is not None:
            self.health.start(self, self.targets)
        self.refresh()
        self._take_in(self._ready)
        if self.keeper is not None:
            self.keeper.begin()

    def retire(self) -> None:
        """Another one takes its place: what is under way goes on, and targets that the other has not prepare to end."""
        if self.keeper is not None:
            self.keeper.retire()
        if self.health is not None:
            self.health.leave()
        for target in self._own():
            target.retire()

    @property
    def busy(self) -> bool:
        """Exchanges are under way on targets that no other upstream has."""
        return any(target.in_flight for target in self._own()) or (self.keeper is not None and self.keeper.busy)

    async def stop(self) -> None:
        """Stop the targets that no other upstream has, busy or not."""
        if self.keeper is not None:
            await self.keeper.stop()
        if self.health is not None:
            await self.health.stop()
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))
        ending = self._own()
        if self._started:
            for target in self.targets:
                target.users -= 1
        await asyncio.gather(*(target.stop() for target in ending))

    def _own(self) -> list[AnyTarget]:
        return [target for target in self.targets if target.users == 1]
