"""The fetches under way for a route's cache: what each one is for, and where others find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from gateway.cache.ask import ask_of
from gateway.cache.flight import Flight, Kind
from gateway.cache.key import url_of_request
from gateway.cache.receive import Receiver
from gateway.cache.reuse import ERROR_STATUSES
from gateway.cache.status import Outcome
from gateway.errors import GatewayError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.cache.flight import Kept, Landing
    from gateway.cache.rules import Rules
    from gateway.cache.store import Store
    from gateway.exchange import Exchange

    Trail = tuple[bytes, tuple[bytes | None, ...]]

REFUSED_FOR: Final = 10.0  # seconds in which a key whose answer could not be stored is not fetched for others
MAX_REFUSED: Final = 8192  # such keys that are remembered


class Fetched:
    """A fetch under way. exchange: by which it is made. trail: what requests have in common that may share it; None where
    none may. stop: called when nobody wants its answer any more."""

    __slots__ = ("exchange", "fetches", "flight", "key", "receiver", "stop", "trail")

    def __init__(self, fetches: Fetches, exchange: Exchange, key: bytes, trail: Trail | None, *, alone: bool) -> None:
        self.fetches = fetches
        self.exchange = exchange
        self.key = key
        self.trail = trail
        self.stop: Callable[[], object] | None = None
        self.flight = Flight(self._deserted, fetches.kept, is_lone=alone)
        self.receiver: Receiver

    def _deserted(self) -> None:
        if self.stop is not None:
            self.stop()

    def tell(self, exchange: Exchange) -> None:
        """What is logged and counted of the fetch with the request that started it."""
        own = self.exchange
        exchange.upstream_name = own.upstream_name
        exchange.target = own.target
        exchange.attempts = own.attempts
        exchange.reused = own.reused
        exchange.first_byte_at = own.first_byte_at

    def outcome(self, landing: Landing, reason: bytes) -> Outcome:
        """Of the request that started it. reason: why it did."""
        outcome = Outcome(reason)
        refused = self.receiver.refused
        if refused is not None:
            outcome.detail = refused.value.encode()
            if refused.lasts and landing.status not in ERROR_STATUSES:
                self.fetches.refuse(self.key)
        outcome.stored = landing.kind is Kind.ANSWER and landing.entry is not None
        if outcome.stored and self.trail is None:
            self.fetches.allow(self.key)
        return outcome

    def settle(self) -> None:
        """It is over, and was made for a store that shows all that it has: what has come whole is stored."""
        try:
            self.receiver.settle_at_once()
        finally:
            self.over()

    def lose(self, error: GatewayError) -> None:
        """It has come to nothing, and nothing of it is stored."""
        self.flight.fail(error)
        self.over()

    def given_up(self, task: asyncio.Task[None]) -> None:
        """Its task has ended. One that is cancelled before its first step has done nothing of what it does otherwise, and
        others would wait for it."""
        if task.cancelled():
            self.lose(GatewayError("the fetch was given up"))

    def over(self) -> None:
        """Others do not find it any more."""
        self.stop = None
        flights = self.fetches.flights
        if self.trail is not None and flights.get(self.trail) is self.flight:
            del flights[self.trail]


class Fetches:
    """flights: by trail. What could not be stored lately is remembered, so that nobody waits for it. now: Unix
    seconds. kept: by the flights of all routes. shares: whether requests share fetches at all; across: also with other
    processes. plain: see `Ask`."""

    __slots__ = ("_across", "_now", "_plain", "_refused", "_refused_until", "_rules", "_shares", "_store", "flights", "kept")

    def __init__(
        self, rules: Rules, store: Store, now: Callable[[], float], kept: Kept, *, shares: bool, across: bool,
        plain: bool,
    ) -> None:  # fmt: skip
        self.kept = kept
        self._rules = rules
        self._store = store
        self._now = now
        self._shares = shares
        self._across = across
        self._plain = plain
        self.flights: dict[Trail, Flight] = {}
        self._refused_until = 0.0  # Unix seconds; after that none is
        self._refused: TTLCache[int, bool] = TTLCache(MAX_REFUSED, REFUSED_FOR)  # by hash: keys may be long

    def first(self, exchange: Exchange) -> Fetched | None:
        """The fetch for a request that `ReadyAnswers` found nothing for, to be made by the caller; None where something has
        to be awaited first, or where the request is not as plain as most are."""
        key = exchange.missed
        if not key or self._across or exchange.method != b"GET" or not self._store.shows_all:
            return None
        ask = ask_of(exchange, heed=self._rules.heed_requests, plain=self._plain)
        trail: Trail | None = (key, ()) if self._shares and not self.is_refused(key) else None
        if ask.concerns or (trail is not None and trail in self.flights):
            return None
        return self.begin(exchange, key, ask, None, trail)

    def refuse(self, key: bytes) -> None:
        """Its answer could not be stored."""
        self._refused[hash(key)] = True
        self._refused_until = self._now() + REFUSED_FOR

    def allow(self, key: bytes) -> None:
        """One of its answers could be stored."""
        self._refused.pop(hash(key), None)

    def is_refused(self, key: bytes) -> bool:
        return self._refused_until > self._now() and hash(key) in self._refused

    def begin(
        self, exchange: Exchange, key: bytes, ask: Ask, old: Entry | None, trail: Trail | None, *, alone: bool = False
    ) -> Fetched:
        """exchange: by which it is made. old: see `Receiver`. alone: it goes on without readers."""
        fetched = Fetched(self, exchange, key, trail, alone=alone)
        flight = fetched.flight
        fetched.receiver = Receiver(
            flight, self._store, self._rules, key, url=url_of_request(exchange), ask=ask, old=old, now=self._now
        )
        if trail is not None:
            self.flights[trail] = flight
        return fetched
