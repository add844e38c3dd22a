"""How an upstream stays up: probes of its targets, ejection of those that fail."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from gateway.config.faults import Wrong
from gateway.config.inherited import switch
from gateway.config.options import Options, Whole
from gateway.config.texts import Method, Statuses
from gateway.config.units import Percent, PositiveDuration
from gateway.policies.headers import field_name, field_value

_ORIGIN_FORM: Final = re.compile(r"/[!-\"$-~]*", re.ASCII)  # no fragment


class HealthCheckOptions(Options):
    """Each target is asked now and then whether it is well."""

    path: str = Field(default="/", description="What is asked for, with the query")
    method: Method = Field(default="GET", description="How")
    headers: dict[str, str] = Field(default={}, description="Header fields of the request; Host too")
    interval: PositiveDuration = Field(default=5.0, description="Between two probes; a tenth more or less by chance")
    timeout: PositiveDuration = Field(default=2.0, description="For the whole probe")
    passes: Whole = Field(default=2, ge=1, le=100, description="Good probes in a row that bring it up again")
    fails: Whole = Field(default=3, ge=1, le=100, description="Bad probes in a row that take it down")
    status: Statuses = Field(default=["2xx"], min_length=1, description='Good answers: "200" or "2xx"')
    body: str = Field(default="", description="Text that a good answer contains, in its first 64 KiB")
    start: Literal["up", "down"] = Field(
        default="up", description="Before the first verdict: used (up), or not before it has passed (down)"
    )

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        path = given.get("path")
        if isinstance(path, str) and not _ORIGIN_FORM.fullmatch(path):
            hint = "write it as it is sent, percent-encoded" if path.startswith("/") else f'write "/{path}"'
            yield Wrong(f'"{path}" is not a path', hint, ("path",))
        headers = given.get("headers")
        for name, value in headers.items() if isinstance(headers, Mapping) else ():
            try:
                field_name(name)
                if isinstance(value, str):
                    field_value(name, value)
            except ValueError as exc:
                yield Wrong(str(exc), at=("headers", name))


class PassiveOptions(Options):
    """Targets on which requests fail are left out for a while."""

    max_fails: Whole = Field(default=3, ge=1, description="Failures in a row that eject a target")
    fail_timeout: PositiveDuration = Field(
        default=10.0, description="In which time they are counted, and for how long the target is out at first"
    )
    status: Statuses = Field(default=["502", "503", "504"], description="Answers that count as failures")
    error_rate: Percent | None = Field(default=None, description="Also: failures among the attempts that eject a target")
    min_requests: Whole = Field(default=20, ge=1, description="Attempts before error_rate counts")
    max_ejected: Percent = Field(default=0.5, description="How many of the targets may be out; one always stays")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if given.get("min_requests") is not None and given.get("error_rate") is None:
            yield Wrong("has no effect without error_rate", "add error_rate", ("min_requests",))


PassiveSwitch = Annotated[
    PassiveOptions | bool, BeforeValidator(switch(PassiveOptions), json_schema_input_type=PassiveOptions | bool)
]
