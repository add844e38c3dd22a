"""First: the first of the list that may be picked; the others wait for it to fail. Weights mean nothing here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import BalancerOptions

T = TypeVar("T")


class First(Generic[T]):
    __slots__ = ("_targets",)

    def __init__(self, targets: Sequence[T], options: BalancerOptions | None = None) -> None:
        self._targets = tuple(targets)

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        for target in self._targets:
            if target not in tried:
                return target
        return None
