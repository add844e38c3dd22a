"""The fetches under way for a route's cache: what each one is for, and where others find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cachetools import TTLCache
from mypy_extensions import mypyc_attr

from gateway.body import RequestBody
from gateway.cache.answered import Answered
from gateway.cache.ask import ask_of
from gateway.cache.flight import Flight, Kind
from gateway.cache.key import url_of_request
from gateway.cache.memory import MemoryStore
from gateway.cache.receive import Receiver, judged
from gateway.cache.reuse import ERROR_STATUSES
from gateway.cache.status import Forward, Outcome
from gateway.cache.storable import Refusal
from gateway.errors import GatewayError
from gateway.rfc.cache_fields import GROUPED, OURS, TOLD

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.cache.flight import Kept, Landing, Reader
    from gateway.cache.rules import Rules
    from gateway.cache.store import Store
    from gateway.exchange import Exchange, Headers
    from gateway.rfc.lines import Line

REFUSED_FOR: Final = 10.0  # seconds in which a key whose answer could not be stored is not fetched for others
MAX_REFUSED: Final = 8192  # such keys that are remembered


@mypyc_attr(free_list_len=1)
class Fetched:
    """A fetch under way.

    exchange: by which it is made. trail: what requests have in common that may share it (`trail_of`); empty where none may. old:
    the entry that is validated, completed, or would help out if the target failed. asked_at: Unix seconds. mark: the store's when
    it began; whoever comes after a purge wants a newer answer. trip, task: who makes it, until it is over.

    What it brings goes by a flight, with a receiver; but one that the express lane makes has neither while its answer may yet
    come in one piece, and nobody shares it but followers, who wait for just that. leader: its own client among the readers of
    a flight that it got later. is_led: that client is there.
    """

    __slots__ = (
        "_fetches", "_followers", "ask", "asked_at", "exchange", "flight", "is_led", "key", "leader", "mark", "old", "receiver",
        "task", "trail", "trip",
    )  # fmt: skip

    def __init__(
        self, fetches: Fetches, exchange: Exchange, key: bytes, ask: Ask, old: Entry | None, trail: bytes, *, now: float
    ) -> None:
        self._fetches = fetches
        self.exchange = exchange
        self.key = key
        self.ask = ask
        self.old = old
        self.trail = trail
        self.asked_at = now
        memory = fetches.memory  # which is called without a look-up
        self.mark = fetches.store.mark() if memory is None else memory.mark()
        self.trip: Fetching | None = None
        self.task: asyncio.Task[None] | None = None
        self.flight: Flight | None = None
        self.receiver: Receiver | None = None
        self.leader: Reader | None = None
        self.is_led = True
        self._followers: dict[Follower, None] | None = None

    def take_off(self, *, alone: bool = False) -> Flight:
        """A flight for what it brings. alone: it goes on without readers."""
        fetches = self._fetches
        flight = self.flight = Flight(self._deserted, fetches.kept, is_lone=alone)
        self.receiver = Receiver(self, flight, fetches.store, fetches.rules, fetches.now)
        return flight

    def shared(self) -> Flight:
        """Its flight, for others than its own client. Followers join it too, a moment later."""
        flight = self.flight
        if flight is None:
            flight = self.take_off(alone=not self.is_led)
            if self.is_led:
                self.leader = flight.join(RequestBody.of(b"", self.exchange))
            self._end_of_wait(None, alone=False)
        return flight

    def leave(self) -> None:
        """Its own client has gone. It goes on for others."""
        self.is_led = False
        if self.leader is not None:
            self.leader.leave()
        elif self.flight is None and not self._followers:
            self._deserted()

    # ------------------------------------------------------------ who waits for an answer in one piece

    @property
    def takes_followers(self) -> bool:
        """A request that comes now may wait for its answer to come in one piece."""
        return self.flight is None and self.mark == self._fetches.store.mark()

    def follow(self, follower: Follower) -> None:
        if self._followers is None:
            self._followers = {}
        self._followers[follower] = None

    def unfollow(self, follower: Follower) -> None:
        if self._followers is not None:
            self._followers.pop(follower, None)
            if not self._followers and not self.is_led and self.flight is None:
                self._deserted()

    def _end_of_wait(self, entry: Entry | None, *, alone: bool) -> None:
        followers, self._followers = self._followers, None
        for follower in followers or ():
            follower.landed(entry, alone=alone)

    @property
    def keeps_all(self) -> bool:
        """Who joins now misses nothing."""
        return self.flight is None or self.flight.keeps_all

    @property
    def has_landed(self) -> bool:
        """The head of its answer has come."""
        return self.flight is not None and self.flight.landing is not None

    def _deserted(self) -> None:
        """Nobody wants its answer any more."""
        if self.trip is not None:
            self.trip.stop()
        elif self.task is not None:
            self.task.cancel()

    # ------------------------------------------------------------ what it brings

    def whole(
        self, status: int, headers: Headers, body: bytes, *, lines: list[Line] | None, took: float, ends_surely: bool
    ) -> None:
        """An answer in one piece, while there is no flight: it is judged and stored, and the fetch is over. headers: end-to-end
        fields, which are not changed. lines: see `Answered`. took: seconds since it was asked for."""
        fetches = self._fetches
        answered = Answered(status, headers, len(body), self.asked_at, self.asked_at + took, b"", lines=lines)
        if answered.kinds & GROUPED:
            answered.url = url_of_request(self.exchange)
        made = judged(self.ask, answered, fetches.rules, ends_surely=ends_surely)
        self.exchange.cache = outcome = Outcome(Forward.URI_MISS)
        if isinstance(made, Refusal):
            self._refused(made, status, outcome)
        else:
            outcome.stored = True
            outcome.is_first = not answered.kinds & (TOLD | OURS)
            if not self.trail:
                fetches.allow(self.key)
            assert fetches.memory is not None
            made.hold(body)
            fetches.memory.put(self.key, made, self.mark)
            if self._followers is not None:
                self._end_of_wait(made, alone=True)
        self.over()

    def outcome(self, landing: Landing, reason: bytes) -> Outcome:
        """Of the request that started it. reason: why it did."""
        outcome = Outcome(reason)
        assert self.receiver is not None
        refused = self.receiver.refused
        if refused is not None:
            self._refused(refused, landing.status, outcome)
        outcome.stored = landing.kind is Kind.ANSWER and landing.entry is not None
        outcome.is_first = self.receiver.is_first
        outcome.collapsed = landing.kind is Kind.VALIDATED and not landing.status  # another process has fetched it meanwhile
        if outcome.stored and not self.trail:
            self._fetches.allow(self.key)
        return outcome

    def _refused(self, refusal: Refusal, status: int, outcome: Outcome) -> None:
        outcome.detail = refusal.value.encode()
        if refusal.lasts and status not in ERROR_STATUSES:
            self._fetches.refuse(self.key)

    def tell(self, exchange: Exchange) -> None:
        """What is logged and counted of the fetch with the request that started it."""
        own = self.exchange
        exchange.upstream_name = own.upstream_name
        exchange.target = own.target
        exchange.attempts = own.attempts
        exchange.reused = own.reused
        exchange.first_byte_at = own.first_byte_at

    # ------------------------------------------------------------ its end

    def settle(self) -> None:
        """It is over, and was made for a store that shows all that it has: what has come whole is stored."""
        try:
            if self.receiver is not None:
                self.receiver.settle_at_once()
        finally:
            self.over()

    def failed(self, error: GatewayError) -> None:
        """Nothing will come, or no more. All who wait for it learn that."""
        if self.receiver is not None:
            self.receiver.failed(error, bridges=False)
        self.settle()

    def lose(self, error: GatewayError) -> None:
        """It has come to nothing, and nothing of it is stored."""
        if self.flight is not None:
            self.flight.fail(error)
        self.over()

    def given_up(self, task: asyncio.Task[None]) -> None:
        """Its task has ended. One that is cancelled before its first step has done nothing of what it does otherwise, and
        others would wait for it."""
        if task.cancelled():
            self.lose(GatewayError("the fetch was given up"))

    def over(self) -> None:
        """Others do not find it any more, and those who wait for it wait no longer."""
        self.trip = self.task = None
        trail = self.trail
        if trail:
            under_way = self._fetches.under_way
            if under_way.get(trail) is self:
                del under_way[trail]
        if self._followers is not None:
            self._end_of_wait(None, alone=True)


def trail_of(key: bytes, values: Iterable[bytes | None] = ()) -> bytes:
    """What requests for a key have in common, if they have the same values of the fields by which its variants are told, none
    of which holds a line feed. Of a key alone it is the key itself."""
    return b"\n".join([key, *(b"-" if value is None else b"=" + value for value in values)])


class Fetching(Protocol):
    """Who makes a fetch without a task."""

    def stop(self) -> None:
        """Nobody wants its answer any more."""


class Follower(Protocol):
    """Who waits for an answer in one piece."""

    def landed(self, entry: Entry | None, *, alone: bool) -> None:
        """The wait is over. entry: what has been stored. alone: where that is not for it, it need not look for others."""


class Fetches:
    """under_way: by trail. What could not be stored lately is remembered, so that nobody waits for it. now: Unix
    seconds. kept: by the flights of all routes. shares: whether requests share fetches at all; across: also with other
    processes. plain: see `Ask`. memory: the store, where the express lane can store by itself."""

    __slots__ = (
        "_plain", "_refused", "_refused_until", "_shares", "kept", "memory", "now", "rules", "store", "under_way",
    )  # fmt: skip

    def __init__(
        self, rules: Rules, store: Store, now: Callable[[], float], kept: Kept, *, shares: bool, across: bool,
        plain: bool,
    ) -> None:  # fmt: skip
        self.kept = kept
        self.rules = rules
        self.store = store
        self.memory = store if isinstance(store, MemoryStore) and not across else None
        self.now = now
        self._shares = shares
        self._plain = plain
        self.under_way: dict[bytes, Fetched] = {}
        self._refused_until = 0.0  # Unix seconds; after that none is
        self._refused: TTLCache[int, bool] = TTLCache(MAX_REFUSED, REFUSED_FOR)  # by hash: keys may be long

    def by_lane(self, exchange: Exchange, now: float) -> Fetched | None:
        """The fetch for a request that `ReadyAnswers` found nothing for: a new one, of this exchange, to be made by the caller;
        or one of another exchange that takes followers. None where something has to be awaited first, or where the request is
        not as plain as most are. now: Unix seconds."""
        key = exchange.missed
        if not key or self.memory is None or exchange.method != b"GET":
            return None
        ask = ask_of(exchange, heed=self.rules.heed_requests, plain=self._plain)
        if ask.concerns:
            return None
        if not self._shares or self.is_refused(key):
            return self.begin(exchange, key, ask, None, b"", now=now)
        found = self.under_way.get(key)  # which is its trail: see `trail_of`
        if found is not None:
            return found if found.takes_followers else None
        return self.begin(exchange, key, ask, None, key, now=now)

    def refuse(self, key: bytes) -> None:
        """Its answer could not be stored."""
        self._refused[hash(key)] = True
        self._refused_until = self.now() + REFUSED_FOR

    def allow(self, key: bytes) -> None:
        """One of its answers could be stored."""
        self._refused.pop(hash(key), None)

    def is_refused(self, key: bytes) -> bool:
        return self._refused_until > 0.0 and self._refused_until > self.now() and hash(key) in self._refused

    def begin(
        self, exchange: Exchange, key: bytes, ask: Ask, old: Entry | None, trail: bytes, *, now: float
    ) -> Fetched:
        """exchange, old, trail: see `Fetched`. now: Unix seconds."""
        fetched = Fetched(self, exchange, key, ask, old, trail, now=now)
        if trail:
            self.under_way[trail] = fetched
        return fetched
