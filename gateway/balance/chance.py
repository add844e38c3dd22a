"""Random: every pick is drawn anew, with the weights as odds. It needs no memory, so many gateways need no agreement.

To draw by weight an index is drawn evenly, and taken with the odds of its target's weight to the greatest one; else it
is drawn again. With equal weights that is one draw, however many targets there are. After a few draws in vain the
weights are summed up instead, which costs as much as there are targets and always finds one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced, BalancerOptions

T = TypeVar("T", bound="Balanced")

DRAWS: Final = 4  # in vain, until the weights are summed up


class Random(Generic[T]):
    __slots__ = ("_odds",)

    def __init__(self, targets: Sequence[T], options: BalancerOptions) -> None:
        self._odds = Odds(targets, options)

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        return self._odds.one(tried)


class Odds(Generic[T]):
    """Draws targets by their weights of this moment."""

    __slots__ = ("_count", "_greatest", "_random", "_targets")

    def __init__(self, targets: Sequence[T], options: BalancerOptions) -> None:
        self._targets = tuple(targets)
        self._count = len(self._targets)
        self._random = options.random
        self._greatest = max([target.weight for target in self._targets], default=0.0)  # that was ever met

    def one(self, tried: tuple[T, ...]) -> T | None:
        """One that is not in `tried`."""
        if tried or not self._count:
            return self._summed(tried)
        for _ in range(DRAWS):
            target = self._targets[int(self._random() * self._count)]
            if target.weight == self._greatest or self._takes(target.weight):
                return target
        return self._summed(())

    def two(self, tried: tuple[T, ...]) -> tuple[T | None, T | None]:
        """Two different ones, the second drawn among those that are left; None where there are no more."""
        if tried or self._count < 2:
            one = self._summed(tried)
            return one, None if one is None else self._summed((*tried, one))
        at = int(self._random() * self._count)
        first = self._targets[at]
        second = self._targets[at - 1 - int(self._random() * (self._count - 1))]
        greatest = self._greatest
        if first.weight == greatest and second.weight == greatest:
            return first, second
        if not self._takes(first.weight):
            drawn = self.one(())
            return drawn, self._other(drawn)
        return first, second if self._takes(second.weight) else self._other(first)

    def _other(self, first: T | None) -> T | None:
        for _ in range(DRAWS):
            drawn = self.one(())
            if drawn is not first:
                return drawn
        assert first is not None
        return self._summed((first,))

    def _takes(self, weight: float) -> bool:
        if weight >= self._greatest:
            self._greatest = weight
            return True
        return self._random() * self._greatest < weight

    def _summed(self, tried: tuple[T, ...]) -> T | None:
        left = [target for target in self._targets if target not in tried]
        rest = self._random() * sum([target.weight for target in left])
        for target in left:
            rest -= target.weight
            if rest < 0:
                return target
        return left[-1] if left else None  # what rounding has left behind the last one
