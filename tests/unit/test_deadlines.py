"""Deadlines on a real event loop: never early, hardly late, and nothing grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from gateway.deadlines import NEVER, RESOLUTION, Deadlines

LATE = RESOLUTION + 1.0  # what a busy machine may add


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


class Item:
    """Writes down when it expired."""

    def __init__(self, act: Callable[[float], None] | None = None) -> None:
        self.deadline = NEVER
        self.bucket = NEVER
        self.expired_at: list[float] = []
        self.done = asyncio.get_running_loop().create_future()
        self._act = act

    def expired(self, now: float) -> None:
        self.expired_at.append(now)
        if not self.done.done():
            self.done.set_result(None)
        if self._act is not None:
            self._act(now)


def test_the_clock_counts_as_the_loop_does_and_finer_than_milliseconds(run: Run):
    """Latencies are differences of it, and most answers of a near target come within a millisecond."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop)
        await asyncio.sleep(0)
        assert abs(deadlines.now() - loop.time()) < LATE
        started, until = deadlines.now(), time.perf_counter() + 0.0002
        while time.perf_counter() < until:
            pass
        assert deadlines.now() - started >= 0.0002 * 0.9

    run(scenario())


def test_a_deadline_is_met_soon_after_and_never_before(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        wanted = {Item(): deadlines.now() + delay for delay in (0.0, 0.001, 0.03, 0.05, 0.1, 0.101, -1.0)}
        for item, at in wanted.items():
            deadlines.watch(item, at)
        await asyncio.gather(*(item.done for item in wanted))
        for item, at in wanted.items():
            [met] = item.expired_at
            assert met >= at
            assert met <= max(at, 0) + LATE or at < met - 1
            assert item.deadline == NEVER
            assert item.bucket == NEVER

    run(scenario())


def test_a_deadline_that_moved_on_is_met_at_its_last_place(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        item, other = Item(), Item()
        start = deadlines.now()
        deadlines.watch(item, start + 0.02)
        deadlines.watch(other, start + 0.1)
        for step in range(100):
            deadlines.watch(item, start + 0.02 + step * 0.002)
        await other.done
        assert not item.expired_at
        await item.done
        assert item.expired_at[0] >= start + 0.218

    run(scenario())


def test_a_deadline_may_be_moved_forward_and_is_met_once(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        item, witness = Item(), Item()
        start = deadlines.now()
        deadlines.watch(item, start + 0.15)
        deadlines.watch(item, start + 0.01)
        deadlines.watch(witness, start + 0.25)
        await item.done
        assert start + 0.01 <= item.expired_at[0] <= start + 0.01 + LATE
        await witness.done
        assert len(item.expired_at) == 1

    run(scenario())


def test_a_deadline_that_was_taken_back_is_not_met(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        gone, kept = Item(), Item()
        deadlines.watch(gone, deadlines.now() + 0.01)
        deadlines.watch(kept, deadlines.now() + 0.1)
        gone.deadline = NEVER
        await kept.done
        assert not gone.expired_at
        assert gone.bucket == NEVER
        deadlines.watch(gone, deadlines.now())
        await gone.done

    run(scenario())


def test_never_is_watched_for_free(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        deadlines.watch(Item(), NEVER)
        assert deadlines._buckets == {}
        assert deadlines._timer is None

    run(scenario())


def test_moving_a_deadline_costs_no_memory(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        item = Item()
        start = deadlines.now() + 100
        for step in range(10_000):
            deadlines.watch(item, start + step * RESOLUTION / 20_000)  # within one bucket, or on
        for _ in range(1000):
            deadlines.watch(item, start)
            deadlines.watch(item, start + 1)
        assert sum(map(len, deadlines._buckets.values())) <= 2
        assert len(deadlines._order) == len(deadlines._buckets)
        deadlines.close()

    run(scenario())


def test_a_bucket_is_dropped_when_its_time_has_come(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        items = [Item() for _ in range(100)]
        for index, item in enumerate(items):
            deadlines.watch(item, deadlines.now() + index / 1000)
        await asyncio.gather(*(item.done for item in items))
        assert deadlines._buckets == {}
        assert deadlines._order == []

    run(scenario())


def test_what_expires_may_be_watched_again(run: Run):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        again = asyncio.get_running_loop().create_future()

        def act(now: float) -> None:
            if len(item.expired_at) < 3:
                deadlines.watch(item, now + 0.01)
            else:
                again.set_result(None)

        item = Item(act)
        deadlines.watch(item, deadlines.now() + 0.01)
        await again
        assert len(item.expired_at) == 3

    run(scenario())


def test_one_that_fails_does_not_take_the_others_with_it(run: Run):
    reported: list[dict[str, Any]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))

        def fail(now: float) -> None:
            msg = "broken"
            raise RuntimeError(msg)

        deadlines = Deadlines(loop)
        broken, same, later = Item(fail), Item(), Item()
        at = deadlines.now() + 0.01
        for item, when in ((broken, at), (same, at), (later, at + 0.1)):
            deadlines.watch(item, when)
        await asyncio.gather(same.done, later.done)

    run(scenario())
    assert [str(context["exception"]) for context in reported] == ["broken"]


def test_after_closing_nothing_expires(run: Run):
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        closed, other = Deadlines(loop), Deadlines(loop)
        before, after, witness = Item(), Item(), Item()
        closed.watch(before, loop.time() + 0.01)
        closed.close()
        closed.watch(after, loop.time() + 0.01)
        closed.close()
        other.watch(witness, loop.time() + 0.1)
        await witness.done
        assert not before.expired_at
        assert not after.expired_at

    run(scenario())


@pytest.mark.parametrize("count", [2000])
def test_many_items_share_one_timer(run: Run, count: int):
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        items = [Item() for _ in range(count)]
        start = deadlines.now()
        for index, item in enumerate(items):
            deadlines.watch(item, start + (index * 7919 % count) / count * 0.2)
        assert len(deadlines._order) <= 0.2 / RESOLUTION + 2
        await asyncio.gather(*(item.done for item in items))
        for index, item in enumerate(items):
            assert item.expired_at[0] >= start + (index * 7919 % count) / count * 0.2

    run(scenario())
