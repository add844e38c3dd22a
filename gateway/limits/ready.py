"""The ready set: which targets of an upstream may be picked now.

Of those that are in, the best priority that has somebody; backups only when nobody else is in. When nobody is in at
all, every target that was not drained by hand is tried: a wrong verdict of ours must not turn into an outage of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Candidate(Protocol):
    """drained: taken out by hand. down: by its probes. ejected: for its failures. priority: 0 is the best."""

    @property
    def drained(self) -> bool: ...
    @property
    def down(self) -> bool: ...
    @property
    def ejected(self) -> bool: ...
    @property
    def priority(self) -> int: ...
    @property
    def backup(self) -> bool: ...


T = TypeVar("T", bound=Candidate)


def ready_set(targets: Sequence[T]) -> tuple[tuple[T, ...], bool]:
    """The ready targets in their order, and whether that is because all are out."""
    undrained = [target for target in targets if not target.drained]
    targets_in = [target for target in undrained if not (target.down or target.ejected)]
    if not targets_in:
        return tuple(undrained), bool(undrained)
    regular = [target for target in targets_in if not target.backup] or targets_in
    best = min(target.priority for target in regular)
    return tuple(target for target in regular if target.priority == best), False
