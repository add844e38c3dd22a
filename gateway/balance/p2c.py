"""Power of two choices: of two targets drawn by weight, the one with the fewer requests in flight for its weight.

Two are enough to stay away from a busy target, and many gateways that see the same picture do not all run to the same
one, as they would with the least of all (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.balance.chance import Odds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced, BalancerOptions

T = TypeVar("T", bound="Balanced")


class PowerOfTwoChoices(Generic[T]):
    __slots__ = ("_odds",)

    def __init__(self, targets: Sequence[T], options: BalancerOptions) -> None:
        self._odds = Odds(targets, options)

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        one, other = self._odds.two(tried)
        if one is None or other is None:
            return one
        # Equal loads leave it to the first draw, so that a quiet hour is shared by weight.
        return other if other.in_flight * one.weight < one.in_flight * other.weight else one
