"""Figures as a table: medians over the rounds, and ratios to nginx that are taken round by round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.scenarios import Scenario

MEASURE: Final = "nginx"  # whom the ratios refer to


@dataclass(frozen=True)
class Measured:
    """One run of one contender. cost: CPU microseconds a request. core: the share of a core that it used itself; others:
    what everybody else used of its cores meanwhile. idle_bytes: memory a connection that waits, where any did."""

    cost: float
    rate: float
    p50: float
    p99: float
    core: float
    others: float
    idle_bytes: float | None = None


def ratios(runs: dict[str, list[Measured]], name: str) -> list[float]:
    """Round by round, so that what slows the machine down for a while slows both."""
    return [ours.cost / nginx.cost for ours, nginx in zip(runs[name], runs.get(MEASURE, []), strict=False)]


def table(scenario: Scenario, runs: dict[str, list[Measured]]) -> str:
    """Markdown."""
    head = ["", f"x {MEASURE}", "from - to", "us CPU", "requests/s", "p99 ms", "core", "others"]
    if scenario.idle:
        head.append("KiB idle")
    lines = [f"**{scenario.name}**: {scenario.about}", "", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    lines += [_row([name, *_cells(scenario, runs, name)]) for name in runs if runs[name]]
    return "\n".join(lines) + "\n"


def _cells(scenario: Scenario, runs: dict[str, list[Measured]], name: str) -> list[str]:
    found = runs[name]
    compared = ratios(runs, name)
    median = statistics.median
    cells = [
        f"{median(compared):.2f}" if compared else "",
        f"{min(compared):.2f} - {max(compared):.2f}" if compared else "",
        f"{median(run.cost for run in found):.1f}",
        f"{median(run.rate for run in found):,.0f}",
        f"{median(run.p99 for run in found) * 1000:.1f}",
        f"{median(run.core for run in found):.0%}",
        f"{max(run.others for run in found):.0%}",
    ]
    if scenario.idle:
        cells.append(f"{median(run.idle_bytes or 0.0 for run in found) / 1024:.1f}")
    return cells


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
