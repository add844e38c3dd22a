"""Random: every pick is drawn anew, with the weights as odds. It needs no memory, so many gateways need no agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.balance import Balanced, BalancerOptions

T = TypeVar("T", bound="Balanced")


class Random(Generic[T]):
    __slots__ = ("_random", "_targets")

    def __init__(self, targets: Sequence[T], options: BalancerOptions) -> None:
        self._targets = tuple(targets)
        self._random = options.random

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        return draw(self._targets, tried, self._random())


def draw(targets: Sequence[T], tried: Sequence[T], chance: float) -> T | None:
    """One that is not in `tried`, with the weights as odds. chance: in [0, 1)."""
    total = 0.0
    for target in targets:
        if not tried or target not in tried:
            total += target.weight
    left = chance * total
    drawn = None
    for target in targets:
        if tried and target in tried:
            continue
        drawn = target  # the last one too, where rounding leaves a rest behind it
        left -= target.weight
        if left < 0:
            break
    return drawn


def draw_two(targets: Sequence[T], tried: tuple[T, ...], random: Callable[[], float]) -> tuple[T | None, T | None]:
    """Two different ones, the second drawn among those that are left; None where there are no more."""
    one = draw(targets, tried, random())
    if one is None or len(targets) - len(tried) == 1:
        return one, None
    return one, draw(targets, (*tried, one), random())
