"""`targets`: addresses that requests are forwarded to, in `routes.toml` or in a file of their own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from gateway.config.addresses import TargetUrl
from gateway.config.explain import faults_of
from gateway.config.faults import ConfigError, Fault, Wrong
from gateway.config.options import Options, Reading, Switch, Whole, read
from gateway.config.positions import Positions
from gateway.config.source import Source

_ASGI = "asgi://"


class TargetOptions(Options):
    """One address that requests are forwarded to."""

    url: TargetUrl = Field(description="http://host:port, https://host, unix:/path or asgi://module:app")
    weight: Whole = Field(default=1, ge=1, le=1000, description="Its part of the requests, beside those of the others")
    priority: Whole = Field(
        default=0, ge=0, le=100, description="Only targets of the lowest number that has a ready one are used"
    )
    backup: Switch = Field(default=False, description="Used only while no target without this word is ready")


def _target(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


Targets = list[Annotated[TargetOptions, BeforeValidator(_target, json_schema_input_type=TargetOptions | str)]]


class TargetsFile(Options):
    """A file of targets, TOML or JSON. An empty list is one."""

    targets: Targets = Field(description="Tables with url and weight, or the URLs alone")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        urls = urls_of(given.get("targets"))
        yield from repeated(urls)
        for index, url in enumerate(urls):
            if isinstance(url, str) and url.startswith(_ASGI):
                yield Wrong("an app of this process cannot come and go", "list it in targets of an upstream", ("targets", index))


def read_targets(path: Path) -> list[TargetOptions]:
    """The targets in a file. Raises ConfigError with all that is wrong with it."""
    name = str(path)
    try:
        text = path.read_text("utf-8")
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as exc:
        raise ConfigError([Fault(name, 0, 0, "", f"cannot be read: {exc.strerror}")]) from None
    except ValueError as exc:  # of both parsers, and of the encoding
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError([Fault(name, 0, 0, "", f"is not {kind}: {exc}")]) from None
    source = Source(name, Positions(text if path.suffix != ".json" else ""))
    if not isinstance(given, Mapping):
        raise ConfigError([source.fault((), "is not a table", 'write {"targets": [...]}')])
    try:
        return TargetsFile.model_validate(given, context=Reading(path.parent)).targets
    except ValidationError as exc:
        raise ConfigError(faults_of(exc, source)) from None


# ---------------------------------------------------------------- what holds between them


def listed(targets: object) -> Sequence[object]:
    """A list as it is given; empty for what is none."""
    return targets if isinstance(targets, list | tuple) else ()


def urls_of(targets: object) -> list[object]:
    """What each of a list, as it is given, has for a URL."""
    return [item if isinstance(item, str) else read(item, "url") for item in listed(targets)]


def repeated(urls: list[object]) -> Iterator[Wrong]:
    for index, url in enumerate(urls):
        if url is not None and url in urls[:index]:
            yield Wrong(f'"{url}" is there twice', "give it a weight instead", ("targets", index))


def missing_targets(given: Mapping[str, Any], meant: set[str]) -> Iterator[Wrong]:
    """meant: the keys that unknown ones stand for."""
    if given.get("targets") == []:
        yield Wrong("is empty", at=("targets",))
    elif given.get("targets") is None and not meant & {"targets", "discover"}:
        yield Wrong("is missing", "list targets, or say by discover where they are found", ("targets",))
