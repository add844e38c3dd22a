"""Keeps the targets of an upstream as its discovery finds them: one task an upstream, from start to stop.

The last good answer holds as long as there is no better one. A target that is found again and again is one object, with
its counters, connections and health. One that is found no more gets no new requests, finishes those it has, and is then
forgotten; if it is found again before that, it goes on as it was.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from gateway.upstream.discovery.found import MAX_TARGETS, changed, next_look, next_try, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.upstream.discovery import Discovery
    from gateway.upstream.discovery.found import Place, Spec
    from gateway.upstream.upstream import AnyTarget, Upstream

log = logging.getLogger("gateway.discovery")

START_WAIT: Final = 1.0  # seconds that a start waits for the first answer
CANCEL_AGAIN: Final = 0.1  # seconds
LOGGED: Final = 20  # targets that one line of the log names


class Keeper:
    """make: a new target, for a place it was found at. refresh: the most seconds between two look-ups. source: by which
    a keeper of another configuration is known to find the same. specs: what that one has found, of the targets that
    the upstream has already."""

    def __init__(
        self,
        upstream: Upstream,
        discovery: Discovery,
        make: Callable[[Spec], AnyTarget],
        *,
        refresh: float,
        source: str = "",
        specs: Iterable[Spec] = (),
    ) -> None:
        self.source = source
        self.specs = tuple(specs)
        self._upstream = upstream
        self._discovery = discovery
        self._make = make
        self._refresh = refresh
        self._targets = {spec.place: target for spec, target in zip(self.specs, upstream.targets, strict=True)}
        self._leaving: dict[Place, AnyTarget] = {}
        self._failures = 0
        self.fault = ""  # what was logged last; empty while there is none
        self._left_out = 0
        self._task: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    # ------------------------------------------------------------ its life

    async def start(self) -> None:
        """Ask, and wait a moment for the first answer; without one the upstream has no targets yet.

        Where there are targets already, they may be another configuration's until it is accepted: see `begin`.
        """
        if self._targets:
            return
        self.begin()
        try:
            async with asyncio.timeout(START_WAIT):
                await self._answered.wait()
        except TimeoutError:
            self._tell(f"no answer within {START_WAIT:g} s of the start")

    def begin(self) -> None:
        """Ask from now on."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._keep(), name=f"discovery of {self._upstream.name}"
            )

    def retire(self) -> None:
        """Ask no more; another configuration's has the targets."""
        if self._task is not None:
            self._task.cancel()

    @property
    def busy(self) -> bool:
        """Something is under way on targets that were leaving."""
        return any(target.is_busy for target in self._leaving.values())

    def told(self) -> dict[str, Any]:
        """For the status: where it asks, what is wrong with the answer, and how many targets have still to end."""
        return {"source": self.source, "fault": self.fault, "leaving": len(self._leaving)}

    async def stop(self) -> None:
        """End, and drop what is leaving; the other targets are the upstream's to stop."""
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=CANCEL_AGAIN)
        await self._forget(list(self._leaving))

    # ------------------------------------------------------------ asking

    async def _keep(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():  # a look-up can lose a cancellation: `asyncio.wait_for` of Python 3.11 does
            pause = await self._look()
            self._answered.set()
            await asyncio.sleep(pause)
            await self._forget([place for place, target in self._leaving.items() if not target.is_busy])

    async def _look(self) -> float:
        """Ask once. Returns the seconds until the next time."""
        try:
            found = await self._discovery.look_up()
            specs = self._bounded(settled(found.specs))
            pause = next_look(found.fresh_for, self._refresh)
            if specs != self.specs:
                await self._change_to(specs)
        except Exception as exc:  # also of code that is not ours: the targets stay, and so does this task
            self._failures += 1
            self._tell(str(exc) or repr(exc))
            return next_try(self._failures, self._refresh)
        self._failures = 0
        if self.fault:
            self.fault = ""
            log.info("discovery works again", extra={"upstream": self._upstream.name})
        return pause

    # ------------------------------------------------------------ targets

    async def _change_to(self, specs: tuple[Spec, ...]) -> None:
        change = changed(self._targets, [spec.place for spec in specs])
        known = {spec.place: spec for spec in self.specs}
        targets: list[AnyTarget] = []
        fresh: list[AnyTarget] = []
        for spec in specs:
            target = self._targets.get(spec.place) or self._leaving.pop(spec.place, None)
            if target is None:
                target = self._make(spec)
                fresh.append(target)
            elif known.get(spec.place) != spec:  # it has other settings, or was leaving
                target.become(self._make(spec))
            targets.append(target)
        for place in change.gone:
            self._leaving[place] = self._targets[place]
        self.specs = specs
        self._targets = {spec.place: target for spec, target in zip(specs, targets, strict=True)}
        self._upstream.set_targets(targets)
        for place in change.gone:
            self._leaving[place].retire()
        log.info(
            "targets changed",
            extra={
                "upstream": self._upstream.name,
                "targets": len(targets),
                "added": _named(change.added),
                "gone": _named(change.gone),
            },
        )
        for target in fresh:
            await target.start()

    async def _forget(self, places: Iterable[Place]) -> None:
        for target in [self._leaving.pop(place) for place in places]:
            if not target.users:  # another configuration may have found it again
                await target.stop()

    def _bounded(self, specs: tuple[Spec, ...]) -> tuple[Spec, ...]:
        left_out = max(0, len(specs) - MAX_TARGETS)
        if left_out and not self._left_out:
            log.warning(
                "too many targets", extra={"upstream": self._upstream.name, "most": MAX_TARGETS, "found": len(specs)}
            )
        self._left_out = left_out
        return specs[:MAX_TARGETS]

    # ------------------------------------------------------------ the log

    def _tell(self, reason: str) -> None:
        """Once for each fault, not each time that it is met."""
        if reason != self.fault:
            self.fault = reason
            log.warning(
                "discovery failed",
                extra={"upstream": self._upstream.name, "reason": reason, "kept": len(self._targets)},
            )


def _named(places: Iterable[Place]) -> list[str]:
    """At most LOGGED of them: a line of the log is not a list of a thousand."""
    return [url for url, _ in places][:LOGGED]
