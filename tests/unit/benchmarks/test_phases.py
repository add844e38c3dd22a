from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks import phases
from benchmarks.contenders import Setting, routes
from benchmarks.road import build_app, connect, heads
from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmarks.road import Road

FORWARD = next(scenario for scenario in SCENARIOS if scenario.name == "forward-1k")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(phases, "PASS", 20)


@asynccontextmanager
async def road(folder: Path) -> AsyncIterator[Road]:
    app = build_app(folder, routes(Setting(FORWARD, 1, [2], folder)))
    async with app.lifespan():
        yield await connect(app, heads(FORWARD.path_before, varied=True))


def test_what_the_phases_are_relieved_of_is_the_price_of_their_stamps_and_no_more():
    spent = [{"parse": 3.0, "log": 2.0, phases.REST: 5.0}]
    entered = Counter({(phases.REST, "parse"): 3, ("parse", "log"): 1})

    found = phases.relieved(spent, entered, price=2.0, inside=0.75, bare=1.0)

    assert found["log"] == phases.micro(2.0 - 0.75 * 0.5)
    assert found["parse"] == phases.micro(3.0 - 3 * 0.75 * 0.5 - 0.25 * 0.5)
    assert sum(found.values()) == pytest.approx(phases.micro(10.0 - 2.0 - 1.0))


def test_every_phase_is_on_the_road_of_a_request(tmp_path: Path):
    async def look() -> phases.Profile:
        async with road(tmp_path) as found:
            return await phases.profile(found, 0)

    profile = asyncio.run(look())

    assert [name for name, calls in profile.calls.items() if calls < 1] == [phases.REST]


def test_every_request_of_the_road_reaches_the_target_and_is_logged(tmp_path: Path):
    async def look() -> int:
        async with road(tmp_path) as found:
            await found.client.run(7)
            return found.target.requests

    assert asyncio.run(look()) == 7
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert len(lines) == 7
    assert all('"status":200' in line for line in lines)


def test_what_was_stamped_is_as_before_afterwards():
    before = {name: vars(place)[at] for names in phases.PHASES.values() for name in names for place, at in phases.places(name)}

    with phases.wrapped(phases.Stamps().timing):
        pass

    assert before == {name: vars(place)[at] for names in phases.PHASES.values() for name in names for place, at in phases.places(name)}


@pytest.mark.parametrize("name", ["gateway.rfc.message:read_nothing", "gateway.pipeline.Pipeline:nothing", "gateway.pipeline.Line:at"])
def test_a_function_that_is_gone_is_named(name: str):
    with pytest.raises(LookupError, match=name):
        phases.places(name)
