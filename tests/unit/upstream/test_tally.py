"""What workers count together, each by its own view of one sheet."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest

from gateway.upstream import tally
from gateway.upstream.tally import Tally, forget, make_sheet

if TYPE_CHECKING:
    from gateway.upstream.tally import Sheet

SPAWNING = multiprocessing.get_context("spawn")


@pytest.fixture
def sheet() -> Sheet:
    return make_sheet(SPAWNING, 3)


def test_a_target_has_the_same_row_in_every_worker(sheet: Sheet):
    workers = [Tally(sheet, place) for place in range(3)]
    for number, worker in enumerate(workers):
        for name in ("u http://a", "u http://b"):
            row = worker.row(name)
            assert row is not None
            row.set(10**number if name.endswith("a") else 2 * 10**number)
    assert [worker.row("u http://a").total() for worker in workers] == [111] * 3  # type: ignore[union-attr]
    assert [worker.row("u http://b").total() for worker in workers] == [222] * 3  # type: ignore[union-attr]


def test_of_a_dead_worker_nothing_is_in_flight(sheet: Sheet):
    first, second = (Tally(sheet, place).row("a") for place in (0, 1))
    assert first is not None
    assert second is not None
    first.set(5)
    second.set(7)
    forget(sheet, 0)
    assert second.total() == 7


def test_a_lock_that_a_dead_worker_holds_stops_nobody(sheet: Sheet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tally, "PATIENCE", 0.01)
    with sheet.lock:
        assert Tally(sheet, 0).row("a") is None


def test_a_count_is_seen_in_another_process(sheet: Sheet):
    process = SPAWNING.Process(target=count, args=(sheet, 2, 41))
    process.start()
    process.join()
    assert process.exitcode == 0
    row = Tally(sheet, 0).row("a")
    assert row is not None
    row.set(1)
    assert row.total() == 42


def count(sheet: Sheet, place: int, number: int) -> None:
    row = Tally(sheet, place).row("a")
    assert row is not None
    row.set(number)


def test_a_full_sheet_leaves_further_targets_to_each_worker_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(tally, "ROWS", 8)
    worker = Tally(make_sheet(SPAWNING, 2), 1)
    rows = [worker.row(f"target {number}") for number in range(10)]
    assert [row is None for row in rows] == [False] * 8 + [True] * 2
    assert len(caplog.records) == 1
    for number, row in enumerate(rows[:8]):
        assert row is not None
        row.set(number)
    assert [worker.row(f"target {number}").total() for number in range(8)] == list(range(8))  # type: ignore[union-attr]
