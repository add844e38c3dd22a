"""The status of a gateway's processes as text: one line for each target, counters of all processes added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEAD: Final = ("UPSTREAM", "TARGET", "STATE", "IN FLIGHT", "REQUESTS", "FAILURES")
COUNTERS: Final = ("in_flight", "requests", "failures")


def status_lines(processes: Sequence[dict[str, Any]]) -> list[str]:
    """processes: what each says to `GET /status`."""
    lines = [f"process {one['pid']}  {one['state']}  {one['config']['digest']}" for one in processes]
    if len({one["config"]["digest"] for one in processes}) > 1:
        lines.append("the processes do not serve the same configuration: reload")
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in processes:
        for upstream, facts in one["upstreams"].items():
            for target in facts["targets"]:
                rows.setdefault((upstream, target["name"]), []).append(target)
    table = [HEAD, *((*name, *_row(targets)) for name, targets in rows.items())]
    return [*lines, "", *aligned(table)]


def _row(targets: list[dict[str, Any]]) -> tuple[str, ...]:
    states = [target["state"] for target in targets]
    words = [state if states.count(state) == len(states) else f"{state} in {states.count(state)}" for state in dict.fromkeys(states)]
    reasons = dict.fromkeys(target["reason"] for target in targets if target.get("reason"))
    state = ", ".join(words) + (f" ({'; '.join(reasons)})" if reasons else "")
    return state, *(str(sum(target[counter] for target in targets)) for counter in COUNTERS)


def aligned(table: Iterable[Sequence[str]]) -> list[str]:
    """Columns below each other, two spaces apart."""
    rows = list(table)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
