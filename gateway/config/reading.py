"""From the text of a `routes.toml` to a `Config`, or to everything that is wrong with it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.config.explain import faults_of
from gateway.config.faults import ConfigError, Fault, Wrong
from gateway.config.model import Config
from gateway.config.options import Reading
from gateway.config.positions import Positions
from gateway.config.source import Source
from gateway.config.variables import Filling, overrides, put

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: str | Path) -> Config:
    """The configuration in a file, with what the environment puts over it. Raises ConfigError."""
    name = str(path)
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError([Fault(name, 0, 0, "", f"is not UTF-8 at byte {exc.start}")]) from None
    except OSError as exc:
        hint = "-c FILE or GATEWAY_CONFIG names another one" if isinstance(exc, FileNotFoundError) else ""
        raise ConfigError([Fault(name, 0, 0, "", f"cannot be read: {exc.strerror}", hint)]) from None
    return parse(text, name)


def parse(text: str, name: str = "routes.toml", environ: Mapping[str, str] | None = None) -> Config:
    """As `load`. name: for faults, and relative paths start where it lies. environ: the process's if left out."""
    environ = os.environ if environ is None else environ
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([_syntax_fault(exc, text, name)]) from None
    base = Path(name).parent
    source = Source(name, Positions(text))
    wrongs = _override(written, environ, source)
    filling = Filling(environ, base)
    data: dict[str, Any] = filling.fill(written)
    faults = [source.fault(wrong.at, wrong.message, wrong.hint) for wrong in (*wrongs, *filling.faults)]
    config = None
    try:
        config = Config.model_validate(data, context=Reading(base))
    except ValidationError as exc:
        known = {fault.key for fault in faults}
        faults += [fault for fault in faults_of(exc, source) if fault.key not in known]
    if config is None or faults:
        raise ConfigError(sorted(faults, key=lambda fault: (fault.line, fault.column, fault.file)))
    config._source = source
    return config


def build(data: Mapping[str, Any], name: str = "") -> Config:
    """A configuration made in code. Raises ConfigError, with `name` in place of a file's."""
    try:
        return Config.model_validate(data)
    except ValidationError as exc:
        raise ConfigError(faults_of(exc, Source(name))) from None


def _override(data: dict[str, Any], environ: Mapping[str, str], source: Source) -> list[Wrong]:
    """Puts the environment's values into `data`, and the names of their variables into the source."""
    wrongs = []
    for path, value, variable in list(overrides(data, environ)):
        source.variables[path] = variable
        try:
            put(data, path, value)
        except Wrong as wrong:
            wrong.at = path
            wrongs.append(wrong)
    return wrongs


def _syntax_fault(exc: tomllib.TOMLDecodeError, text: str, name: str) -> Fault:
    message = str(exc)
    place = _PLACE.search(message)
    line, column = 0, 0
    if place is not None:
        message = message[: place.start()]
        end = text.count("\n") + 1, len(text) - text.rfind("\n")
        line, column = (int(place[1]), int(place[2])) if place[1] else end
    return Fault(name, line, column, "", f"is not TOML: {message[:1].lower()}{message[1:]}", _syntax_hint(message))


def _syntax_hint(message: str) -> str:
    return "texts need quotes" if message == "Invalid value" else ""
