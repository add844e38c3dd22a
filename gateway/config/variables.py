"""What the environment gives: `${VAR}` in any text, and single keys by `GATEWAY__PATH__TO__KEY`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.config.faults import KeyPath, Wrong
from gateway.config.options import FromEnvironment

OVERRIDE: Final = "GATEWAY__"
LISTEN: Final = "GATEWAY_LISTEN"
WORKERS: Final = "WEB_CONCURRENCY"
ADMIN: Final[Mapping[str, KeyPath]] = {
    "GATEWAY_ADMIN": ("admin", "listen"),
    "GATEWAY_ADMIN_TOKEN": ("admin", "token"),
}

_REFERENCE = re.compile(
    r"\$\$\{"
    r"|\$\{(?:file:(?P<file>[^}]*)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?)\}"
    r"|\$\{(?P<bad>[^}]*)\}?"
)
_FORMS: Final = "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ for a plain ${"


class Filling:
    """Fills in a configuration's texts; `faults` are the references that lead nowhere."""

    def __init__(self, environ: Mapping[str, str], base: Path) -> None:
        self._environ = environ
        self._base = base
        self.faults: list[Wrong] = []

    def fill(self, value: Any, at: KeyPath = ()) -> Any:
        """The value with its references filled in; tables and lists are new ones."""
        if isinstance(value, str):
            return self._text(value, at) if "${" in value and not isinstance(value, FromEnvironment) else value
        if isinstance(value, dict):
            return {key: self.fill(item, (*at, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item, (*at, index)) for index, item in enumerate(value)]
        return value

    def _text(self, text: str, at: KeyPath) -> str:
        def replacement(match: re.Match[str]) -> str:
            try:
                return self._resolve(match)
            except Wrong as wrong:
                wrong.at = at
                self.faults.append(wrong)
                return match[0]

        return FromEnvironment(_REFERENCE.sub(replacement, text))

    def _resolve(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match["bad"] is not None:
            raise Wrong(f'"{match[0]}" is not a reference', _FORMS)
        if match["file"] is not None:
            return self._file(match["file"])
        name, default = match["name"], match["default"]
        value = self._environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            raise Wrong(f"the environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
        return value

    def _file(self, path: str) -> str:
        """Without the final newline, which editors and secret stores put there."""
        try:
            return (self._base / path).read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
            raise Wrong(f'"{path}" cannot be read: {reason}') from None


def overrides(data: dict[str, Any], environ: Mapping[str, str]) -> Iterator[tuple[KeyPath, Any, str]]:
    """Path, value and the variable's name of all that the environment puts over the file."""
    server = data.get("server")
    if listen := environ.get(LISTEN):
        yield ("server", "listen"), [FromEnvironment(entry.strip()) for entry in listen.split(",")], LISTEN
    if (workers := environ.get(WORKERS)) and not (isinstance(server, dict) and "workers" in server):
        yield ("server", "workers"), FromEnvironment(workers), WORKERS
    for name, path in ADMIN.items():
        if value := environ.get(name):
            yield path, FromEnvironment(value), name
    for name in sorted(environ):
        if name.startswith(OVERRIDE):
            yield _path(data, name.removeprefix(OVERRIDE).split("__")), FromEnvironment(environ[name]), name


def _path(data: object, words: list[str]) -> KeyPath:
    """Which keys the words of a variable's name mean: numbers are indices, names of the file's own go before others."""
    path: KeyPath = ()
    for word in words:
        if isinstance(data, list) and word.isdecimal():
            index = int(word)
            path = (*path, index)
            data = data[index] if index < len(data) else None
        else:
            key = _key(data, word)
            path = (*path, key)
            data = data.get(key) if isinstance(data, dict) else None
    return path


def _key(data: object, word: str) -> str:
    """Variables are in capitals and have no hyphens; names of upstreams may be anything."""
    for key in data if isinstance(data, dict) else ():
        if key.replace("-", "_").replace(".", "_").upper() == word.upper():
            return str(key)
    return word.lower()


def put(data: dict[str, Any], path: KeyPath, value: object) -> None:
    """Sets the value in place; tables on the way are made. Raises Wrong where the path leads nowhere."""
    here: Any = data
    for key in path[:-1]:
        if isinstance(here, dict):
            here = here.setdefault(key, {})
        else:
            _ask_for(here, key)
            here = here[key]
    if not isinstance(here, dict):
        _ask_for(here, path[-1])
    here[path[-1]] = value


def _ask_for(items: object, index: str | int) -> None:
    if not isinstance(items, list) or not isinstance(index, int) or index >= len(items):
        raise Wrong("there is nothing in the file that this could change")
