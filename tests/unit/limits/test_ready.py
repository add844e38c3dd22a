"""Which targets may be picked."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.ready import ready_set


@dataclass(eq=False)
class Candidate:
    drained: bool = False
    down: bool = False
    ejected: bool = False
    priority: int = 0
    backup: bool = False

    @property
    def is_in(self) -> bool:
        return not (self.drained or self.down or self.ejected)


CANDIDATES = st.lists(
    st.builds(Candidate, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 3), st.booleans()), max_size=8
)


@given(CANDIDATES)
def test_a_drained_target_is_never_ready(targets: list[Candidate]):
    ready, _ = ready_set(targets)
    assert not any(target.drained for target in ready)


@given(CANDIDATES)
def test_nobody_is_ready_only_when_all_are_drained(targets: list[Candidate]):
    ready, all_out = ready_set(targets)
    assert bool(ready) == any(not target.drained for target in targets)
    assert all_out == (bool(ready) and not any(target.is_in for target in targets))


@given(CANDIDATES)
def test_when_all_are_out_every_undrained_target_is_tried(targets: list[Candidate]):
    ready, all_out = ready_set(targets)
    if all_out:
        assert list(ready) == [target for target in targets if not target.drained]


@given(CANDIDATES)
def test_while_somebody_is_in_only_those_are_ready_of_one_priority_and_in_order(targets: list[Candidate]):
    ready, all_out = ready_set(targets)
    if not all_out:
        assert all(target.is_in for target in ready)
        assert len({target.priority for target in ready}) <= 1
        places = [targets.index(target) for target in ready]
        assert places == sorted(places)


@given(CANDIDATES)
def test_backups_are_ready_only_when_no_other_target_is_in(targets: list[Candidate]):
    ready, all_out = ready_set(targets)
    if not all_out and any(target.backup for target in ready):
        assert not any(target.is_in and not target.backup for target in targets)


@given(CANDIDATES)
def test_no_better_priority_is_passed_over(targets: list[Candidate]):
    ready, all_out = ready_set(targets)
    if ready and not all_out:
        alike = [target for target in targets if target.is_in and target.backup == ready[0].backup]
        assert ready[0].priority == min(target.priority for target in alike)
        assert [target for target in alike if target.priority == ready[0].priority] == list(ready)
