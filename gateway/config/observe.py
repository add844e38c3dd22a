"""`[access_log]` and `[admin]`: what the gateway tells about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.addresses import ListenAddress, split_listen
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


def _token(text: str) -> str | None:
    """An empty one, as of an environment variable that is not set, is none."""
    if not text.isascii() or any(char.isspace() for char in text):
        raise Wrong("a token is of ASCII characters without spaces", "make one: openssl rand -hex 32")
    return text or None


class AdminOptions(Options):
    """Nothing listens unless `listen` is written."""

    path: Annotated[
        str | None,
        BeforeValidator(_path_or_off, json_schema_input_type=str | Literal[False]),
        AfterValidator(_admin_path),
    ] = Field(default="/-", description="Where healthz and readyz are served, on every host; false for nowhere")
    listen: ListenAddress | None = Field(
        default=None, description='Where the admin API is served, "127.0.0.1:9901" for example; nowhere if left out'
    )
    token: Annotated[str, AfterValidator(_token)] | None = Field(
        default=None, description="What its clients must show as a bearer; needed where others than this machine can connect"
    )

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        listen, token = given.get("listen"), given.get("token")
        if listen is None and token:
            yield Wrong("has no effect without listen", 'add listen = "127.0.0.1:9901"', ("token",))
        if isinstance(listen, str) and not token and not _is_of_this_machine(listen):
            yield Wrong(f'"{listen}" can be reached by others', "add a token, or listen on 127.0.0.1", ("listen",))


def _is_of_this_machine(listen: str) -> bool:
    try:
        where = split_listen(listen)
    except ValueError:
        return True  # a fault of its own
    if where.path or where.host == "localhost":
        return True
    try:
        return ip_address(where.host).is_loopback
    except ValueError:
        return False
