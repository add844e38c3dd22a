"""The JSON Schema of `routes.toml`, for editors: pydantic's, in terms of what TOML can write."""

from __future__ import annotations

from typing import Any, Final

from gateway.config.model import Config
from gateway.config.units import DURATION_SCHEMA, SIZE_SCHEMA, as_duration, as_size

# A text with a reference may stand wherever a number, a switch, a duration or one of several words may.
_REFERENCE: Final = {"type": "string", "pattern": r"\$\{"}
_NULL: Final = {"type": "null"}  # TOML has none
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"  # the one that TOML editors know
_NOT_SCHEMAS: Final = ("default", "examples", "enum", "required")


def json_schema() -> dict[str, Any]:
    schema = _open(Config.model_json_schema(ref_template="#/definitions/{model}"))
    definitions = schema.pop("$defs")
    return {"$schema": _DIALECT, **schema, "title": "routes.toml of Gateway", "definitions": definitions}


def _open(node: Any) -> Any:
    """The same without pydantic's titles and nulls, with defaults as they are written, and open for references."""
    if isinstance(node, list):
        return [_open(item) for item in node if item != _NULL]
    if not isinstance(node, dict):
        return node
    opened = {key: _opened(key, value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if len(opened.get("anyOf", ())) == 1:
        opened |= opened.pop("anyOf")[0]
    _write_default(opened)
    if not _takes_references(opened):
        return opened
    outer = {key: opened.pop(key) for key in ("description", "default") if key in opened}
    return {**outer, "anyOf": [opened, _REFERENCE]}


def _opened(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):
        return {name: _open(item) for name, item in value.items()}
    return value if key in _NOT_SCHEMAS else _open(value)


def _write_default(node: dict[str, Any]) -> None:
    default = node.get("default", "")
    if isinstance(default, dict) or default is None:
        del node["default"]  # that of a table is those of its keys
    elif node.get("pattern") == DURATION_SCHEMA["pattern"] and default != "":
        node["default"] = as_duration(default)
    elif node.get("pattern") == SIZE_SCHEMA["pattern"] and default != "":
        node["default"] = as_size(default)


def _takes_references(node: dict[str, Any]) -> bool:
    return "enum" in node or "pattern" in node or node.get("type") in ("integer", "number", "boolean")
