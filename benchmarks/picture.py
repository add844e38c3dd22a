"""The simulation as a picture: what answers take with each balancer, and how much the troubled target gets."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.balancers import CONTENDERS, PATIENCE, SCENARIOS, TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.balancers import Outcome

COLOURS = dict(zip(CONTENDERS, ("#7f7f7f", "#bcbd22", "#1f77b4", "#2ca02c", "#d62728", "#ff7f0e", "#9467bd"), strict=True))
PALETTE = 48  # colours that are enough for lines and their edges, in a third of the bytes
WINDOW = 3  # seconds that the lines of the shares are smoothed over


def draw(found: Mapping[str, Mapping[str, Outcome]], path: Path) -> None:
    with rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = _drawn(found)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).quantize(PALETTE).save(path, optimize=True)


def _drawn(found: Mapping[str, Mapping[str, Outcome]]) -> Figure:
    figure = Figure(figsize=(10, 2.6 * len(found)))
    rows = figure.subplots(len(found), 2, width_ratios=(1, 1.35))
    for (name, outcomes), (times, shares) in zip(found.items(), rows, strict=True):
        _draw_times(times, outcomes)
        _draw_shares(shares, outcomes)
        times.set_title(SCENARIOS[name].title, loc="left", fontweight="bold")
    rows[-1][0].set_xlabel(f"milliseconds, logarithmic: median ○ and 99th percentile ●; given up at {PATIENCE:g} s")
    rows[-1][1].set_xlabel("seconds")
    handles, labels = rows[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    return figure


def _draw_times(axes: Any, outcomes: Mapping[str, Outcome]) -> None:
    for place, (contender, outcome) in enumerate(reversed(list(outcomes.items()))):
        middle, end = (outcome.percentile(part) * 1000 for part in (0.5, 0.99))
        axes.plot((middle, end), (place, place), color=COLOURS[contender], linewidth=1)
        axes.plot(middle, place, "o", color=COLOURS[contender], markerfacecolor="white")
        axes.plot(end, place, "o", color=COLOURS[contender])
        axes.annotate(f"{end:.0f}", (end, place), xytext=(6, -3), textcoords="offset points", fontsize=7)
    axes.set_yticks(range(len(outcomes)), list(reversed(list(outcomes))))
    axes.set_xscale("log")
    axes.set_xlim(8, PATIENCE * 1000 * 2.2)
    axes.set_xticks((10, 100, 1000), ("10", "100", "1000"))


def _draw_shares(axes: Any, outcomes: Mapping[str, Outcome]) -> None:
    for contender, outcome in outcomes.items():
        axes.plot(_smooth(outcome.share), color=COLOURS[contender], linewidth=1.2, label=contender)
    axes.axhline(100 / TARGETS, color="black", linewidth=0.5, linestyle=":")
    axes.set_ylim(0, 32)
    axes.set_ylabel("its share, %")


def _smooth(share: list[float]) -> list[float]:
    """Each second with those around it."""
    around = [share[max(0, at - WINDOW // 2) : at + WINDOW // 2 + 1] for at in range(len(share))]
    return [100 * sum(part) / len(part) for part in around]
