"""What all processes say about their caches, as a text to read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cache.status import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Json = dict[str, Any]

TOP: Final = 10
_SHOWN: Final = ("part", "vary", "tags", "etag", "last_modified", "stale_while_revalidate", "stale_if_error", "forms")
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


def overview(processes: Sequence[Json]) -> str:
    """Fill, results by route, and the keys and tags that were asked for or used most. processes: what each said."""
    stores = [process["store"] for process in processes]
    total = {name: sum(store[name] for store in stores) for name in ("entries", "bytes", "limit", "purged")}
    several = f" in {len(stores)} processes" if len(stores) > 1 else ""
    limit = f" of {size(total['limit'])}" if total["limit"] else ""
    alone = "" if all(store["current"] for store in stores) else "; redis is away"
    is_held = stores[0]["kind"] != "redis"
    held = f"{size(total['bytes'])}{limit}{several}, {total['entries']} entries, " if is_held else ""
    lines = [
        f"{stores[0]['kind']}: {held}{total['purged']} purged{alone}",
        *_fill(processes),
        "",
        *table(["route", "requests", *WORDS, "hit ratio"], _routes(processes)),
    ]
    keys = _summed((key["key"], key["hits"]) for process in processes for key in process["top_keys"])
    tags = _summed((tag["tag"], tag["keys"]) for process in processes for tag in process["top_tags"])
    for heading, rows in ((["hits", "key"], keys), (["keys", "tag"], tags)):
        if rows:
            lines += ["", *table(heading, ([str(count), name] for name, count in rows))]
    return "\n".join(lines)


def _fill(processes: Sequence[Json]) -> Iterator[str]:
    """What Redis holds, whoever put it there; they all say the same of it."""
    told = next((process["redis"] for process in processes if process["redis"] is not None), None)
    if told is not None:
        limit = f" of {size(told['limit'])}" if told["limit"] else ", without a limit"
        yield f"redis: {size(told['used'])}{limit}, {told['keys']} keys"


def _routes(processes: Sequence[Json]) -> Iterator[list[str]]:
    names = dict.fromkeys(name for process in processes for name in process["routes"])
    for name in names:
        found = [process["routes"][name] for process in processes if name in process["routes"]]
        counts = [sum(one[word] for one in found) for word in ("requests", *WORDS)]
        answered = sum(one["requests"] * (one["hit_ratio"] or 0.0) for one in found)
        ratio = f"{answered / counts[0]:.1%}" if counts[0] else "-"
        yield [name, *map(str, counts), ratio]


def _summed(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    sums: dict[str, int] = {}
    for name, count in counts:
        sums[name] = sums.get(name, 0) + count
    return sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:TOP]


def verdict(process: Json) -> str:
    """All that one process says about a URL."""
    lines = [f"process {process['pid']}: {process['url']}"]
    lines += [f"  {name}: {process[name]}" for name in ("route", "key", "verdict") if name in process]
    for number, entry in enumerate(process.get("entries", ()), 1):
        lines.append(f"  {number}. status {entry['status']}, {entry['bytes']} bytes: {entry['verdict']}")
        fresh = entry["fresh_for"]
        state = f"fresh for {fresh} s" if fresh > 0 else f"stale for {-fresh} s"
        lines.append(f"     {entry['age']} s old, {state}, kept for {entry['kept_for']} s")
        lines += [f"     {name.replace('_', '-')}: {entry[name]}" for name in _SHOWN if entry[name]]
    return "\n".join(lines)


def table(heading: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lines with columns: numbers to the right, the rest to the left."""
    cells = [heading, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if _is_number(cells, column) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _is_number(cells: list[list[str]], column: int) -> bool:
    return all(row[column][:1].isdigit() or row[column] == "-" for row in cells[1:])


def size(count: float) -> str:
    """Bytes for people: 12.3 MiB."""
    unit = 0
    while count >= _STEP and unit < len(_UNITS) - 1:
        count /= _STEP
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} B"
