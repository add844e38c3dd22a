"""From pydantic's errors to faults: our words, and where the key stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.config.faults import Wrong
from gateway.config.options import described, without_quotes
from gateway.config.words import hint_for_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from gateway.config.faults import Fault
    from gateway.config.source import Source

_CHOICE = re.compile(r"'((?:[^'\\]|\\.)*)'|(\d+)")
_WANTED: Final = {
    "string_type": "a text in quotes",
    "path_type": "a path in quotes",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def faults_of(error: ValidationError, source: Source) -> Iterator[Fault]:
    """One for each error, each key's first where a key has the same twice."""
    told = set()
    for details in error.errors(include_url=False):
        path = tuple(part for part in details["loc"] if part != "[key]")
        message, hint = _explained(details)
        if (path, message) not in told:
            told.add((path, message))
            yield source.fault(path, message, hint)


def _explained(details: ErrorDetails) -> tuple[str, str]:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "value_error":
        return _refused(context["error"])
    if kind in _PLAIN:
        return _PLAIN[kind], ""
    if kind == "literal_error":
        return _not_a_choice(value, context)
    if kind in _WANTED:
        return f"{_WANTED[kind]} is wanted, not {described(value)}", _type_hint(kind, value, details["loc"][-1])
    if kind in _BOUNDS:
        wording, bound = _BOUNDS[kind]
        return wording.format(context[bound]), ""
    return details["msg"][:1].lower() + details["msg"][1:], ""


_PLAIN: Final = {
    "missing": "is missing",
    "too_short": "is empty",  # nothing here has to be longer than one
    "string_too_short": "is empty",
}
_BOUNDS: Final = {
    "greater_than": ("must be more than {}", "gt"),
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than_equal": ("must be at most {}", "le"),
}


def _refused(error: Any) -> tuple[str, str]:
    return (error.message, error.hint) if isinstance(error, Wrong) else (str(error), "")


def _not_a_choice(value: object, context: dict[str, Any]) -> tuple[str, str]:
    choices = [quoted or number for quoted, number in _CHOICE.findall(context["expected"])]
    if isinstance(value, str):
        return f'"{value}" is none of the choices', hint_for_value(value, choices)
    return f"{described(value)} is none of the choices", "choose from " + ", ".join(choices)


def _type_hint(kind: str, value: object, key: object) -> str:
    if kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f'write "{value}"'
    if kind == "list_type" and isinstance(value, str):
        return f'write ["{value}"]'
    if kind == "list_type" and isinstance(value, Mapping):
        return f"write [[{key}]]"
    return without_quotes(value) if kind not in ("string_type", "list_type") else ""
