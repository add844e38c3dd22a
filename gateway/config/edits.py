"""`request_headers` and `response_headers`: fields that are set, added and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from gateway.config.faults import Wrong
from gateway.config.options import Options
from gateway.policies.headers import RequestHeaders, ResponseHeaders


class HeaderEdits(Options):
    """Values may hold {client_ip}, {host}, {request_id}, {scheme} and {route}."""

    policy: ClassVar[Callable[..., object]]

    set: dict[str, str] = Field(default={}, description="In place of all fields of that name")
    add: dict[str, str] = Field(default={}, description="One more field of that name")
    remove: list[str] = Field(default=[], description="All fields of that name")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if not given:
            yield Wrong("is empty", "give set, add or remove")
        for key in ("set", "add"):
            fields = given.get(key)
            for name, value in fields.items() if isinstance(fields, Mapping) else ():
                if isinstance(value, str):
                    yield from cls._refusal((key, name), {key: {name: value}})
        removed = given.get("remove")
        names = list(removed) if isinstance(removed, list | tuple) else []
        for index, name in enumerate(names):
            if isinstance(name, str):
                yield from cls._refusal(("remove", index), {"remove": [name]})
        yield from _both(given.get("set"), names)

    @classmethod
    def _refusal(cls, at: tuple[str | int, ...], options: dict[str, Any]) -> Iterator[Wrong]:
        try:
            cls.policy(**options)
        except ValueError as exc:
            yield Wrong(str(exc), at=at)


class RequestHeaderEdits(HeaderEdits):
    policy = RequestHeaders


class ResponseHeaderEdits(HeaderEdits):
    policy = ResponseHeaders


def _both(fields: object, removed: list[Any]) -> Iterator[Wrong]:
    written = {name.lower() for name in fields} if isinstance(fields, Mapping) else set()
    for index, name in enumerate(removed):
        if isinstance(name, str) and name.lower() in written:
            yield Wrong(f'"{name}" is both set and removed', "set alone replaces it", ("remove", index))
