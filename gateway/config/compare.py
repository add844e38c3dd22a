"""What a new configuration changes, in its own words: routes, upstreams, targets and settings. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.config.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.model import Config

# Settings that a process takes when it starts, and keeps.
NEEDS_RESTART: Final = ("server.listen", "server.workers", "server.tls", "admin.listen", "admin.token")
_NAMED: Final = ("routes", "upstreams")


@dataclass(frozen=True, slots=True)
class Difference:
    """Of things with names. changed: the keys that differ, by name."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def told(self) -> dict[str, Any]:
        """As JSON, without what is empty."""
        parts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return {name: part for name, part in parts.items() if part}


@dataclass(frozen=True, slots=True)
class Changes:
    """reordered: routes that stay match in another order. settings: keys outside of routes and upstreams.
    restart: those of them that this process does not follow."""

    routes: Difference
    upstreams: Difference
    targets: Difference
    settings: list[str]
    restart: list[str]
    reordered: bool = False

    def __bool__(self) -> bool:
        return bool(self.routes or self.upstreams or self.targets or self.settings or self.reordered)

    def told(self) -> dict[str, Any]:
        """As JSON, without what is empty."""
        parts: dict[str, Any] = {
            "routes": self.routes.told(),
            "reordered": self.reordered,
            "upstreams": self.upstreams.told(),
            "targets": self.targets.told(),
            "settings": self.settings,
            "restart": self.restart,
        }
        return {name: part for name, part in parts.items() if part}

    def lines(self) -> list[str]:
        """One line for each change, as people read them."""
        found = []
        for kind, difference in (("route", self.routes), ("upstream", self.upstreams), ("target", self.targets)):
            found += [f"+ {kind} {name}" for name in difference.added]
            found += [f"- {kind} {name}" for name in difference.removed]
            found += [f"~ {kind} {name}: {', '.join(keys)}" for name, keys in difference.changed.items()]
        if self.reordered:
            found.append("~ the order of the routes")
        found += [f"~ {key}" for key in self.settings if key not in self.restart]
        found += [f"! {key} needs a restart" for key in self.restart]
        return found


def compare(before: Config, after: Config) -> Changes:
    """What is different in `after`."""
    routes = {route.name: route for route in before.routes}, {route.name: route for route in after.routes}
    upstreams = before.all_upstreams(), after.all_upstreams()
    settings = [key for key in _keys(before, after) if key.partition(".")[0] not in _NAMED]
    return Changes(
        routes=_difference(*routes),
        upstreams=_difference(*upstreams, without=("targets",)),
        targets=_difference(_targets(upstreams[0]), _targets(upstreams[1])),
        settings=settings,
        restart=[key for key in settings if key.startswith(NEEDS_RESTART)],
        reordered=[name for name in routes[0] if name in routes[1]] != [name for name in routes[1] if name in routes[0]],
    )


def _targets(upstreams: Mapping[str, Any]) -> dict[str, Options]:
    return {f"{name}/{target.url}": target for name, upstream in upstreams.items() for target in upstream.targets}


def _difference(before: Mapping[str, Options], after: Mapping[str, Options], without: tuple[str, ...] = ()) -> Difference:
    changed = {
        name: keys
        for name in after
        if name in before and (keys := [key for key in _keys(before[name], after[name]) if key not in without])
    }
    return Difference(
        [name for name in after if name not in before], [name for name in before if name not in after], changed
    )


def _keys(before: Options, after: Options) -> list[str]:
    """The dotted keys that differ; of tables that only one of them has, the table's own."""
    found = []
    for key in type(after).model_fields:
        old, new = getattr(before, key), getattr(after, key)
        if old == new:
            continue
        if isinstance(old, Options) and isinstance(new, Options) and type(old) is type(new):
            found += [f"{key}.{inner}" for inner in _keys(old, new)]
        else:
            found.append(key)
    return found
