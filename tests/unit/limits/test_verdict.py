"""What probes come to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.verdict import Verdict


def model(results: list[bool], passes: int, fails: int, is_down: bool) -> list[bool]:
    """is_down after each result, by looking at the whole list again."""
    known = False
    states = []
    for end in range(1, len(results) + 1):
        wanted = passes if known else 1
        if all(results[max(0, end - wanted) : end]) and end >= wanted:
            is_down, known = False, True
        if end >= fails and not any(results[end - fails : end]):
            is_down, known = True, True
        states.append(is_down)
    return states


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_a_verdict_changes_after_enough_equal_results_in_a_row(
    results: list[bool], passes: int, fails: int, is_down: bool
):
    verdict = Verdict(is_down=is_down)
    seen = []
    for passed in results:
        before = verdict.is_down
        assert verdict.probed(passed, passes, fails) is (verdict.is_down is not before)
        seen.append(verdict.is_down)
    assert seen == model(results, passes, fails, is_down)


def test_one_pass_is_enough_before_the_first_verdict():
    verdict = Verdict(is_down=True)
    assert verdict.probed(True, 3, 3)
    assert not verdict.is_down


def test_a_result_that_confirms_is_no_change():
    verdict = Verdict()
    assert not verdict.probed(True, 1, 1)
    assert verdict.is_known
