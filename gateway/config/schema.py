"""The JSON Schema of `routes.toml`, for editors."""

from __future__ import annotations

from typing import Any, Final

from gateway.config.model import Config

# A text with a reference may stand wherever a number, a switch, a duration or one of several words may.
_REFERENCE: Final = {"type": "string", "pattern": r"\$\{"}
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"  # the one that TOML editors know


def json_schema() -> dict[str, Any]:
    schema = _open(Config.model_json_schema(ref_template="#/definitions/{model}"))
    definitions = schema.pop("$defs", {})
    return {"$schema": _DIALECT, **schema, "title": "routes.toml of Gateway", "definitions": definitions}


def _open(node: Any) -> Any:
    """The same without pydantic's titles, and open for references."""
    if isinstance(node, list):
        return [_open(item) for item in node]
    if not isinstance(node, dict):
        return node
    opened = {key: _opened(key, value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if not _takes_references(opened):
        return opened
    outer = {key: opened.pop(key) for key in ("description", "default") if key in opened}
    return {**outer, "anyOf": [opened, _REFERENCE]}


def _opened(key: str, value: Any) -> Any:
    if key in ("properties", "$defs") and isinstance(value, dict):
        return {name: _open(item) for name, item in value.items()}
    return value if key in ("default", "examples", "enum", "required") else _open(value)


def _takes_references(node: dict[str, Any]) -> bool:
    return "enum" in node or "pattern" in node or node.get("type") in ("integer", "number", "boolean")
