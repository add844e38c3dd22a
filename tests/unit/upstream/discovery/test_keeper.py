"""The targets of an upstream follow its discovery; what they are, and what is under way on them, is not lost."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from gateway.balance import BALANCERS
from gateway.deadlines import Deadlines
from gateway.upstream.address import Address
from gateway.upstream.discovery import keeper as module
from gateway.upstream.discovery.found import MAX_TARGETS, DiscoveryError, Found, Spec
from gateway.upstream.discovery.keeper import Keeper
from gateway.upstream.target import Target
from gateway.upstream.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Coroutine

A, B, C = (Spec(f"http://192.0.2.{number}:80") for number in (1, 2, 3))
AT_ONCE = 1e-6  # seconds between two look-ups


class Script:
    """A discovery that gives one answer after the other, as soon as the test has it."""

    def __init__(self, *answers: tuple[Spec, ...] | Exception) -> None:
        self.answers: asyncio.Queue[tuple[Spec, ...] | Exception] = asyncio.Queue()
        self.asked = 0
        self._taken = asyncio.Event()
        for answer in answers:
            self.answers.put_nowait(answer)

    async def look_up(self) -> Found:
        self.asked += 1
        self._taken.set()
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return Found(answer, 0.0)

    async def say(self, answer: tuple[Spec, ...] | Exception) -> None:
        """Give the next answer, and wait until it has been acted on: when the one after it is asked for."""
        before = self.asked
        self.answers.put_nowait(answer)
        while self.asked == before:
            self._taken.clear()
            await asyncio.wait_for(self._taken.wait(), 5)


class Kept:
    def __init__(self, *answers: tuple[Spec, ...] | Exception) -> None:
        self.script = Script(*answers)
        self.deadlines = Deadlines(asyncio.get_running_loop())
        self.upstream = Upstream("search", [], BALANCERS["round_robin"])
        self.keeper = Keeper(self.upstream, self.script, self._make, refresh=AT_ONCE)
        self.upstream.keeper = self.keeper

    def _make(self, spec: Spec) -> Target:
        return Target(Address(spec.url), self.deadlines, weight=spec.weight, priority=spec.priority, backup=spec.backup)

    @property
    def urls(self) -> list[str]:
        return [target.address.url for target in self.upstream.targets]

    async def __aenter__(self) -> Kept:
        await self.upstream.start()
        self.upstream.take_over()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.upstream.stop()
        self.deadlines.close()


def run(work: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def test_the_first_answer_is_there_when_the_start_is_over():
    async def work() -> None:
        async with Kept((A, B)) as kept:
            assert kept.urls == [A.url, B.url]

    run(work())


def test_a_start_does_not_wait_for_a_discovery_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "START_WAIT", 0.01)

    async def work() -> None:
        async with Kept() as kept:
            assert kept.urls == []
            assert kept.upstream.pick(None, ()) is None
            await kept.script.say((A,))
            assert kept.urls == [A.url]

    run(work())


def test_targets_come_and_go_and_those_that_stay_are_the_same_objects():
    async def work() -> None:
        async with Kept((A, B)) as kept:
            first, second = kept.upstream.targets
            second.requests = 7
            await kept.script.say((B, C))
            assert kept.urls == [B.url, C.url]
            assert kept.upstream.targets[0] is second
            assert kept.upstream.targets[0].requests == 7
            assert first not in {kept.upstream.pick(None, ()) for _ in range(4)}

    run(work())


@pytest.mark.parametrize("failure", [DiscoveryError("search.test: no name server answered in time"), RuntimeError(), OSError("disk")])
def test_the_last_good_answer_is_kept_and_the_failure_told_once(failure: Exception, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.discovery")

    async def work() -> None:
        async with Kept((A, B)) as kept:
            targets = kept.upstream.targets
            for _ in range(5):
                await kept.script.say(failure)
            assert kept.upstream.targets == targets
            await kept.script.say((A, B))
            assert kept.upstream.targets == targets

    run(work())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "targets changed"),
        ("WARNING", "discovery failed"),
        ("INFO", "discovery works again"),
    ]
    assert caplog.records[1].__dict__["kept"] == 2


def test_another_failure_is_told_too(caplog: pytest.LogCaptureFixture):
    async def work() -> None:
        async with Kept((A,)) as kept:
            for reason in ("first", "first", "second", "second"):
                await kept.script.say(DiscoveryError(reason))

    run(work())
    assert [record.__dict__["reason"] for record in caplog.records if record.levelname == "WARNING"] == ["first", "second"]


def test_an_answer_without_targets_empties_the_upstream():
    async def work() -> None:
        async with Kept((A,)) as kept:
            await kept.script.say(())
            assert kept.urls == []

    run(work())


def test_weights_priorities_and_backups_follow_without_a_new_target():
    async def work() -> None:
        async with Kept((A, B)) as kept:
            before = kept.upstream.targets
            await kept.script.say((A._replace(weight=3), B._replace(priority=1, backup=True)))
            assert kept.upstream.targets == before
            assert [(t.weight, t.full_weight, t.priority, t.backup) for t in before] == [(3, 3, 0, False), (1, 1, 1, True)]
            assert {kept.upstream.pick(None, ()) for _ in range(4)} == {before[0]}

    run(work())


def test_a_target_that_recovers_keeps_the_part_it_has_reached():
    async def work() -> None:
        async with Kept((A._replace(weight=10),)) as kept:
            target = kept.upstream.targets[0]
            target.weight = 2.5
            await kept.script.say((A._replace(weight=20),))
            assert (target.weight, target.full_weight) == (5, 20)

    run(work())


def test_a_target_that_is_found_again_while_it_still_works_is_the_same_one():
    async def work() -> None:
        async with Kept((A, B)) as kept:
            first = kept.upstream.targets[0]
            first.in_flight = 1
            await kept.script.say((B,))
            assert (first.limits.idle, first.users) == (0, 0)  # type: ignore[union-attr]
            await kept.script.say((A, B))
            assert kept.upstream.targets[0] is first
            assert (first.limits.idle, first.users) == (64, 1)  # type: ignore[union-attr]

    run(work())


def test_a_target_that_has_gone_and_is_done_is_forgotten():
    async def work() -> None:
        async with Kept((A, B)) as kept:
            first = kept.upstream.targets[0]
            first.in_flight = 1
            await kept.script.say((B,))
            await kept.script.say((B,))
            assert list(kept.keeper._leaving.values()) == [first]
            first.in_flight = 0
            await kept.script.say((B,))
            assert not kept.keeper._leaving
            await kept.script.say((A, B))
            assert kept.upstream.targets[0] is not first

    run(work())


def test_the_httpx_client_of_a_target_goes_with_it():
    async def work() -> None:
        async with Kept((A,)) as kept:
            client = kept.upstream.client()
            assert kept.upstream.client() is client
            await kept.script.say((B,))
            assert kept.upstream.client() is not client
            assert len(kept.upstream._clients) == 1

    run(work())


def test_more_targets_than_the_bound_are_left_out_and_told_once(caplog: pytest.LogCaptureFixture):
    many = tuple(Spec(f"http://192.0.2.1:{port}") for port in range(1, MAX_TARGETS + 10))

    async def work() -> None:
        async with Kept(many) as kept:
            assert len(kept.urls) == MAX_TARGETS
            await kept.script.say(many)
            await kept.script.say((*many[1:], A))

    run(work())
    told = [record for record in caplog.records if record.getMessage() == "too many targets"]
    assert [record.__dict__["found"] for record in told] == [len(many)]


def test_nothing_is_left_behind_when_it_stops():
    async def work() -> None:
        before = asyncio.all_tasks()
        async with Kept((A, B)) as kept:
            kept.upstream.targets[0].in_flight = 1
            await kept.script.say((B,))
            assert len(asyncio.all_tasks() - before) == 1
        assert asyncio.all_tasks() == before
        assert not kept.keeper._leaving

    run(work())


def test_a_look_up_that_loses_its_cancellation_does_not_keep_the_gateway_from_stopping():
    class Deaf(Script):
        async def look_up(self) -> Found:
            try:
                return await super().look_up()
            except asyncio.CancelledError:
                return Found((A,), 0.0)

    async def work() -> None:
        kept = Kept()
        kept.keeper._discovery = Deaf((A,))
        async with kept:
            assert kept.urls == [A.url]

    run(work())


def test_another_configuration_goes_on_from_what_this_one_has_found():
    async def work() -> None:
        async with Kept((A, B)) as kept:
            first, second = kept.upstream.targets
            first.in_flight = 1
            await kept.script.say((B,))
            script = Script()
            upstream = Upstream("search", [second], BALANCERS["round_robin"])
            upstream.keeper = Keeper(upstream, script, kept._make, refresh=AT_ONCE, specs=kept.keeper.specs)
            await upstream.start()
            assert script.asked == 0  # it may still be refused
            upstream.take_over()
            kept.upstream.retire()
            await script.say((A, B))
            assert upstream.targets[1] is second
            assert kept.upstream.busy
            first.in_flight = 0
            assert not kept.upstream.busy
            await kept.upstream.stop()
            assert [target.users for target in upstream.targets] == [1, 1]
            assert kept.script.asked == 3
            await upstream.stop()

    run(work())


def test_an_app_of_this_process_is_not_found(caplog: pytest.LogCaptureFixture):
    async def work() -> None:
        async with Kept((A,)) as kept:
            await kept.script.say((B, Spec("asgi://shop:app")))
            assert kept.urls == [A.url]

    run(work())
    assert "cannot come and go" in caplog.records[-1].__dict__["reason"]


def test_one_that_never_started_can_stop():
    async def work() -> None:
        await Kept().upstream.stop()

    run(work())
