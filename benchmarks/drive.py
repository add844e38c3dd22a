"""`python -m benchmarks.drive SCENARIO COUNT [--same]`: so many requests along the road of `road.py`, for who counts from outside."""

from __future__ import annotations

import argparse

import uvloop

from benchmarks.road import open_road
from benchmarks.scenarios import SCENARIOS


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drive")
    parser.add_argument("scenario")
    parser.add_argument("count", type=int)
    parser.add_argument("--same", action="store_true")
    options = parser.parse_args()
    [scenario] = [scenario for scenario in SCENARIOS if scenario.name == options.scenario]
    async with open_road(scenario, varied=not options.same) as road:
        await road.client.run(options.count)


if __name__ == "__main__":
    uvloop.run(main())
