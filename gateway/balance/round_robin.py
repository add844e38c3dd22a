"""Smooth weighted round robin: shares follow the weights, and a heavy target's turns are spread evenly.

Each turn every target gains its weight and the richest one is picked and pays the sum of all weights, as in nginx.
With equal weights that is a plain circle, which is walked without the arithmetic as long as they stay equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced, BalancerOptions

T = TypeVar("T", bound="Balanced")


class RoundRobin(Generic[T]):
    __slots__ = ("_common", "_credits", "_next", "_targets")

    def __init__(self, targets: Sequence[T], options: BalancerOptions | None = None) -> None:
        self._targets = tuple(targets)
        self._credits = [0.0] * len(self._targets)
        weights = {target.weight for target in self._targets}
        self._common = weights.pop() if len(weights) == 1 else 0.0  # the weight of all of them, where it is one
        self._next = 0

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        if not self._common:
            return self._richest(tried)
        targets = self._targets
        for _ in targets:
            index = self._next
            target = targets[index]
            self._next = index + 1 if index + 1 < len(targets) else 0
            if target not in tried:
                if target.weight == self._common:
                    return target
                self._common = 0.0
                return self._richest(tried)
        return None

    def _richest(self, tried: tuple[T, ...]) -> T | None:
        best = -1
        total = 0.0
        credits = self._credits
        common = self._targets[0].weight if self._targets else 0.0
        for index, target in enumerate(self._targets):
            weight = target.weight
            if weight != common:
                common = 0.0
            if target in tried:
                continue
            total += weight
            credits[index] += weight
            if best < 0 or credits[index] > credits[best]:
                best = index
        if best < 0:
            return None
        credits[best] -= total
        if common:  # the last of them has its full weight again
            self._common = common
            self._credits = [0.0] * len(credits)
        return self._targets[best]
