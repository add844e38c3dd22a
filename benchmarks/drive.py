"""`python -m benchmarks.drive SCENARIO COUNT [--same]`: so many requests along the road of `road.py`, for who counts from outside."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import uvloop

from benchmarks.contenders import Setting, routes
from benchmarks.processes import free_ports
from benchmarks.road import build_app, connect, heads
from benchmarks.scenarios import SCENARIOS


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drive")
    parser.add_argument("scenario")
    parser.add_argument("count", type=int)
    parser.add_argument("--same", action="store_true")
    options = parser.parse_args()
    [scenario] = [scenario for scenario in SCENARIOS if scenario.name == options.scenario]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        port, target = free_ports(2)
        setting = Setting(scenario, port, [target], Path(name))
        app = build_app(setting.folder, routes(setting))
        async with app.lifespan():
            road = await connect(app, heads(scenario.path_before, varied=not options.same))
            await road.client.run(options.count)


if __name__ == "__main__":
    uvloop.run(main())
