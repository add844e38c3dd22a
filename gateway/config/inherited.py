"""What `[defaults]` gives to every route and upstream, and each may override: timeouts, compression, HSTS, retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo

from gateway.config.faults import KeyPath, Wrong
from gateway.config.options import FromEnvironment, Options, Switch, Whole, described, switched, whole
from gateway.config.retry import RetryOptions
from gateway.config.units import PositiveDuration, Size, WholeSeconds
from gateway.policies.compression import DEFAULT_MIN_SIZE, DEFAULT_TYPES
from gateway.policies.compression import Compression as CompressionPolicy
from gateway.policies.headers import StrictTransportSecurity

Switched = TypeVar("Switched", bound=Options)


def _or_none(value: object) -> object:
    return None if value == "none" else value


class Timeouts(Options):
    """Seconds. Only what is written overrides: see `over`."""

    connect: PositiveDuration = Field(default=3.0, description="To reach a target, with TLS")
    pool: PositiveDuration = Field(default=5.0, description="To wait for a free connection")
    first_byte: PositiveDuration = Field(default=60.0, description="From the sent request to the head of its response")
    read: PositiveDuration = Field(default=60.0, description="Between two pieces of the response")
    write: PositiveDuration = Field(default=60.0, description="For the target to take a piece of the request")
    stream_idle: PositiveDuration = Field(default=3600.0, description="Silence in event streams and WebSockets")
    total: Annotated[
        PositiveDuration | None, BeforeValidator(_or_none, json_schema_input_type=PositiveDuration | Literal["none"])
    ] = Field(default=None, description='The whole exchange; "none" for no bound')

    def over(self, base: Timeouts) -> Timeouts:
        """These where they were given, the others from `base`."""
        return base.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Compression(Options):
    """Responses are compressed when the client takes it, their type is listed and they are large enough."""

    types: list[str] = Field(default=list(DEFAULT_TYPES), description="Media types; * for any characters in a part")
    exclude: list[str] = Field(default=[], description="Media types that are left out of types")
    min_size: Size = Field(default=DEFAULT_MIN_SIZE, description="Smaller responses stay as they are")
    encodings: list[str] | None = Field(
        default=None, description="zstd, br and gzip, the preferred one first; all that are installed if left out"
    )
    levels: dict[str, Whole] = Field(default={}, description="Levels by encoding")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        for key in ("types", "exclude", "encodings"):
            items = given.get(key)
            for index, item in enumerate(items if isinstance(items, list | tuple) else ()):
                if isinstance(item, str):
                    yield from _refusal((key, index), {key: [item]})
        yield from _level_faults(given.get("levels"), given.get("encodings"))


def _level_faults(levels: object, encodings: object) -> Iterator[Wrong]:
    """encodings: as given; where they are wrong themselves, nothing can be said about levels."""
    if encodings is not None:
        if not isinstance(encodings, list | tuple) or not all(isinstance(name, str) for name in encodings):
            return
        if not encodings:
            yield from _refusal(("encodings",), {"encodings": []})
        if list(_refusal((), {"encodings": encodings})):
            return
    for name, level in levels.items() if isinstance(levels, Mapping) else ():
        if (number := whole(level)) is not None:
            yield from _refusal(("levels", name), {"encodings": encodings, "levels": {name: number}})


def _refusal(at: KeyPath, options: dict[str, Any]) -> Iterator[Wrong]:
    try:
        CompressionPolicy(**options)
    except ValueError as exc:
        yield Wrong(str(exc), at=at)


class Hsts(Options):
    """Strict-Transport-Security for responses over HTTPS (RFC 6797)."""

    max_age: WholeSeconds = Field(default=365 * 86400, description="How long browsers remember to come by HTTPS alone")
    include_subdomains: Switch = Field(default=False, description="Also for all names below")
    preload: Switch = Field(default=False, description="May be taken into the browsers' lists")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        if switched(given.get("preload")) and not switched(given.get("include_subdomains")):
            yield Wrong("the lists take whole domains only", "add include_subdomains = true", ("preload",))

    def policy(self) -> StrictTransportSecurity:
        return StrictTransportSecurity(self.max_age, include_subdomains=self.include_subdomains, preload=self.preload)


def switch(model: type[Switched]) -> Callable[[object, ValidationInfo], object]:
    """`true` for the defaults of the options, `false` for off, or a table."""

    def validate(value: object, info: ValidationInfo) -> object:
        if isinstance(value, FromEnvironment) and value in ("true", "false"):
            value = value == "true"
        if value is True:
            return model()
        if value is False or value is None or isinstance(value, model):
            return value
        if not isinstance(value, Mapping):
            raise Wrong(f"a table, true or false is wanted, not {described(value)}")
        return model.model_validate(value, context=info.context)

    return validate


CompressionSwitch = Annotated[
    Compression | bool | None,
    BeforeValidator(switch(Compression), json_schema_input_type=Compression | bool),
]
RetrySwitch = Annotated[
    RetryOptions | bool | None,
    BeforeValidator(switch(RetryOptions), json_schema_input_type=RetryOptions | bool),
]
HstsSwitch = Annotated[Hsts | bool | None, BeforeValidator(switch(Hsts), json_schema_input_type=Hsts | bool)]


class Defaults(Options):
    """Inherited by every route and upstream."""

    timeouts: Timeouts = Field(default=Timeouts(), description="Of exchanges with targets")
    compression: CompressionSwitch = Field(default=False, description="Off unless it is given")
    hsts: HstsSwitch = Field(default=False, description="Off unless it is given")
    retry: RetrySwitch = Field(default=RetryOptions(), description="What is sent again to another target")
