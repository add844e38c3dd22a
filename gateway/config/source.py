"""Where the values of a configuration were written."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.faults import Fault, KeyPath, dotted
from gateway.config.positions import Positions


@dataclass(frozen=True, slots=True)
class Source:
    """file: as the caller named it; empty for a configuration made in code. variables: the environment variables that
    took the place of what the file says, by path. Configurations are equal wherever they come from, so that a reload
    can tell that nothing has changed."""

    file: str = field(default="", compare=False)
    positions: Positions = field(default_factory=lambda: Positions(""), compare=False)
    variables: dict[KeyPath, str] = field(default_factory=dict, compare=False)

    def fault(self, path: KeyPath, message: str, hint: str = "") -> Fault:
        """A fault at the key, or at the nearest table around it."""
        for length in range(len(path), 0, -1):
            variable = self.variables.get(path[:length])
            if variable is not None:
                return Fault(variable, 0, 0, dotted(path), message, hint)
        line, column = self.positions.of(path)
        return Fault(self.file, line, column, dotted(path), message, hint)
