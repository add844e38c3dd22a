"""`discover`: where the targets of an upstream are found, in place of a list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway import extensions
from gateway.config.addresses import Nameserver
from gateway.config.faults import ConfigError, Wrong
from gateway.config.options import Options, Whole, read, several
from gateway.config.targets import TargetOptions, read_targets
from gateway.config.texts import ExistingFile
from gateway.config.units import PositiveDuration

KINDS: Final = ("dns", "srv", "file", "custom")
_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "port": ("dns",),
    "scheme": ("dns", "srv"),
    "family": ("dns", "srv"),
    "nameservers": ("dns", "srv"),
    "options": ("custom",),
}
_LONGEST: Final = {"dns": 300.0, "srv": 300.0, "file": 1.0, "custom": 10.0}  # seconds; see `refresh`
_DNS_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_NAME: Final = 253  # characters


def _dns_name(text: str) -> str:
    if "://" in text:
        raise Wrong(f'"{text}" is a URL', "write the name alone, and scheme and port as keys of their own")
    name, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and ":" not in name:
        raise Wrong(f'"{text}" has a port', f'write "{name}", and port = {port}')
    if _is_address(text):
        raise Wrong(f'"{text}" is an address: there is nothing to find', "list it in targets")
    labels = text.removesuffix(".").split(".")
    if len(text) > _LONGEST_NAME or not all(map(_DNS_LABEL.fullmatch, labels)):
        raise Wrong(f'"{text}" is not a name that DNS could know')
    return text


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _targets_file(path: Path) -> Path:
    if path.suffix not in (".toml", ".json"):
        raise Wrong(f'"{path}" is neither .toml nor .json')
    try:
        read_targets(path)
    except ConfigError as error:
        raise Wrong(str(error.faults[0])) from None
    return path


def _custom(text: str) -> str:
    try:
        factory = extensions.found(text, extensions.DISCOVERIES)
    except ImportError as exc:
        hint = "" if extensions.is_import_path(text) else 'write "package.module:Class"'
        raise Wrong(f'"{text}" cannot be imported: {exc}', hint) from None
    if not callable(factory):
        raise Wrong(f'"{text}" cannot be called with options')
    return text


DnsName = Annotated[str, AfterValidator(_dns_name)]


class Discover(Options):
    """Targets that come and go. One of dns, srv, file and custom says where they are found."""

    dns: DnsName | None = Field(default=None, description="A name: a target for each of its addresses")
    srv: DnsName | None = Field(default=None, description="A name with SRV records: a target for each address of each")
    file: Annotated[ExistingFile, AfterValidator(_targets_file)] | None = Field(
        default=None, description="A file with targets, .toml or .json, that is read again when it changes"
    )
    custom: Annotated[str, AfterValidator(_custom)] | None = Field(
        default=None, description='"package.module:Class", or an installed one by its name'
    )

    port: Annotated[Whole, Field(ge=1, le=65535)] | None = Field(
        default=None, description="Of the targets of dns; that of the scheme if left out"
    )
    scheme: Literal["http", "https"] = Field(default="http", description="Spoken with targets of dns and srv")
    family: Literal["any", "ipv4", "ipv6"] = Field(default="any", description="Which addresses of dns and srv are taken")
    nameservers: Annotated[list[Nameserver], BeforeValidator(several, json_schema_input_type=list[str] | str)] = Field(
        default=[], description='"10.0.0.2" or "127.0.0.1:5353"; the system\'s if left out'
    )
    options: dict[str, Any] = Field(default={}, description="What custom is called with, by name")
    refresh: PositiveDuration | None = Field(
        default=None,
        description="The longest time between two looks; for DNS below the TTL it is the time itself. "
        "5m for dns and srv, 1s for file, 10s for custom if left out",
    )

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Iterator[Wrong]:
        stated = {key for key, value in given.items() if value is not None} | cls.meant(given)
        kinds = [kind for kind in KINDS if kind in stated]
        if not kinds:
            yield Wrong("says no way to find targets", f"add one of {', '.join(KINDS)}")
            return
        for kind in kinds[1:]:
            yield Wrong(f"excludes {kinds[0]}: targets are found in one way", "leave one of them out", (kind,))
        for key, owners in _ONLY_FOR.items():
            if key in stated and kinds[0] not in owners:
                yield Wrong(f"has no effect with {kinds[0]}", "leave it out", (key,))

    # ---------------------------------------------------------------- as `gateway.upstream.discovery` reads it

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def name(self) -> str:
        """What stands behind the kind."""
        return str(getattr(self, self.kind))

    @property
    def longest(self) -> float:
        """Seconds between two looks, at most."""
        return _LONGEST[self.kind] if self.refresh is None else self.refresh

    def read_file(self) -> Sequence[TargetOptions]:
        """Raises ConfigError."""
        assert self.file is not None
        return read_targets(self.file)


def is_by_dns(discover: object) -> bool:
    """discover: as given."""
    return read(discover, "dns") is not None or read(discover, "srv") is not None
