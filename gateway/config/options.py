"""The base of all options: nothing unknown, nothing changed later, and every fault told, not only the first ones.

pydantic checks fields one by one, and what holds between them (exclusive keys, references) only once all fields are
right. So such rules are written in `check`, which sees the keys as given and runs always; its faults join the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ErrorType

from gateway.config.faults import Wrong
from gateway.config.words import hint_for_key, our_key

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from pydantic import ModelWrapValidatorHandler
    from pydantic_core import ErrorDetails, InitErrorDetails


_KNOWN_ERRORS: Final = frozenset(get_args(ErrorType))


class FromEnvironment(str):
    """A text that came from the environment, where numbers and switches have no other form."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The context of validation when a file is read. base: the directory that its relative paths start from.

    Without it options are built in code, where a plain number is seconds or bytes: code knows its units.
    """

    base: Path


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:  # noqa: ARG003 - for those that override it
        """What is wrong between the keys. given: as written, not validated; made in code, values may be options."""
        yield from ()

    @classmethod
    def meant(cls, given: Mapping[str, Any]) -> set[str]:
        """The keys that unknown ones stand for: they are not missing as well."""
        return {our_key(str(key), cls.model_fields) for key in given if key not in cls.model_fields} - {""}

    @model_validator(mode="wrap")
    @classmethod
    def _find_all_faults(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping):
            return handler(data)
        details: list[InitErrorDetails] = []
        options = None
        meant = {(key,) for key in cls.meant(data)}
        try:
            options = handler(data)
        except ValidationError as exc:
            details += [
                _again(error)
                for error in exc.errors(include_url=False)
                if error["type"] != "extra_forbidden" and not (error["type"] == "missing" and error["loc"] in meant)
            ]
        for wrong in (*_unknown_keys(cls, data), *cls.check(data)):
            details.append({"type": "value_error", "loc": wrong.at, "input": data, "ctx": {"error": wrong}})
        if options is None or details:
            raise ValidationError.from_exception_data(cls.__name__, details)
        return options


def _again(error: ErrorDetails) -> InitErrorDetails:
    """An error as it was, to be raised with others."""
    kind = error["type"]
    known = kind if kind in _KNOWN_ERRORS else PydanticCustomError(kind, error["msg"])
    return {"type": known, "loc": error["loc"], "input": error["input"], "ctx": error.get("ctx", {})}


def _unknown_keys(model: type[Options], given: Mapping[str, Any]) -> Iterator[Wrong]:
    for key in given:
        if key not in model.model_fields:
            yield Wrong("unknown key", hint_for_key(str(key), model.model_fields), (key,))


def read(item: object, key: str) -> Any:
    """A key of options that may be a table or, made in code, a model. None where it is not there."""
    if isinstance(item, Mapping):
        return item.get(key)
    return getattr(item, key, None)


def several(value: object) -> object:
    """One text where a list of texts may stand."""
    return [value] if isinstance(value, str) else value


def _whole(value: object) -> int:
    if isinstance(value, FromEnvironment):
        try:
            return int(value)
        except ValueError:
            raise Wrong(f'"{value}" is not a whole number') from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"a whole number is wanted, not {described(value)}", without_quotes(value))
    return value


def _switch(value: object) -> bool:
    if isinstance(value, FromEnvironment) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise Wrong(f"true or false is wanted, not {described(value)}", without_quotes(value))
    return value


def whole(value: object) -> int | None:
    """The number that a given value will be; None for what is none."""
    try:
        return _whole(value)
    except Wrong:
        return None


def switched(value: object) -> bool | None:
    """True or false where a given value will be so; None for what is neither."""
    try:
        return _switch(value)
    except Wrong:
        return None


def without_quotes(value: object) -> str:
    """The hint for a number or a switch in quotes."""
    if isinstance(value, str) and (value in ("true", "false") or value.isdecimal()):
        return f"write {value} without quotes"
    return ""


def described(value: object) -> str:
    """What was found instead, in the words of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value}"'
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return f"{value}"


Whole = Annotated[int, BeforeValidator(_whole)]
Switch = Annotated[bool, BeforeValidator(_switch)]
