"""What every target has, whatever it leads to: its part of the requests, its counters, and whether it may be picked."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from gateway.balance.peak_ewma import PeakEwma
from gateway.limits.outlier import Outlier
from gateway.limits.verdict import Verdict

if TYPE_CHECKING:
    from gateway.limits.adaptive import Adaptive
    from gateway.upstream.address import Address
    from gateway.upstream.tally import Row


class TargetBase:
    """Balancers and the ready set read these and never write them.

    weight: in effect now, less than `full_weight` while it recovers. priority: 0 is the best. backup: for when no other
    is ready. drained: by hand. down: by its probes, which `verdict` sums up. ejected: for its failures, which `outlier`
    sums up; `ejected_by_status` where those were answers. reason: of the last time that it was taken out.
    latency: what answers of the target take; for a balancer that learns it.
    max_in_flight: what a guard lets it have, which `adaptive` finds from latency where that is asked for. row: where a bound
    is one for several workers, what they have in flight.
    checks_passed and checks_failed count probes.
    requests and failures count attempts, `in_flight` those under way; an upstream's `began` and `ended` keep them.
    users: the upstreams that it runs for, more than one while a configuration follows another.
    """

    __slots__ = (
        "adaptive", "address", "backup", "checks_failed", "checks_passed", "down", "drained", "ejected",
        "ejected_by_status", "failures", "full_weight", "in_flight", "latency", "max_in_flight", "name", "outlier",
        "priority", "reason", "requests", "row", "users", "verdict", "weight",
    )  # fmt: skip

    def __init__(self, address: Address, weight: int = 1, priority: int = 0, *, backup: bool = False) -> None:
        self.address = address
        self.name = address.name
        self.full_weight = weight
        self.weight = float(weight)
        self.priority = priority
        self.backup = backup
        self.drained = False
        self.down = False
        self.ejected = False
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.latency = PeakEwma()
        self.max_in_flight = inf
        self.adaptive: Adaptive | None = None
        self.row: Row | None = None
        self.outlier = Outlier()
        self.verdict = Verdict()
        self.ejected_by_status = False
        self.checks_passed = 0
        self.checks_failed = 0
        self.reason = ""
        self.users = 0

    @property
    def is_busy(self) -> bool:
        """Somebody uses it."""
        return self.in_flight > 0

    def leave_row(self) -> None:
        """No bound is one for several workers any more."""
        if self.row is not None:
            self.row.set(0)
            self.row = None

    def become(self, other: TargetBase) -> None:
        """Take the settings of another one for the same address, and keep counters, verdicts and connections."""
        self.address = other.address  # with another name in SNI, for example
        self.weight *= other.full_weight / self.full_weight
        self.full_weight = other.full_weight
        self.priority = other.priority
        self.backup = other.backup
