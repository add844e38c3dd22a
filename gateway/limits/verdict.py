"""Active checks: what the results of a target's probes come to.

One odd result changes nothing: it takes `fails` in a row to go down, and `passes` in a row to come up again. Before
the first verdict one pass is enough.
"""

from __future__ import annotations


class Verdict:
    """in_a_row: equal results, the last ones. is_known: there was a verdict."""

    __slots__ = ("_last", "in_a_row", "is_down", "is_known")

    def __init__(self, *, is_down: bool = False) -> None:
        """is_down: until a probe has passed."""
        self.is_down = is_down
        self.in_a_row = 0
        self._last = False
        self.is_known = False

    def probed(self, passed: bool, passes: int, fails: int) -> bool:
        """Whether this result changes the verdict."""
        self.in_a_row = self.in_a_row + 1 if passed is self._last else 1
        self._last = passed
        enough = (passes if self.is_known else 1) if passed else fails
        if self.in_a_row < enough:
            return False
        self.is_known = True
        changed = self.is_down is passed
        self.is_down = not passed
        return changed
