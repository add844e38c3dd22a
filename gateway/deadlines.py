"""One coarse timer for all the deadlines of an event loop.

A deadline is moved several times in every request, and nearly none is ever reached. So moving one is an assignment and
a comparison: an item lies in the bucket of the earliest time at which it must be looked at, and is put into a later
one when that time comes and its deadline has moved on. Deadlines are met up to `RESOLUTION` late, never early.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, Final, Protocol

from gateway.outlet import Turn

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

RESOLUTION: Final = 0.05  # seconds
LOOP_STEP: Final = 0.001  # seconds by which uvloop may be early
NEVER: Final = float("inf")


class Watched(Protocol):
    """deadline: a time of `Deadlines.now`, NEVER when there is none. bucket: where it lies; NEVER at first. Both are slots."""

    deadline: float
    bucket: float

    def expired(self, now: float) -> None:
        """The deadline has passed; it is NEVER now."""


class Deadlines:
    """The buckets of one loop. A bucket's list is dropped when its time has come: nothing grows.

    now: the clock of all times of an exchange, in seconds. It is finer than the loop's own: uvloop's `loop.time()` has whole
    milliseconds, which is more than a near target takes to answer. turn: the other thing that connections of one loop share.
    """

    __slots__ = ("_buckets", "_closed", "_loop", "_order", "_timer", "now", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self.now = now
        self.turn = Turn(loop)
        self._buckets: dict[float, list[Watched]] = {}
        self._order: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self, item: Watched, at: float) -> None:
        """Move the item's deadline to `at`, a time of `now`."""
        item.deadline = at
        if at < item.bucket:
            self._put(item, at)

    def end_endless(self) -> None:
        """Tell all that is watched and would never end, as WebSockets and event streams do: what has an `end_soon`."""
        watched = [item for bucket, items in self._buckets.items() for item in items if item.bucket == bucket]
        for item in watched:
            end_soon: Callable[[], None] | None = getattr(item, "end_soon", None)
            if end_soon is not None:
                end_soon()

    def close(self) -> None:
        """Forget all; nothing expires any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._order.clear()

    def _put(self, item: Watched, at: float) -> None:
        bucket = (at // RESOLUTION + 1) * RESOLUTION
        if bucket == item.bucket or self._closed:
            return
        item.bucket = bucket
        items = self._buckets.get(bucket)
        if items is not None:
            items.append(item)
            return
        self._buckets[bucket] = [item]
        heapq.heappush(self._order, bucket)
        if self._order[0] == bucket:
            if self._timer is not None:
                self._timer.cancel()
            self._set_timer(bucket)

    def _sweep(self) -> None:
        now = self.now()
        self._timer = None
        while self._order and self._order[0] <= now:
            bucket = heapq.heappop(self._order)
            for item in self._buckets.pop(bucket):
                if item.bucket == bucket:
                    item.bucket = NEVER
                    self._look_at(item, now)
        self._plan()

    def _plan(self) -> None:
        if self._order and self._timer is None:
            self._set_timer(self._order[0])

    def _set_timer(self, at: float) -> None:
        """The loop's clock is coarser, and may go on where ours stands (in the sleep of a laptop)."""
        delay = max(at - self.now(), 0.0) + LOOP_STEP
        self._timer = self._loop.call_at(self._loop.time() + delay, self._sweep)

    def _look_at(self, item: Watched, now: float) -> None:
        if item.deadline <= now:
            item.deadline = NEVER
            try:
                item.expired(now)
            except Exception as exc:  # as the loop does with a callback: the others must not lose their deadlines
                self._loop.call_exception_handler(
                    {"message": "a deadline's `expired` failed", "exception": exc, "deadline": item}
                )
        elif item.deadline != NEVER:
            self._put(item, item.deadline)
