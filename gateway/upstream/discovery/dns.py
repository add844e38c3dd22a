"""Targets by DNS: the addresses of a name (A and AAAA), or services with theirs (SRV, RFC 2782).

The only module that knows dnspython. Name servers and search list are read from the system at every look-up, for they
change under a process that runs for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from gateway.upstream.discovery.found import DiscoveryError, Found, Service, of_addresses, of_services

if TYPE_CHECKING:
    from collections.abc import Sequence

LIFETIME: Final = 5.0  # seconds of a look-up, with all its repetitions
ONE_TRY: Final = 2.0  # seconds that one name server has
AT_ONCE: Final = 16  # services whose addresses are asked for at the same time

_TYPES: Final = {
    "any": (dns.rdatatype.A, dns.rdatatype.AAAA),
    "ipv4": (dns.rdatatype.A,),
    "ipv6": (dns.rdatatype.AAAA,),
}
# In words that stay the same as long as the fault does: what is new is logged.
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (dns.resolver.NXDOMAIN, "there is no such name"),
    (dns.resolver.NoAnswer, "the name has no such records"),
    (dns.resolver.NoNameservers, "no name server could answer"),
    (dns.resolver.NoResolverConfiguration, "the system has no name servers"),
    (dns.exception.Timeout, "no name server answered in time"),
)


class Records(NamedTuple):
    """values: as text, or services. ttl: seconds, the shortest on the way to them."""

    values: tuple[Any, ...]
    ttl: float


class DnsAddresses:
    """A target for each address of a name. family: `any`, `ipv4` or `ipv6`."""

    def __init__(self, name: str, port: int, scheme: str, family: str, resolver: Resolver) -> None:
        self._name = name
        self._port = port
        self._scheme = scheme
        self._family = family
        self._resolver = resolver

    async def look_up(self) -> Found:
        addresses, ttl = await self._resolver.addresses(self._name, self._family)
        known_as = self._name.removesuffix(".")
        return Found(tuple(of_addresses(addresses, self._scheme, self._port, known_as)), ttl)


class DnsServices:
    """A target for each address of each service; one whose name cannot be resolved now keeps its last addresses."""

    def __init__(self, name: str, scheme: str, family: str, resolver: Resolver) -> None:
        self._name = name
        self._scheme = scheme
        self._family = family
        self._resolver = resolver
        self._known: dict[str, Records] = {}  # of the services of the last answer
        self._places = asyncio.Semaphore(AT_ONCE)

    async def look_up(self) -> Found:
        services, ttl = await self._resolver.services(self._name)
        names = sorted({service.name for service in services})
        answers = await asyncio.gather(*map(self._addresses, names))
        self._known = {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}
        specs = of_services(services, {name: known.values for name, known in self._known.items()}, self._scheme)
        if not specs:
            raise DiscoveryError(f"{self._name}: no service of it has an address")
        return Found(tuple(specs), min(ttl, *(known.ttl for known in self._known.values())))

    async def _addresses(self, name: str) -> Records | None:
        async with self._places:
            try:
                return await self._resolver.addresses(f"{name}.", self._family)
            except DiscoveryError:
                return self._known.get(name)


class Resolver:
    """nameservers: "address:port"; the system's if there are none. lifetime: seconds that a look-up takes at most."""

    def __init__(self, nameservers: Sequence[str] = (), lifetime: float = LIFETIME) -> None:
        self._nameservers = [_nameserver(text) for text in nameservers]
        self._lifetime = lifetime

    async def addresses(self, name: str, family: str) -> Records:
        """All addresses of a name. Raises DiscoveryError where there is none, or nobody who knows.

        One family is enough: some name servers fail for every AAAA.
        """
        answers = await asyncio.gather(*(self._ask(name, kind) for kind in _TYPES[family]), return_exceptions=True)
        found: list[str] = []
        ttls: list[float] = []
        for answer in answers:
            if isinstance(answer, dns.resolver.Answer):
                found += [record.address for record in answer]
                ttls.append(answer.chaining_result.minimum_ttl)
            elif not isinstance(answer, DiscoveryError):
                raise answer
        if not found:
            raise next(answer for answer in answers if isinstance(answer, DiscoveryError))
        return Records(tuple(found), min(ttls))

    async def services(self, name: str) -> Records:
        """The services of a name. Raises DiscoveryError."""
        answer = await self._ask(name, dns.rdatatype.SRV)
        services = [
            Service(record.priority, record.weight, record.port, record.target.to_text(omit_final_dot=True))
            for record in answer
            if record.target != dns.name.root  # RFC 2782: the service is not offered
        ]
        return Records(tuple(services), answer.chaining_result.minimum_ttl)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                resolver.nameservers = self._nameservers
            resolver.timeout = ONE_TRY
            sockets: Any = _Sockets()
            return await resolver.resolve(name, kind, lifetime=self._lifetime, search=True, backend=sockets)
        except (dns.exception.DNSException, OSError) as exc:
            reason = next((words for fault, words in _REASONS if isinstance(exc, fault)), repr(exc))
            raise DiscoveryError(f"{name}: {reason}") from exc


def _nameserver(text: str) -> dns.nameserver.Do53Nameserver:
    address, _, port = text.rpartition(":")
    return dns.nameserver.Do53Nameserver(address.strip("[]"), int(port))


class _Sockets:
    """What dnspython needs of asyncio; but a datagram socket in the making is closed when its maker is cancelled.

    uvloop leaves it to nobody, and a loop that has such a one never ends.
    """

    def __init__(self) -> None:
        self._plain: Any = dns.asyncbackend.get_backend("asyncio")
        self.name = self._plain.name
        self.sleep = self._plain.sleep
        self.datagram_connection_required = self._plain.datagram_connection_required

    async def make_socket(self, family: int, kind: int, *rest: Any, **options: Any) -> Any:
        if kind != socket.SOCK_DGRAM:
            return await self._plain.make_socket(family, kind, *rest, **options)
        making = asyncio.create_task(self._plain.make_socket(family, kind, *rest, **options))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await (await making).close()
            raise
