"""How a target is picked: pure algorithms, one file each, over the targets' own counters.

To add one, write its file and a line in `BALANCERS`. Those of other packages are named by import path or entry point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, runtime_checkable

from gateway.balance.chance import Random
from gateway.balance.first import First
from gateway.balance.hash import Hash
from gateway.balance.least_conn import LeastConn
from gateway.balance.least_time import LeastTime
from gateway.balance.p2c import PowerOfTwoChoices
from gateway.balance.round_robin import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Factory = Callable[[Sequence[Any], "BalancerOptions"], "Balancer[Any]"]


class Balanced(Protocol):
    """What a balancer may know of a target: its name, its share, and how many requests it works on now."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> float:
        """Above 0. It may change between two picks, while a target starts slowly."""

    @property
    def in_flight(self) -> int: ...


T = TypeVar("T", bound=Balanced)


class BalancerOptions:
    """What balancers are made with, beside their targets.

    random: numbers in [0, 1), evenly spread. hash_load: what of its fair share of the requests in flight a target may
    have before `hash` passes it over, such as 1.25; 0 is without bound. settings: `balance_options`, as written.
    """

    __slots__ = ("hash_load", "random", "settings")

    def __init__(
        self, random: Callable[[], float], *, hash_load: float = 0.0, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.random = random
        self.hash_load = hash_load
        self.settings: Mapping[str, Any] = settings or {}


class Balancer(Protocol[T]):
    """Picks one of the targets that it was built over; reads their counters, never writes them."""

    def pick(self, key: bytes, tried: tuple[T, ...]) -> T | None:
        """A target that is not in `tried`, or None. key: what `hash_on` found in the request; empty where nothing."""


@runtime_checkable
class Learns(Protocol):
    """A balancer that wants to know how long targets take. What it learns it keeps with the target."""

    def answered(self, target: Any, seconds: float, now: float) -> None:
        """An answer began after so many seconds. now: on the clock that never goes back."""

    def failed(self, target: Any, seconds: float, now: float) -> None:
        """There was no answer, and after so many seconds that was clear."""

    def left(self, target: Any, seconds: float, now: float) -> None:
        """Whoever asked did not wait any longer than so many seconds for an answer to begin."""


BALANCERS: Final[Mapping[str, Factory]] = {
    "round_robin": RoundRobin,
    "random": Random,
    "p2c": PowerOfTwoChoices,
    "least_conn": LeastConn,
    "least_time": LeastTime,
    "hash": Hash,
    "first": First,
}

__all__ = [
    "BALANCERS",
    "Balanced",
    "Balancer",
    "BalancerOptions",
    "First",
    "Hash",
    "Learns",
    "LeastConn",
    "LeastTime",
    "PowerOfTwoChoices",
    "Random",
    "RoundRobin",
]
