"""How a target is picked: pure algorithms, one file each, over the targets' own counters.

To add one, write its file and a line in `BALANCERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from gateway.balance.least_conn import LeastConn
from gateway.balance.round_robin import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Balanced(Protocol):
    """What a balancer may know of a target: its share, and how many requests it works on now."""

    @property
    def weight(self) -> float: ...
    @property
    def in_flight(self) -> int: ...


T = TypeVar("T", bound=Balanced)


class Balancer(Protocol[T]):
    """Picks one of the targets that it was built over; reads their counters, never writes them."""

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        """A target that is not in `tried`, or None. key: what algorithms that hash would hash."""


BALANCERS: Final[Mapping[str, Callable[[Sequence[Any]], Balancer[Any]]]] = {
    "round_robin": RoundRobin,
    "least_conn": LeastConn,
}

__all__ = ["BALANCERS", "Balanced", "Balancer", "LeastConn", "RoundRobin"]
