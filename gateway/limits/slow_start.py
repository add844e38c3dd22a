"""Slow start: a target that has recovered gets its part of the requests little by little, in a straight line."""

from __future__ import annotations

from typing import Final

FLOOR: Final = 0.1  # of its weight, at first: without requests nothing gets warm


def weight_share(elapsed: float, duration: float) -> float:
    """The part of a target's weight that holds `elapsed` seconds after its return, from FLOOR to 1."""
    if elapsed >= duration:
        return 1.0
    return max(FLOOR, elapsed / duration)
