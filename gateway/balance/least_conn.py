"""Least connections: the target with the fewest requests in flight for its weight.

Targets of equal load take turns by smooth weighted round robin, as in nginx; else the first of the list would get all
the requests of a quiet hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced, BalancerOptions

T = TypeVar("T", bound="Balanced")


class LeastConn(Generic[T]):
    __slots__ = ("_credits", "_targets")

    def __init__(self, targets: Sequence[T], options: BalancerOptions | None = None) -> None:
        self._targets = tuple(targets)
        self._credits = [0.0] * len(self._targets)

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        least: list[int] = []
        load = 0.0
        for index, target in enumerate(self._targets):
            if target in tried:
                continue
            own = target.in_flight / target.weight
            if not least or own < load:
                least, load = [index], own
            elif own == load:
                least.append(index)
        if not least:
            return None
        return self._targets[least[0] if len(least) == 1 else self._take_turns(least)]

    def _take_turns(self, equal: list[int]) -> int:
        credits = self._credits
        total = 0.0
        richest = equal[0]
        for index in equal:
            weight = self._targets[index].weight
            total += weight
            credits[index] += weight
            if credits[index] > credits[richest]:
                richest = index
        credits[richest] -= total
        return richest
