"""Smooth weighted round robin: shares follow the weights, and a heavy target's turns are spread evenly.

Each turn every target gains its weight and the richest one is picked and pays the sum of all weights, as in nginx.
With equal weights that is a plain circle, which is walked without the arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced

T = TypeVar("T", bound="Balanced")


class RoundRobin(Generic[T]):
    __slots__ = ("_credits", "_equal", "_next", "_targets")

    def __init__(self, targets: Sequence[T]) -> None:
        self._targets = tuple(targets)
        self._credits = [0.0] * len(self._targets)
        self._equal = len({target.weight for target in self._targets}) <= 1
        self._next = 0

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        if self._equal:
            return self._walk(tried)
        best = -1
        total = 0.0
        credits = self._credits
        for index, target in enumerate(self._targets):
            if target in tried:
                continue
            total += target.weight
            credits[index] += target.weight
            if best < 0 or credits[index] > credits[best]:
                best = index
        if best < 0:
            return None
        credits[best] -= total
        return self._targets[best]

    def _walk(self, tried: tuple[T, ...]) -> T | None:
        targets = self._targets
        for _ in targets:
            index = self._next
            self._next = index + 1 if index + 1 < len(targets) else 0
            if targets[index] not in tried:
                return targets[index]
        return None
