"""`python -m benchmarks.balancers`: the balancers against targets that are slow, stall and come back, in a simulation.

Pure and seeded: no socket, no clock, no loop. The balancers are the gateway's own. Requests come by chance at a steady
rate and each has its own amount of work; a target works on some of them at a time and lets the others queue. Each of
several gateways sees only its own requests in flight, as workers do. There are no probes and no ejection: what a
balancer does not see by itself goes wrong. Only a target that refuses connections leaves the ready set, and comes back
with a weight that grows.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from gateway.balance import BALANCERS, Balancer, BalancerOptions, Learns
from gateway.balance.peak_ewma import PeakEwma

SECONDS: Final = 60.0
TARGETS: Final = 5
PLACES: Final = 4  # requests that a target works on at a time
WORK: Final = 0.015  # seconds that most requests take
HEAVY: Final = 0.1  # the part of the requests that takes ten times as much
RATE: Final = 420.0  # requests a second: six tenths of what five healthy targets can do
GATEWAYS: Final = 8  # workers, or hosts
PATIENCE: Final = 3.0  # seconds until a gateway gives an answer up
NOTICE: Final = 1.0  # seconds until it is known that a target refuses, or takes connections again
SLOW_START: Final = 10.0  # seconds in which the weight of a target that came back grows to the full one
CLIENTS: Final = 2000  # whose keys are hashed; a few of them ask far more often than the others
TICK: Final = 0.1  # seconds between two looks at who is ready

CONTENDERS: Final = {name: name for name in BALANCERS if name != "first"} | {"hash, slack 25%": "hash"}


class Scenario(NamedTuple):
    """What becomes of one of the targets. slowness: times the usual, at a time. gone: when it refuses connections."""

    title: str
    slowness: Callable[[float], float]
    gone: tuple[float, float] = (SECONDS, SECONDS)


def _usual(_now: float) -> float:
    return 1.0


def _slow(now: float) -> float:
    return 4.0 if now >= 10.0 else 1.0


def _stalling(now: float) -> float:
    return 25.0 if now >= 10.0 and now % 5.0 < 1.0 else 1.0


def _cold(now: float) -> float:
    """It comes back at 30 and has to fill its caches."""
    return 1.0 + 4.0 * max(0.0, 1.0 - (now - 30.0) / 10.0) if now >= 30.0 else 1.0


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "alike": Scenario("All targets alike", _usual),
    "slow": Scenario("One is four times slower from second 10 on", _slow),
    "stalling": Scenario("One stalls for a second in every five", _stalling),
    "recovering": Scenario("One is gone from second 10 to 30, and comes back cold", _cold, (10.0, 30.0)),
}


class Machine:
    """A target as it is: `free` holds when each of its places will be free."""

    def __init__(self, slowness: Callable[[float], float], gone: tuple[float, float]) -> None:
        self.free = [0.0] * PLACES
        self._slowness = slowness
        self._gone = gone

    def refuses(self, now: float) -> bool:
        return self._gone[0] <= now < self._gone[1]

    def take(self, now: float, work: float) -> float:
        """How long the answer to a request of this moment takes; PATIENCE where it is given up."""
        begins = max(now, self.free[0])
        if begins - now >= PATIENCE:
            return PATIENCE
        ends = begins + work * self._slowness(begins)
        heapq.heapreplace(self.free, ends)
        return min(ends - now, PATIENCE)


class Seen:
    """A target as one gateway sees it."""

    def __init__(self, number: int) -> None:
        self.name = f"http://10.0.0.{number + 1}:9000"
        self.number = number
        self.weight = 1.0
        self.in_flight = 0
        self.latency = PeakEwma()


class Gateway:
    """One of several in front of the same targets."""

    def __init__(self, contender: str, random: Random) -> None:
        self.targets = [Seen(number) for number in range(TARGETS)]
        self._factory = BALANCERS[CONTENDERS[contender]]
        self._options = BalancerOptions(random.random, hash_load=1.25 if "slack" in contender else 0.0)
        self._ready: list[Seen] = []
        self.balancer: Balancer[Seen]

    def look(self, now: float, gone: tuple[float, float]) -> None:
        """Who is ready now, and how much of the load the first one may have."""
        out = gone[0] + NOTICE <= now < gone[1] + NOTICE
        ready = self.targets[1:] if out else self.targets
        if now >= gone[1] + NOTICE:
            self.targets[0].weight = min(1.0, 0.1 + 0.9 * (now - gone[1] - NOTICE) / SLOW_START)
        if ready != self._ready:
            self._ready = ready
            self.balancer = self._factory(ready, self._options)


@dataclass
class Outcome:
    """seconds: what each answer took, PATIENCE for those given up. share: of the first target, second by second."""

    seconds: list[float] = field(default_factory=list)
    picked: list[int] = field(default_factory=lambda: [0] * int(SECONDS))
    asked: list[int] = field(default_factory=lambda: [0] * int(SECONDS))
    given_up: int = 0

    def percentile(self, part: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def share(self) -> list[float]:
        return [picked / max(asked, 1) for picked, asked in zip(self.picked, self.asked, strict=True)]


def simulate(
    contender: str, scenario: Scenario, seed: int = 1, seconds: float = SECONDS, gateways: int = GATEWAYS
) -> Outcome:
    """The same requests come to all contenders."""
    coming, own = Random(seed), Random(seed + 1)
    machines = [Machine(scenario.slowness, scenario.gone)] + [
        Machine(_usual, (SECONDS, SECONDS)) for _ in range(TARGETS - 1)
    ]
    fleet = [Gateway(contender, own) for _ in range(gateways)]
    ending: list[tuple[float, int, Gateway, Seen, float]] = []
    number, outcome = count(), Outcome()
    now, looked = 0.0, -TICK
    while (now := now + coming.expovariate(RATE)) < seconds:
        work = coming.expovariate(1 / WORK) * (10.0 if coming.random() < HEAVY else 1.0)
        gateway = fleet[coming.randrange(gateways)]
        key = b"client-%d" % int(CLIENTS * coming.random() ** 2)
        while ending and ending[0][0] <= now:
            _end(*heapq.heappop(ending))
        if now - looked >= TICK:
            looked = now
            for one in fleet:
                one.look(now, scenario.gone)
        target = _pick(gateway, machines, now, key)
        outcome.asked[int(now)] += 1
        outcome.picked[int(now)] += target.number == 0
        took = machines[target.number].take(now, work)
        target.in_flight += 1
        outcome.seconds.append(took)
        outcome.given_up += took >= PATIENCE
        heapq.heappush(ending, (now + took, next(number), gateway, target, took))
    return outcome


def _pick(gateway: Gateway, machines: list[Machine], now: float, key: bytes) -> Seen:
    """One that takes the connection."""
    tried: tuple[Seen, ...] = ()
    while (target := gateway.balancer.pick(key, tried)) is not None and machines[target.number].refuses(now):
        if isinstance(gateway.balancer, Learns):
            gateway.balancer.failed(target, 0.0, now)
        tried = (*tried, target)
    assert target is not None
    return target


def _end(now: float, _number: int, gateway: Gateway, target: Seen, took: float) -> None:
    target.in_flight -= 1
    if isinstance(gateway.balancer, Learns):
        told = gateway.balancer.failed if took >= PATIENCE else gateway.balancer.answered
        told(target, took, now)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.balancers", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of all that comes by chance (default: %(default)s)")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw it, by matplotlib (pip install --group bench)")
    options = parser.parse_args()
    found: dict[str, dict[str, Outcome]] = {}
    for name, scenario in SCENARIOS.items():
        found[name] = {contender: simulate(contender, scenario, options.seed) for contender in CONTENDERS}
        print(f"\n{scenario.title}\n{'':18}{'p50 ms':>10}{'p99 ms':>10}{'given up':>10}{'its share':>11}")
        for contender, outcome in found[name].items():
            share = sum(outcome.picked) / sum(outcome.asked)
            print(
                f"{contender:18}{outcome.percentile(0.5) * 1000:10.0f}{outcome.percentile(0.99) * 1000:10.0f}"
                f"{outcome.given_up:10}{share:11.1%}"
            )
    if options.png is not None:
        from benchmarks.picture import draw  # noqa: PLC0415 - matplotlib is not needed for the figures

        draw(found, options.png)


if __name__ == "__main__":
    main()
