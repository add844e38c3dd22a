"""Least connections: the target with the fewest requests in flight for its weight.

Targets of equal load take turns, else the first of the list would get all the requests of a quiet hour: in a circle
where they have equal weights, and by smooth weighted round robin, as in nginx, where they have not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced, BalancerOptions

T = TypeVar("T", bound="Balanced")


class LeastConn(Generic[T]):
    __slots__ = ("_credits", "_next", "_targets")

    def __init__(self, targets: Sequence[T], options: BalancerOptions | None = None) -> None:
        self._targets = tuple(targets)
        self._credits = [0.0] * len(self._targets)
        self._next = 0

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        targets = self._targets
        best: T | None = None
        load = 0.0
        are_unlike = False  # those of the least load have weights of their own
        begin = self._next
        for target in targets[begin:] + targets[:begin]:
            if tried and target in tried:
                continue
            own = target.in_flight / target.weight
            if best is None or own < load:
                best, load, are_unlike = target, own, False
            elif own == load and target.weight != best.weight:
                are_unlike = True
        if best is None:
            return None
        if are_unlike:
            return self._take_turns([at for at, one in enumerate(targets) if _is_equal(one, load) and one not in tried])
        self._next = (targets.index(best) + 1) % len(targets)
        return best

    def _take_turns(self, equal: list[int]) -> T:
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
        return self._targets[richest]


def _is_equal(target: Balanced, load: float) -> bool:
    return target.in_flight / target.weight == load
