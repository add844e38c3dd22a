"""`python -m benchmarks.phases`: where in the gateway the time of a forwarded request goes.

The functions that make up a phase are stamped when they are entered and left, on the road itself and with varied requests,
and a phase is given the time between its stamps without that of the phases inside it. A stamp has a price: passes with
and without stamps take turns, their difference is the price of all stamps, and every phase is relieved of its part. So
the phases add up to the road without stamps. See README.md for how far they can be trusted.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks.road import open_road
from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.road import Road

Function = Callable[..., Any]

PASS: Final = 2000  # requests between two looks at the clock
CALLS: Final = 10000  # of a function that does nothing, to see on which side of a stamp its price falls
REST: Final = "rest"

# A phase and its functions, on the express lane and on the ASGI road: `module.Class` with a method, or a module's function,
# wherever it was imported to.
PHASES: Final = {
    "read": ("gateway.server.protocol.GatewayProtocol:data_received",),
    "parse": ("gateway.server.protocol.GatewayProtocol:_parsed", "gateway.server.protocol.GatewayProtocol:_repeated"),
    "intake": ("gateway.express.ExpressLane:take", "gateway.intake:received", "gateway.intake:read_scope"),
    "route": ("gateway.snapshot.Snapshot:identify", "gateway.snapshot.Snapshot:route"),
    "policies": (
        "gateway.pipeline.Pipeline:admit",
        "gateway.pipeline.Pipeline:prepare",
        "gateway.pipeline.Pipeline:amend",
    ),
    "request fields": (
        "gateway.express.Trip:_made",
        "gateway.outgoing.RequestFields:block",
        "gateway.outgoing.RequestFields:of",
    ),
    "pick": (
        "gateway.upstream.upstream.Upstream:pick",
        "gateway.upstream.upstream.Upstream:began",
        "gateway.upstream.upstream.Upstream:ended",
        "gateway.upstream.target.Target:take",
    ),
    "set out": ("gateway.express.Trip:set_out",),
    "upstream write": (
        "gateway.upstream.connection.Connection:send",
        "gateway.upstream.connection.Connection:send_made",
    ),
    "upstream read": ("gateway.upstream.connection.Connection:data_received", "gateway.upstream.target.Target:release"),
    "upstream parse": ("gateway.upstream.connection.Connection:_read_head",),
    "answer fields": ("gateway.express.Trip:_response", "gateway.outgoing:response_headers"),
    "client write": (
        "gateway.express.Trip:_write_whole",
        "gateway.server.cycle.Cycle:_send_head",
        "gateway.server.cycle.Cycle:_send_body",
    ),
    "log": ("gateway.pipeline.Pipeline:finish",),
}


class Stamps:
    """Where the time goes: `spent` are seconds by phase since `clear`; `entered` counts who entered whom, while it counts."""

    def __init__(self) -> None:
        self.names = (*PHASES, REST)
        self.spent = [0.0] * len(self.names)
        self.entered: Counter[tuple[str, str]] = Counter()
        self._at = [len(PHASES)]
        self._mark = [0.0]

    def clear(self) -> None:
        self.spent[:] = [0.0] * len(self.names)
        self._mark[0] = time.perf_counter()

    def stop(self) -> dict[str, float]:
        self.spent[self._at[0]] += time.perf_counter() - self._mark[0]
        return dict(zip(self.names, self.spent, strict=True))

    def timing(self, phase: str, function: Function) -> Function:
        """As lean as it can be, since its price is paid in the middle of what is measured."""
        clock, spent, at, mark, own = time.perf_counter, self.spent, self._at, self._mark, self.names.index(phase)

        @wraps(function)
        def stamped(*args: Any, **kwargs: Any) -> Any:
            outer = at[0]
            at[0] = own
            now = clock()
            spent[outer] += now - mark[0]
            mark[0] = now
            try:
                return function(*args, **kwargs)
            finally:
                now = clock()
                spent[own] += now - mark[0]
                mark[0] = now
                at[0] = outer

        return stamped

    def counting(self, phase: str, function: Function) -> Function:
        own = self.names.index(phase)

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            outer = self._at[0]
            self._at[0] = own
            self.entered[self.names[outer], phase] += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._at[0] = outer

        return counted


@contextlib.contextmanager
def wrapped(wrap: Callable[[str, Function], Function]) -> Iterator[None]:
    """The functions of all phases are wrapped until the block ends."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        for phase, names in PHASES.items():
            for name in names:
                for place, attribute in places(name):
                    undo.append((place, attribute, vars(place)[attribute]))
                    setattr(place, attribute, wrap(phase, vars(place)[attribute]))
        yield
    finally:
        for place, attribute, function in undo:
            setattr(place, attribute, function)


