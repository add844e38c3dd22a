"""Code of others, by the names that a configuration gives: an import path, or the name of an entry point."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BALANCERS: Final = "gateway.balancers"  # the group of the entry points that make balancers
DISCOVERIES: Final = "gateway.discoveries"  # and of those that make discoveries
_PATH: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def is_import_path(text: str) -> bool:
    """`package.module:attribute`."""
    return _PATH.fullmatch(text) is not None


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points that installed packages have in a group, by name."""
    return {point.name: point for point in entry_points(group=group)}


def found(name: str, group: str) -> Any:
    """The object of an import path or of an entry point. Raises ImportError, saying which of them failed and why."""
    if is_import_path(name):
        return imported(name)
    point = installed(group).get(name)
    if point is None:
        msg = f'no installed package has "{name}" in {group}'
        raise ImportError(msg)
    return imported(point.value)


def imported(path: str) -> Any:
    """The object of an import path. Raises ImportError, whatever importing its module raises."""
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as exc:
        msg = f"{path}: {exc}"
        raise ImportError(msg) from exc
    return found
