"""What discovery found, and what it means for the targets there are: pure (RFC 2782, RFC 1035 section 3.2.1).

Name servers answer in any order; what is made of it here is always in the same one, so that every worker has the same
targets in the same places.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Place = tuple[str, str]  # the URL of a target, and the name that it is known as

MAX_TARGETS: Final = 1000  # of one upstream
MAX_WEIGHT: Final = 1000  # as in `targets` of the configuration
FLOOR: Final = 1.0  # seconds between two look-ups, whatever a TTL says
LONGEST_RETRY: Final = 30.0  # seconds until a look-up that failed is repeated


class DiscoveryError(Exception):
    """Where the targets are cannot be told now. The message stays the same as long as the fault does."""


class Spec(NamedTuple):
    """One target as it was found.

    url: with an address or a name for a host. weight, priority (0 first) and backup: as in `targets` of the
    configuration. known_as: the name behind the address, for Host and TLS; empty where the URL says it.
    """

    url: str
    weight: int = 1
    priority: int = 0
    backup: bool = False
    known_as: str = ""

    @property
    def place(self) -> Place:
        """What makes it the same target as before, whatever its weight."""
        return self.url, self.known_as


class Found(NamedTuple):
    """An answer. fresh_for: seconds until it should be asked for again."""

    specs: tuple[Spec, ...]
    fresh_for: float


class Service(NamedTuple):
    """What a SRV record says (RFC 2782)."""

    priority: int
    weight: int
    port: int
    name: str


class Change(NamedTuple):
    """What a new list means for the targets there were."""

    added: tuple[Place, ...]
    gone: tuple[Place, ...]


# ---------------------------------------------------------------- from answers to specs


def of_addresses(addresses: Iterable[str], scheme: str, port: int, name: str) -> list[Spec]:
    """A target for each address of a name, in the order of the addresses: name servers turn theirs around."""
    return [Spec(url_of(scheme, address, port), known_as=name) for address in sorted(addresses)]


def of_services(services: Iterable[Service], addresses: Mapping[str, Sequence[str]], scheme: str) -> list[Spec]:
    """A target for each address of each service, by priority; those of one service divide its weight among them.

    addresses: by the name of the service; one without is passed over.
    """
    specs: list[Spec] = []
    for priority, alike in groupby(sorted(services), key=lambda service: service.priority):
        places = [
            (service, address)
            for service in alike
            for address in sorted(addresses.get(service.name, ()))
        ]  # fmt: skip
        weights = whole_weights([service.weight / len(addresses[service.name]) for service, _ in places])
        specs += [
            Spec(url_of(scheme, address, service.port), weight, priority, known_as=service.name)
            for (service, address), weight in zip(places, weights, strict=True)
        ]
    return specs


def whole_weights(shares: Sequence[float]) -> list[int]:
    """Whole numbers from 1 to MAX_WEIGHT in the proportion of the shares.

    A share of 0 becomes the least part that there can be (RFC 2782: a very small chance), unless all are 0.
    """
    most = max(shares, default=0)
    if not most:
        return [1] * len(shares)
    if most <= MAX_WEIGHT and all(share >= 1 and share == int(share) for share in shares):
        return [int(share) for share in shares]
    return [max(1, round(share * MAX_WEIGHT / most)) for share in shares]


def url_of(scheme: str, address: str, port: int) -> str:
    return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"


# ---------------------------------------------------------------- from specs to targets


def settled(specs: Iterable[Spec]) -> tuple[Spec, ...]:
    """Each URL once: the first of it counts. Raises DiscoveryError for an app, which lives as long as the gateway."""
    once: dict[str, Spec] = {}
    for spec in specs:
        if spec.url.startswith("asgi://"):
            raise DiscoveryError(f"{spec.url} is an app of this process: it cannot come and go")
        once.setdefault(spec.url, spec)
    return tuple(once.values())


def changed(before: Iterable[Place], now: Iterable[Place]) -> Change:
    """Both without repetitions; each part keeps its order."""
    was, is_now = dict.fromkeys(before), dict.fromkeys(now)
    return Change(
        tuple(place for place in is_now if place not in was),
        tuple(place for place in was if place not in is_now),
    )


# ---------------------------------------------------------------- when to look again


def next_look(fresh_for: float, refresh: float) -> float:
    """Seconds until the next look-up after a good one: its TTL, but FLOOR at least and `refresh` at most."""
    return min(max(fresh_for, FLOOR), refresh)


def next_try(failures: int, refresh: float) -> float:
    """Seconds until the next look-up after so many failures on end: FLOOR, doubled each time, never above `refresh`."""
    return min(FLOOR * 2.0 ** min(failures - 1, 16), LONGEST_RETRY, refresh)
