"""`python -m benchmarks`: the gateway beside other proxies in one run, on loopback.

Every scenario's contenders take turns (A B C A B C), each with the proxy on one core, and load generator and origin on
another. What counts is the CPU time of the proxy's process tree for each request that was answered.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import timeit
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.contenders import CONTENDERS, Setting, origin
from benchmarks.load import Load, check, drive, idle
from benchmarks.machine import Watch, cores, missing, raise_file_limit, resident_bytes
from benchmarks.processes import Failure, free_ports, running
from benchmarks.report import Measured, table
from benchmarks.scenarios import QUICK, SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS: Final = 100_000  # of a Python function, to see how fast the interpreter is here
START_SECONDS: Final = 1.5  # what a run takes beside its load, about


def main() -> int:
    options = arguments()
    lacks = missing()
    if lacks:
        print("This can not be measured here:", *lacks, sep="\n  ", file=sys.stderr)
        return 1
    scenarios = [limited(scenario, options) for scenario in chosen(options)]
    if not scenarios:
        print("No scenario is called so; there are:", *(s.name for s in SCENARIOS), sep="\n  ", file=sys.stderr)
        return 1
    for name in {name for scenario in scenarios for name in scenario.contenders if CONTENDERS[name].program is None}:
        print(f"{name} is not installed and left out", file=sys.stderr)
    bench = Bench(options.seconds, options.rounds, raise_file_limit())
    print(f"{describe(scenarios)}\nThis takes about {bench.estimate(scenarios)}.\n", flush=True)
    found: dict[str, dict[str, list[Measured]]] = {}
    for scenario in scenarios:
        found[scenario.name] = runs = bench.run(scenario)
        print(table(scenario, runs), flush=True)
    if options.json:
        plain = {at: {who: list(map(asdict, runs)) for who, runs in by.items()} for at, by in found.items()}
        options.json.write_text(json.dumps(plain, indent=1) + "\n")
    return 0 if all(all(runs.values()) for runs in found.values()) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What a request costs, beside nginx.")
    parser.add_argument("--quick", action="store_true", help=f"about a minute: {', '.join(QUICK)}, two short rounds")
    parser.add_argument("--only", metavar="NAMES", help="scenarios, by names or patterns with *, separated by commas")
    parser.add_argument("--contenders", metavar="NAMES", help="who takes part, beside nginx; in the same way")
    parser.add_argument("--seconds", type=float, help="of load in every run (4, --quick: 2)")
    parser.add_argument("--rounds", type=int, help="runs of each contender (3, --quick: 2)")
    parser.add_argument("--json", type=Path, help="a file for the figures of every run")
    options = parser.parse_args()
    options.seconds = options.seconds or (2.0 if options.quick else 4.0)
    options.rounds = options.rounds or (2 if options.quick else 3)
    return options


def chosen(options: argparse.Namespace) -> list[Scenario]:
    only = options.only or (",".join(QUICK) if options.quick else "*")
    return [scenario for scenario in SCENARIOS if matches(scenario.name, only)]


def limited(scenario: Scenario, options: argparse.Namespace) -> Scenario:
    """With those contenders alone that are wanted."""
    wanted = options.contenders or ("nginx,gateway,gateway-asgi" if options.quick else "*")
    return replace(
        scenario, contenders=tuple(name for name in scenario.contenders if name == "nginx" or matches(name, wanted))
    )


def matches(name: str, patterns: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern.strip()) for pattern in patterns.split(","))


class Bench:
    """files: how many a process may have open."""

    def __init__(self, seconds: float, rounds: int, files: int) -> None:
        self._seconds = seconds
        self._rounds = rounds
        self._files = files

    def estimate(self, scenarios: list[Scenario]) -> str:
        runs = sum(len(scenario.contenders) for scenario in scenarios) * self._rounds
        minutes = runs * (self._seconds + 1 + START_SECONDS) / 60
        return f"{minutes:.0f} minutes" if minutes > 1.5 else f"{minutes * 60:.0f} seconds"

    def run(self, scenario: Scenario) -> dict[str, list[Measured]]:
        """The runs of each contender; one that fails once takes no further part and has none."""
        runs: dict[str, list[Measured]] = {name: [] for name in scenario.contenders if CONTENDERS[name].program}
        if self._files < scenario.connections + 100:
            print(f"{scenario.name} needs more open files than `ulimit -Hn` allows", file=sys.stderr)
            return {}
        failed: set[str] = set()
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, self._origin(scenario, folder) as targets:
            for _ in range(self._rounds):
                for name in [name for name in runs if name not in failed]:
                    try:
                        runs[name].append(self._once(name, scenario, targets, folder))
                    except (Failure, OSError) as exc:
                        print(f"{scenario.name}: {name}: {exc}", file=sys.stderr)
                        failed.add(name)
                        runs[name].clear()
        return runs

    @contextlib.contextmanager
    def _origin(self, scenario: Scenario, folder: str) -> Iterator[list[int]]:
        """The ports of its targets."""
        _, load_core = cores(1)
        setting = self._setting(scenario, 0, free_ports(scenario.targets), folder, "origin")
        argv = origin(setting).argv
        with running(argv, setting.targets[-1], [load_core], setting.folder / "output"):
            yield setting.targets

    def _once(self, name: str, scenario: Scenario, targets: list[int], folder: str) -> Measured:
        proxy_cores, load_core = cores(scenario.workers)
        setting = self._setting(scenario, free_ports(1)[0], targets, folder, name)
        start = CONTENDERS[name].start(setting)
        port = setting.port
        with running(start.argv, port, proxy_cores, setting.folder / "output", start.environment) as proxy:
            check(port, scenario)
            drive(port, scenario, 1, load_core)
            before = resident_bytes(proxy.pid)
            with idle(port, scenario):
                grown = resident_bytes(proxy.pid) - before
                watch = Watch(proxy.pid, proxy_cores)
                load = drive(port, scenario, self._seconds, load_core)
                measured = as_measured(load, *watch.read())
        return replace(measured, idle_bytes=grown / scenario.idle) if scenario.idle else measured

    def _setting(self, scenario: Scenario, port: int, targets: list[int], folder: str, name: str) -> Setting:
        own = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        for path in (own, own.parent):
            path.chmod(0o755)  # nginx, started by root, serves as another user
        return Setting(scenario, port, targets, own)


def as_measured(load: Load, cpu: float, core: float, others: float) -> Measured:
    return Measured(cpu / load.requests * 1e6, load.requests / load.seconds, load.p50, load.p99, core, others)


def describe(scenarios: list[Scenario]) -> str:
    """The machine and the programs, so that a table says what it is about. How long a call takes in Python tells machines
    apart on which the interpreter suffers more than compiled programs."""
    names = dict.fromkeys(name for scenario in scenarios for name in scenario.contenders)
    versions = [f"{name} {version(name)}" for name in names if CONTENDERS[name].program]
    now = time.strftime("%Y-%m-%d %H:%M")
    call = min(timeit.repeat("f(1)", "def f(x): return x", number=CALLS, repeat=5)) / CALLS * 1e9
    return (
        f"{now}, {platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()} ({call:.0f} ns a call)\n"
        + "; ".join(versions)
    )


def version(name: str) -> str:
    contender = CONTENDERS[name]
    assert contender.program is not None
    done = subprocess.run([contender.program, *contender.version], capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return next((word for word in words if any(char.isdigit() for char in word)), "?")


if __name__ == "__main__":
    sys.exit(main())
