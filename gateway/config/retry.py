"""`retry`: what is sent again, to another target, when an attempt fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.config.faults import Wrong
from gateway.config.options import Options, Switch, Whole, described, whole
from gateway.config.texts import Method, read_status, statuses
from gateway.config.units import Duration, Percent, PositiveDuration
from gateway.config.words import hint_for_value
from gateway.limits.retry import Reason, RetryRules
from gateway.rfc.message import IDEMPOTENT

_REASONS: Final = {reason.value: reason for reason in Reason}
_SCHEMA: Final = {
    "anyOf": [{"enum": list(_REASONS)}, {"type": "string", "pattern": r"^[1-5](\d\d|xx)$", "examples": ["503", "5xx"]}]
}


def _reason(value: object) -> object:
    if isinstance(value, str) and value in _REASONS:
        return value
    if isinstance(value, str) and not value[:1].isdigit():
        raise Wrong(f'"{value}" is no reason to send a request again', hint_for_value(value, _REASONS))
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise Wrong(f"a word or a status is wanted, not {described(value)}", 'write "refused" or "503"')
    return read_status(value)


ReasonWord = Annotated[str, BeforeValidator(_reason), WithJsonSchema(_SCHEMA)]


class RetryOptions(Options):
    retries: Whole = Field(
        default=1, ge=0, le=20, description="For each request, those apart that follow on what was never sent"
    )
    on: list[ReasonWord] = Field(
        default=["connect", "refused", "502", "503", "504"],
        min_length=1,
        description="connect, refused, timeout, invalid and statuses of answers",
    )
    methods: list[Method] = Field(
        default=sorted(method.decode() for method in IDEMPOTENT),
        description="Which may be sent again after something of them was sent",
    )
    budget: Percent = Field(default=0.2, description="Retries as a share of the upstream's attempts")
    min_per_second: Whole = Field(default=3, ge=0, description="Retries that the budget affords in any case")
    backoff: Duration = Field(default=0.025, description="The mean pause before the first retry; it doubles with each")
    per_try_timeout: PositiveDuration | None = Field(
        default=None, description="To connect and for the first byte, where another attempt may follow"
    )
    hedge: Switch = Field(
        default=False, description="A second attempt beside a first one that is slower than 95 % of all"
    )

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        methods = given.get("methods")
        for index, method in enumerate(methods if isinstance(methods, list | tuple) else ()):
            if isinstance(method, str) and method.isupper() and method.encode() not in IDEMPOTENT:
                hint = "what was never sent goes to the next target whatever its method"
                yield Wrong(f"{method} must not be sent twice", hint, ("methods", index))
        on = given.get("on")
        if given.get("per_try_timeout") is not None and "timeout" not in (on if isinstance(on, list | tuple) else ()):
            yield Wrong('has no effect without "timeout" in on', 'add "timeout" to on', ("per_try_timeout",))
        if whole(given.get("retries")) == 0:
            for key in ("methods", "budget", "min_per_second", "backoff", "per_try_timeout", "hedge"):
                if given.get(key) is not None:
                    yield Wrong("has no effect with retries = 0", "leave it out", (key,))

    def rules(self) -> RetryRules:
        return RetryRules(
            retries=self.retries,
            reasons=frozenset(_REASONS[word] for word in self.on if word in _REASONS),
            statuses=statuses([word for word in self.on if word not in _REASONS]),
            methods=frozenset(method.encode() for method in self.methods),
            budget=self.budget,
            min_per_second=self.min_per_second,
            backoff=self.backoff,
            per_try_timeout=self.per_try_timeout,
            hedge=self.hedge,
        )
