"""Hash: equal keys go to the same target, and only the keys of a target that goes away move (rendezvous hashing).

A key falls into one of SLOTS slots, and each slot ranks all targets: by a hash of target and slot, stretched by the
weight (Schindelhauer and Schomaker, Weighted Distributed Hash Tables, 2005). All gateways that know the targets by the
same names agree on it. The best of a slot is remembered; the others are looked for only when it may not be picked: it
was tried, or it is above its bound of load (Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads).
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from math import ceil, log
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from zlib import crc32

from gateway.balance.round_robin import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced, BalancerOptions

SLOTS: Final = 1 << 16  # shares come out within some percent of the weights; two bytes each are remembered
_UNKNOWN: Final = 0xFFFF
_ROUNDING: Final = 1e-9  # what floats may be above the whole number that they stand for


T = TypeVar("T", bound="Balanced")


class Hash(Generic[T]):
    """A request without a key takes its turn, as in round robin."""

    __slots__ = ("_best", "_load", "_seeds", "_targets", "_turns", "_weights")

    def __init__(self, targets: Sequence[T], options: BalancerOptions | None = None) -> None:
        self._targets = tuple(targets)
        self._seeds = [blake2b(target.name.encode(), digest_size=16).digest() for target in self._targets]
        self._load = 0.0 if options is None else options.hash_load
        self._turns = RoundRobin(self._targets)
        self._weights: list[float] = []
        self._best = array("H")

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        if not key or len(self._targets) < 2:
            return self._turns.pick(key, tried)
        slot = crc32(key) % SLOTS
        best = self._targets[self._best_of(slot)]
        if best in tried or (self._load and best.in_flight and not self._bears(best, tried)):
            return self._next_of(slot, tried)
        return best

    def _best_of(self, slot: int) -> int:
        weights = [target.weight for target in self._targets]
        if weights != self._weights:  # a target starts slowly, or these are the first
            self._weights = weights
            self._best = array("H", [_UNKNOWN]) * SLOTS
        index = self._best[slot]
        if index == _UNKNOWN:
            index = self._best[slot] = min(range(len(weights)), key=lambda at: self._age(slot, at))
        return index

    def _age(self, slot: int, index: int) -> float:
        """How long until this target comes, if each came by chance at the rate of its weight: the first has the slot."""
        drawn = blake2b(slot.to_bytes(2), digest_size=7, key=self._seeds[index]).digest()
        return -log((int.from_bytes(drawn) + 1) / (1 << 56)) / self._targets[index].weight

    def _next_of(self, slot: int, tried: tuple[T, ...]) -> T | None:
        for index in sorted(range(len(self._targets)), key=lambda at: self._age(slot, at)):
            target = self._targets[index]
            if target not in tried and (not self._load or self._bears(target, tried)):
                return target
        return None

    def _bears(self, target: T, tried: tuple[T, ...]) -> bool:
        """It stays within its bound with one more request. Of those not tried, one always does."""
        left = [other for other in self._targets if other not in tried]
        in_flight = sum(other.in_flight for other in left) + 1
        share = target.weight / sum(other.weight for other in left)
        return target.in_flight < ceil(self._load * in_flight * share - _ROUNDING)
