"""Texts of a certain form: header names, hosts, paths, networks, files. The rules lie where they are applied."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from gateway.config.faults import Wrong
from gateway.config.options import Reading, described, several
from gateway.policies.headers import field_name
from gateway.policies.template import SOURCES
from gateway.rfc.forwarded import Networks
from gateway.rfc.uri import valid_host
from gateway.router import FieldMatch, PathPattern, compile_path

PRESERVE: Final = "preserve"
UPSTREAM: Final = "upstream"

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_STATUS = re.compile(r"[1-5](?:\d\d|xx)", re.ASCII)
_STATUS_SCHEMA: Final = {"type": "string", "pattern": r"^[1-5](\d\d|xx)$", "examples": ["200", "5xx"]}
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)


def _header_name(name: str) -> str:
    field_name(name)
    return name


def _network(text: str) -> str:
    Networks([text])
    return text


def _host(text: str) -> str:
    """In lowercase, as requests are compared."""
    name = text.removeprefix("*.")
    if text == "*":
        raise Wrong("a route without host takes every host", "leave host out")
    if "://" in text or "/" in text:
        raise Wrong(f'"{text}" is not a host name', 'write the name alone: "example.com"')
    if not name.isascii():
        raise Wrong(f'"{text}" is not ASCII', _punycode(text))
    if "*" in name:
        raise Wrong(f'"{text}" has a "*" in the wrong place', 'only the whole first label may be "*": "*.example.com"')
    if not name.startswith("[") and ":" in name:
        raise Wrong(f'"{text}" has a port', f'routes match any port: write "{text.rpartition(":")[0]}"')
    if not valid_host(name.encode()):
        raise Wrong(f'"{text}" is not a host name', 'write a name such as "example.com" or "*.example.com"')
    return text.lower().removesuffix(".")


def _punycode(text: str) -> str:
    try:
        return f'write "{text.encode("idna").decode()}"'
    except UnicodeError:
        return "write its xn-- form"


def _path_pattern(text: str) -> str:
    if "://" in text:
        raise Wrong(f'"{text}" is not a path', "the host is matched by host, the path begins with /")
    if text and not text.startswith("/"):
        raise Wrong(f'"{text}" does not begin with "/"', f'write "/{text}"')
    if "?" in text or "#" in text:
        raise Wrong(f'"{text}" has a query or fragment', "match parameters by query = { NAME = VALUE }")
    if text.endswith("*") and not text.endswith("/*") and text.count("*") == 1:
        raise Wrong(f'"{text}" has a "*" within a segment', f'write "{text[:-1]}/*", or use path_regex')
    if "%" in text:
        raise Wrong(f'"{text}" is percent-encoded', "routes match the decoded path: write it decoded")
    if any(segment in (".", "..") for segment in text.split("/")) or "//" in text:
        raise Wrong(f'"{text}" can match nothing: requests are matched without dot and empty segments')
    _ask_names(compile_path(text))
    return text


def _path_regex(text: str) -> str:
    _ask_names(PathPattern.from_regex(text))
    return text


def _ask_names(pattern: PathPattern) -> None:
    for name in pattern.names:
        if name in SOURCES:
            raise Wrong(f"{{{name}}} means something else in every text", "choose another name for the capture")


def _prefix(text: str) -> str:
    if not text.startswith("/"):
        raise Wrong(f'"{text}" does not begin with "/"', f'write "/{text}"')
    if "*" in text or "{" in text:
        raise Wrong(f'"{text}" is a pattern', "write a plain prefix, or use rewrite")
    if "?" in text or "#" in text:
        raise Wrong(f'"{text}" has a query or fragment', "write a path alone")
    if not text.rstrip("/"):
        raise Wrong('"/" changes nothing', "leave it out")
    return text.rstrip("/")


def _method(text: str) -> str:
    if text == "*":
        raise Wrong("a route without methods takes every method", "leave methods out")
    if not _METHOD.fullmatch(text):
        raise Wrong(f'"{text}" is not a method', 'write for example "GET"')
    if text != text.upper():
        raise Wrong(f'"{text}" is not a method: methods are case-sensitive', f'write "{text.upper()}"')
    return text


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise Wrong(f'"{text}" is not a name', "names are of letters, digits, _ . and -")
    return text


def _condition(text: str) -> str:
    FieldMatch("condition", text)
    return text


def _host_value(text: str) -> str:
    """What Host says: one of the two words, or a host with or without a port."""
    if text not in (PRESERVE, UPSTREAM) and not valid_host(text.encode()):
        raise Wrong(f'"{text}" is not a host', 'write "preserve", "upstream" or a host such as "example.com"')
    return text


def read_status(value: object) -> str:
    """ "503" or "5xx", as text or number."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise Wrong(f"a status is wanted, not {described(value)}", 'write "503" or "5xx"')
    if not _STATUS.fullmatch(text):
        raise Wrong(f'"{text}" is not a status', 'write "503" or "5xx"')
    return text


def statuses(words: list[str]) -> frozenset[int]:
    """The numbers that "503" and "5xx" stand for."""
    found: set[int] = set()
    for word in words:
        first = int(word[0]) * 100
        found.update(range(first, first + 100) if word.endswith("xx") else [int(word)])
    return frozenset(found)


def _base(info: ValidationInfo) -> Path:
    return info.context.base if isinstance(info.context, Reading) else Path()


def _existing_file(path: Path, info: ValidationInfo) -> Path:
    found = _base(info) / path
    if not found.exists():
        raise Wrong(f'"{found}" does not exist')
    if not found.is_file():
        raise Wrong(f'"{found}" is not a file')
    if not os.access(found, os.R_OK):
        raise Wrong(f'"{found}" cannot be read by this user')
    return found


def _file_to_write(path: Path, info: ValidationInfo) -> Path:
    found = _base(info) / path
    if found.is_dir():
        raise Wrong(f'"{found}" is a directory', "name a file in it")
    if not found.parent.is_dir():
        raise Wrong(f'"{found.parent}", where the file would lie, does not exist')
    return found


HeaderName = Annotated[str, AfterValidator(_header_name)]
Network = Annotated[str, AfterValidator(_network)]
Host = Annotated[str, AfterValidator(_host)]
PathText = Annotated[str, AfterValidator(_path_pattern)]
PathRegex = Annotated[str, AfterValidator(_path_regex)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Method = Annotated[str, AfterValidator(_method)]
Label = Annotated[str, AfterValidator(_label)]
Condition = Annotated[str, AfterValidator(_condition)]
HostValue = Annotated[str, AfterValidator(_host_value)]
ExistingFile = Annotated[Path, AfterValidator(_existing_file)]
FileToWrite = Annotated[Path, AfterValidator(_file_to_write)]
Status = Annotated[str, BeforeValidator(read_status), WithJsonSchema(_STATUS_SCHEMA)]
Statuses = Annotated[list[Status], BeforeValidator(several, json_schema_input_type=list[Status] | Status)]
Hosts = Annotated[list[Host], BeforeValidator(several, json_schema_input_type=list[str] | str)]
