"""Durations, sizes and percentages: numbers that say their unit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from annotated_types import Gt
from pydantic import BeforeValidator, WithJsonSchema

from gateway.config.faults import Wrong
from gateway.config.options import described

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidationInfo

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES: Final = {
    "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip

_NUMBER = r"\d{1,18}(?:\.\d{1,18})?"
_DURATION_PART = re.compile(rf"({_NUMBER}) *(ms|s|m|h|d)", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})(?: *{_DURATION_PART.pattern})*", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER}) *((?:[KMGT]i?)?B)", re.ASCII | re.IGNORECASE)
_PERCENT = re.compile(rf"({_NUMBER}) *%", re.ASCII)
_BARE = re.compile(_NUMBER, re.ASCII)
_SHORT_SIZE = re.compile(rf"({_NUMBER}) *([kmgt])", re.ASCII | re.IGNORECASE)


def duration(text: str) -> float:
    """Seconds in "250ms", "5s", "1h30m". ValueError where it is none."""
    if not _DURATION.fullmatch(text):
        hint = f'write "{text}s" for seconds' if _BARE.fullmatch(text) else 'write a number and ms, s, m, h or d: "5s"'
        raise Wrong(f'"{text}" is not a duration', hint)
    return sum(float(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def size(text: str) -> int:
    """Bytes in "64KiB", "10MB" (1000 each), "512B". ValueError where it is none."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise Wrong(f'"{text}" is not a size', _size_hint(text))
    number, unit = match[1], match[2].lower()
    if "." in number:
        return round(float(number) * BYTES[unit])
    return int(number) * BYTES[unit]


def percent(text: str) -> float:
    """The share in "20%", from 0.0 to 1.0. ValueError where it is none."""
    match = _PERCENT.fullmatch(text)
    if not match:
        raise Wrong(f'"{text}" is not a percentage', 'write a number and %: "20%"')
    share = float(match[1]) / 100
    if share > 1:
        raise Wrong(f'"{text}" is more than all', 'the most is "100%"')
    return share


def as_duration(seconds: float) -> str:
    """The way to write it: 5400.0 as "90m"."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % SECONDS[unit] == 0:
            return f"{seconds / SECONDS[unit]:.0f}{unit}"
    return f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + "ms" if seconds else "0s"


def as_size(count: int) -> str:
    """The way to write it: 32768 as "32KiB"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count and count % BYTES[unit.lower()] == 0:
            return f"{count // BYTES[unit.lower()]}{unit}"
    return f"{count}B"


def _size_hint(text: str) -> str:
    if _BARE.fullmatch(text):
        return f'write "{text}B" for bytes'
    if short := _SHORT_SIZE.fullmatch(text):
        number, prefix = short[1], short[2].upper()
        return f'write "{number}{prefix}iB" (1024s) or "{number}{prefix}B" (1000s)'
    return 'write a number and B, KiB, MiB, GiB or KB, MB, GB: "64KiB"'


def _reader(parse: Callable[[str], float], what: str, unit: str) -> BeforeValidator:
    """A text by `parse`; a plain number is taken from code, never from a file."""

    def validate(value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if info.context is None:
                return value
            raise Wrong(f"{value} has no unit", f'write "{value}{unit}"')
        raise Wrong(f"{what} is wanted, not {described(value)}", f'write for example "10{unit}"')

    return BeforeValidator(validate)


def _whole_seconds(text: str) -> float:
    seconds = duration(text)
    if not seconds.is_integer():
        raise Wrong(f'"{text}" is not a whole number of seconds')
    return int(seconds)


DURATION_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^\d+(\.\d+)? *(ms|s|m|h|d)( *\d+(\.\d+)? *(ms|s|m|h|d))*$",
    "examples": ["250ms", "5s", "1h30m"],
}
SIZE_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^\d+(\.\d+)? *([KMGTkmgt][Ii]?)?[Bb]$",
    "examples": ["512B", "64KiB", "10MB"],
}

PERCENT_SCHEMA: Final = {"type": "string", "pattern": r"^\d+(\.\d+)? *%$", "examples": ["20%"]}

Duration = Annotated[float, _reader(duration, "a duration", "s"), WithJsonSchema(DURATION_SCHEMA)]
PositiveDuration = Annotated[float, _reader(duration, "a duration", "s"), Gt(0), WithJsonSchema(DURATION_SCHEMA)]
WholeSeconds = Annotated[int, _reader(_whole_seconds, "a duration", "s"), WithJsonSchema(DURATION_SCHEMA)]
Size = Annotated[int, _reader(size, "a size", "B"), WithJsonSchema(SIZE_SCHEMA)]
PositiveSize = Annotated[int, _reader(size, "a size", "B"), Gt(0), WithJsonSchema(SIZE_SCHEMA)]
Percent = Annotated[float, _reader(percent, "a percentage", "%"), Gt(0), WithJsonSchema(PERCENT_SCHEMA)]
