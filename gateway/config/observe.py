"""`[access_log]` and `[admin]`: what the gateway tells about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.faults import Wrong
from gateway.config.options import FromEnvironment, Options, described
from gateway.config.texts import FileToWrite


class AccessLogOptions(Options):
    """One line for each exchange."""

    format: Literal["json", "combined", "off"] = Field(default="json", description="How a line is written")
    path: FileToWrite | None = Field(default=None, description="A file; standard output if left out")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if given.get("format") == "off" and given.get("path") is not None:
            yield Wrong('has no effect with format = "off"', "leave it out", ("path",))


def _path_or_off(value: object) -> object:
    if value is False or (isinstance(value, FromEnvironment) and value == "false"):
        return None
    if not isinstance(value, str):
        raise Wrong(f"a path or false is wanted, not {described(value)}")
    return value


def _admin_path(path: str | None) -> str | None:
    if path is None:
        return None
    if not path.startswith("/") or not path.strip("/"):
        raise Wrong(f'"{path}" is not a path for the gateway alone', 'write for example "/-"')
    if any(char in path for char in "*{}?#%"):
        raise Wrong(f'"{path}" is not a plain path', 'write for example "/-"')
    return path.rstrip("/")


class AdminOptions(Options):
    path: Annotated[
        str | None,
        BeforeValidator(_path_or_off, json_schema_input_type=str | Literal[False]),
        AfterValidator(_admin_path),
    ] = Field(default="/-", description="Where healthz and readyz are served, on every host; false for nowhere")
