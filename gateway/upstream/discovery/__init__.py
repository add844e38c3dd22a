"""Where the targets of an upstream are found, when the configuration does not list them.

To add a way, write its file and a line in `DISCOVERIES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.upstream.discovery.custom import of_another
from gateway.upstream.discovery.file import TargetsFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.upstream.discovery.found import Found


class Discovery(Protocol):
    """Tells where the targets are; one task asks it, again and again (`gateway.upstream.discovery.keeper`)."""

    async def look_up(self) -> Found:
        """The targets as they are now; it may wait until there is something new to tell.

        Raises any Exception where that cannot be told now: the last answer is kept then. An answer without targets is
        an answer.
        """


class Listed(Protocol):
    """A target as it is written in a file."""

    @property
    def url(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def backup(self) -> bool: ...


class Options(Protocol):
    """`discover` of the configuration; a key that is not of its kind has no meaning. Times are seconds.

    nameservers: "address:port", IPv6 in brackets. read_file: raises ValueError for what cannot be used.
    """

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int | None: ...
    @property
    def scheme(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def nameservers(self) -> Sequence[str]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def longest(self) -> float: ...
    def read_file(self) -> Sequence[Listed]: ...


def by_dns(options: Options) -> Discovery:
    from gateway.upstream.discovery.dns import DnsAddresses, Resolver

    port = options.port or (443 if options.scheme == "https" else 80)
    return DnsAddresses(options.name, port, options.scheme, options.family, Resolver(options.nameservers))


def by_srv(options: Options) -> Discovery:
    from gateway.upstream.discovery.dns import DnsServices, Resolver

    return DnsServices(options.name, options.scheme, options.family, Resolver(options.nameservers))


def by_file(options: Options) -> Discovery:
    return TargetsFile(options.name, options.read_file, options.longest)


def by_custom(options: Options) -> Discovery:
    return of_another(options.name, options.options)


DISCOVERIES: Final[Mapping[str, Callable[[Options], Discovery]]] = {
    "dns": by_dns,
    "srv": by_srv,
    "file": by_file,
    "custom": by_custom,
}
