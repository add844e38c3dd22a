"""Targets as balancers see them, and chance that repeats itself."""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from gateway.balance import BalancerOptions
from gateway.balance.peak_ewma import PeakEwma

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.balance import Balancer

_numbers = count()


class Stub:
    """Two of them are never the same, whatever they are called."""

    def __init__(self, weight: float = 1, in_flight: int = 0, name: str = "") -> None:
        self.name = name or f"http://10.0.0.{next(_numbers)}:9000"
        self.weight = weight
        self.in_flight = in_flight
        self.latency = PeakEwma()

    def __repr__(self) -> str:
        return f"{self.name}({self.weight}, {self.in_flight})"


def named(weights: Iterable[float]) -> list[Stub]:
    """Targets whose names are the same in every run."""
    return [Stub(weight, name=f"http://app-{number}:9000") for number, weight in enumerate(weights)]


def options(seed: int = 1, **more: Any) -> BalancerOptions:
    return BalancerOptions(Random(seed).random, **more)


def shares(balancer: Balancer[Stub], targets: list[Stub], picks: int, keys: Iterable[bytes] | None = None) -> list[float]:
    """What part of so many picks each target gets, while nobody is busy."""
    given = iter(keys) if keys is not None else None
    counted = Counter(balancer.pick(b"" if given is None else next(given), ()) for _ in range(picks))
    return [counted[target] / picks for target in targets]
