"""How a target is chosen: the names of balancers, what is hashed, and cookies by which clients come back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway import extensions
from gateway.balance import BALANCERS
from gateway.balance.affinity import StickyCookie
from gateway.balance.keys import WORDS, key_source
from gateway.config.faults import Wrong
from gateway.config.options import Options, Switch, several, switched
from gateway.config.units import WholeSeconds
from gateway.config.words import hint_for_value

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 6265 section 4.1.1
_PATH = re.compile(r"/[!-:<-~]*")  # the same: visible, and without a semicolon
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_THEIRS: Final = r"^[A-Za-z_][A-Za-z0-9_]*[.:-][A-Za-z0-9_.:-]+$"  # names that none of ours will ever have
SECRET: Final = 16  # characters that a key has at least


def _balancer(text: str) -> str:
    if text in BALANCERS:
        return text
    if not extensions.is_import_path(text):
        others = [name for name in extensions.installed(extensions.BALANCERS) if re.match(_THEIRS, name)]
        if text not in others:
            hint = hint_for_value(text, (*BALANCERS, *others))
            if hint.startswith("choose"):
                hint += ', or write "package.module:Class"'
            raise Wrong(f'"{text}" is none of the choices', hint)
    try:
        factory = extensions.found(text, extensions.BALANCERS)
    except ImportError as exc:
        raise Wrong(f'"{text}" cannot be imported: {exc}') from None
    if not callable(factory):
        raise Wrong(f'"{text}" cannot be called with targets and options')
    return text


def _key(text: str) -> str:
    try:
        key_source([text])
    except ValueError as exc:
        raise Wrong(str(exc), hint_for_value(text, WORDS)) from None
    return text


def _cookie_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise Wrong(f'"{name}" is not the name of a cookie', 'write for example "gw_srv"')
    return name


def _cookie_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise Wrong(f'"{path}" is not the path of a cookie', 'write "/", or a path without ";"')
    return path


def _domain(name: str) -> str:
    if not _DOMAIN.fullmatch(name):
        raise Wrong(f'"{name}" is not a domain', 'write for example "example.com"')
    return name


def _secret(key: str) -> str:
    if len(key) < SECRET:
        raise Wrong("is too short for a secret", f"take {SECRET} random characters or more")
    return key


BalancerName = Annotated[
    str,
    AfterValidator(_balancer),
    WithJsonSchema({"anyOf": [{"enum": list(BALANCERS)}, {"type": "string", "pattern": _THEIRS}]}),
]
HashOn = Annotated[list[Annotated[str, AfterValidator(_key)]], BeforeValidator(several, json_schema_input_type=list[str] | str)]


class StickyOptions(Options):
    """A cookie by which a client comes back to its target, or to its share of a split."""

    cookie: Annotated[str, AfterValidator(_cookie_name)] = Field(description="Its name")
    keys: list[Annotated[str, AfterValidator(_secret)]] = Field(
        default=[], description="Secrets that its value is made with, the newest first; older ones are still understood"
    )
    path: Annotated[str, AfterValidator(_cookie_path)] = Field(default="/", description="Where clients send it")
    domain: Annotated[str, AfterValidator(_domain)] | None = Field(
        default=None, description="Also for the hosts below this one; the host alone if left out"
    )
    max_age: WholeSeconds | None = Field(
        default=None, description="How long clients keep it; until they close if left out"
    )
    secure: Switch | None = Field(
        default=None, description="Only over HTTPS; if left out, for clients that came by HTTPS"
    )
    http_only: Switch = Field(default=True, description="Out of reach of scripts in pages")
    same_site: Literal["strict", "lax", "none"] = Field(default="lax", description="Whether other sites' pages send it")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        name, secure = given.get("cookie"), switched(given.get("secure"))
        if given.get("same_site") == "none" and secure is not True:
            yield Wrong('browsers take "none" with Secure alone', "add secure = true", ("same_site",))
        if not isinstance(name, str) or not name.startswith(("__Host-", "__Secure-")):
            return
        if secure is not True:
            yield Wrong(f'browsers take "{name}" with Secure alone', "add secure = true", ("cookie",))
        if name.startswith("__Host-"):
            for key in ("path", "domain"):
                if given.get(key) not in (None, "/"):
                    yield Wrong(f'browsers refuse "{name}" with a {key} of its own', "leave it out", (key,))

    def made(self) -> StickyCookie:
        return StickyCookie(
            self.cookie, path=self.path, domain=self.domain, max_age=self.max_age, secure=self.secure,
            http_only=self.http_only, same_site=self.same_site.capitalize(),
        )  # fmt: skip