def places(name: str) -> list[tuple[Any, str]]:
    """Where a function stands: its class, or all modules that imported it. Raises LookupError where it is gone."""
    path, _, attribute = name.partition(":")
    owner, _, last = path.rpartition(".")
    if last[:1].isupper():
        owner_class = vars(import_module(owner)).get(last)
        if attribute not in vars(owner_class or object):
            raise LookupError(f"there is no {name}; mend PHASES in {__name__}")
        return [(owner_class, attribute)]
    function = vars(import_module(path)).get(attribute)
    if function is None:
        raise LookupError(f"there is no {name}; mend PHASES in {__name__}")
    loaded = [module for at, module in sorted(sys.modules.items()) if at.startswith("gateway.")]
    return [(module, attribute) for module in loaded if vars(module).get(attribute) is function]


def share_inside() -> float:
    """Which part of a stamp's price falls into the stamped phase, and not into the one around it."""
    stamps = Stamps()

    def nothing(*_args: object) -> None:
        """Its own time is a call's, half of which is before it and half behind."""

    timed = stamps.timing("parse", nothing)
    stamps.clear()
    for _ in range(CALLS):
        timed(1, 2)
    spent = stamps.stop()
    began = time.perf_counter()
    for _ in range(CALLS):
        nothing(1, 2)
    half = (time.perf_counter() - began) / 2
    inside = max(0.0, spent["parse"] - half)
    return inside / (inside + max(0.0, spent[REST] - half))


@dataclass
class Profile:
    """Microseconds a request. whole: without stamps, and without what loop and stubs take; half of all passes lie within
    `spread`. calls: of each phase's functions, a request. stamps: what these added."""

    whole: float
    spread: tuple[float, float]
    phases: dict[str, float]
    calls: dict[str, float]
    stamps: float
    requests: int


async def profile(road: Road, seconds: float) -> Profile:
    """Passes with the stubs alone, without stamps and with them take turns, for about so many seconds."""
    stamps = Stamps()
    await road.client.run(PASS)
    with wrapped(stamps.counting):
        await road.client.run(PASS)
    inside = statistics.median(share_inside() for _ in range(9))
    floor: list[float] = []
    plain: list[float] = []
    timed: list[float] = []
    spent: list[dict[str, float]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(plain) < 3:
        floor.append(await road.floor.run(PASS))
        plain.append(await road.client.run(PASS))
        with wrapped(stamps.timing):
            stamps.clear()
            timed.append(await road.client.run(PASS))
            spent.append(stamps.stop())
    bare = statistics.median(floor)
    price = statistics.median(timed) - statistics.median(plain)
    return Profile(
        whole=micro(statistics.median(plain) - bare),
        spread=(micro(statistics.quantiles(plain)[0] - bare), micro(statistics.quantiles(plain)[2] - bare)),
        phases=relieved(spent, stamps.entered, price, inside, bare),
        calls={name: sum(n for (_, of), n in stamps.entered.items() if of == name) / PASS for name in stamps.names},
        stamps=micro(price),
        requests=len(plain) * PASS,
    )


def relieved(
    spent: list[dict[str, float]], entered: Counter[tuple[str, str]], price: float, inside: float, bare: float
) -> dict[str, float]:
    """Microseconds by phase, without the stamps' price. bare: what loop and stubs took, which is a part of the rest."""
    each = price / max(1, entered.total())
    phases = {}
    for name in spent[0]:
        own = sum(count for (_, of), count in entered.items() if of == name)
        within = sum(count for (outer, _), count in entered.items() if outer == name)
        stamps = each * (own * inside + within * (1 - inside))
        phases[name] = micro(statistics.median(found[name] for found in spent) - stamps - (bare if name == REST else 0))
    return phases


def micro(seconds: float) -> float:
    """Of a pass, as microseconds a request."""
    return seconds / PASS * 1e6


def table(found: Profile) -> str:
    lines = [
        f"a forwarded request takes {found.whole:.1f} us (half of all passes between {found.spread[0]:.1f} and "
        f"{found.spread[1]:.1f}; {found.requests:,} requests)",
        "",
        f"{'phase':16}{'us':>8}{'share':>8}{'calls':>8}",
    ]
    for phase, cost in found.phases.items():
        lines.append(f"{phase:16}{cost:8.2f}{cost / found.whole:8.0%}{found.calls[phase]:8.1f}")
    total = sum(found.phases.values())
    lines += [f"{'sum':16}{total:8.2f}{total / found.whole:8.0%}", ""]
    lines.append(f"The stamps took {found.stamps:.1f} us more, which are left out above.")
    return "\n".join(lines)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phases", description="Where a request's time goes.")
    parser.add_argument("--seconds", type=float, default=15.0, help="to measure for (15)")
    parser.add_argument("--same", action="store_true", help="all requests alike, in place of varied ones")
    parser.add_argument("--policies", action="store_true", help="with an access list, header edits and a stripped prefix")
    options = parser.parse_args()
    wanted = "policies-1k" if options.policies else "forward-1k"
    [scenario] = [scenario for scenario in SCENARIOS if scenario.name == wanted]
    async with open_road(scenario, varied=not options.same) as road:
        print(table(await profile(road, options.seconds)))


if __name__ == "__main__":
    uvloop.run(main())
