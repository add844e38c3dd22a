"""A route's cache at work: what is stored answers, what is not is fetched once for all who want it (RFC 9111).

The way of a request: `ready.answer` answers at once from memory, without awaiting anything. Otherwise `serve` looks into the
whole store (`give.py` answers from it), then joins a fetch that is under way or starts one, and delivers what it brings; or lets
the exchange pass.
What is decided is decided by the pure functions of this package; here it is acted upon.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from gateway.cache.ask import READS, Ask, ask_of
from gateway.cache.edit import FetchEdit, missing
from gateway.cache.fetching import Fetches, trail_of
from gateway.cache.flight import Kept, Kind
from gateway.cache.give import StoredAnswers
from gateway.cache.key import has_two_paths
from gateway.cache.observe import Observation
from gateway.cache.ready import ReadyAnswers
from gateway.cache.receive import NOT_MODIFIED
from gateway.cache.render import age_field
from gateway.cache.reuse import ASKED_TO_VALIDATE, PASS, USE, USE_AND_VALIDATE, VALIDATE, may_bridge, reuse, select
from gateway.cache.status import Forward, Outcome
from gateway.cache.visit import Visit, reason_for, shadow_of
from gateway.errors import ClientGone, GatewayError, TargetError
from gateway.exchange import Exchange, Reply, ResponseHead
from gateway.outgoing import wants_trailers
from gateway.rfc.cache_fields import OUR_TARGET
from gateway.rfc.conditional import is_not_modified, not_modified_fields
from gateway.rfc.encoding import is_coded
from gateway.rfc.freshness import date_of
from gateway.rfc.vary import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.body import RequestBody
    from gateway.cache.entry import Entry
    from gateway.cache.fetching import Fetched
    from gateway.cache.flight import Flight, Landing, Reader
    from gateway.cache.forms import Forms
    from gateway.cache.invalidate import Invalidator
    from gateway.cache.key import Bypass, KeyRule
    from gateway.cache.receive import Receiver
    from gateway.cache.reuse import Verdict
    from gateway.cache.rules import Rules
    from gateway.cache.source import Source
    from gateway.cache.store import FetchLock, Lease, Store
    from gateway.cache.tasks import Tasks
    from gateway.deliver import Delivery
    from gateway.exchange import Headers

COALESCE_WAIT: Final = 5.0  # seconds after which a request waits no longer for the head of somebody else's answer, but goes itself
NOT_STORED: Final = b"Nothing is stored for this request, and it asks for no more.\n"


class RouteCache:
    """keys, rules, bypass: of the route. collapses: concurrent requests share a fetch. lock: by which they do so across
    processes. forms: where answers are kept in content codings. kept: by the fetches of all that share it. now: Unix seconds."""

    def __init__(
        self,
        keys: KeyRule,
        rules: Rules,
        store: Store,
        tasks: Tasks,
        invalidator: Invalidator,
        *,
        bypass: Bypass | None = None,
        collapses: bool = True,
        lock: FetchLock | None = None,
        forms: Forms | None = None,
        kept: Kept | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        self.keys = keys
        self.rules = rules
        self.store = store
        self.invalidator = invalidator
        self.now = now
        self._tasks = tasks
        self._bypass = bypass
        self._collapses = collapses
        self.asks_plain = forms is not None  # what it keeps in codings it codes itself, once, and not the target for each of them
        self._lock = lock
        self.ready = ReadyAnswers(keys, store, bypass=bypass, heed=rules.heed_requests, forms=forms)
        self._stored = StoredAnswers(store, self.ready, forms, now)
        self.fetches = Fetches(rules, store, now, kept or Kept(), shares=collapses, across=lock is not None, plain=self.asks_plain)

    def is_telling(self, visit: Visit) -> bool:
        """Whether the answer to a request that passes can be about what lies under its key."""
        exchange = visit.exchange
        if visit.ask.is_odd or has_two_paths(exchange) or (self._bypass is not None and self._bypass.takes(exchange)):
            return False
        return self.keys.kept_query(exchange.query) == exchange.query

    # ------------------------------------------------------------ with awaiting

    async def serve(self, exchange: Exchange, delivery: Delivery, source: Source, body: RequestBody) -> None:
        """What `ready.answer` did not. Raises GatewayError."""
        ask = ask_of(exchange, heed=self.rules.heed_requests, plain=self.asks_plain)
        visit = Visit(exchange, ask, exchange.missed or self.keys.key(exchange, ask.told), delivery, source, body)
        if exchange.method not in READS:
            await self._pass(visit, Forward.METHOD)
        elif self.ready.passes(exchange) or ask.is_odd or exchange.websocket:
            await self._pass(visit, Forward.BYPASS)
        else:
            await self._read(visit)

    async def _read(self, visit: Visit) -> None:
        key, ask = visit.key, visit.ask
        entries = self.store.look(key)  # `ready` has peeked
        entry, verdict = self._judged(entries, ask)
        if verdict is not USE:  # what another process has stored meanwhile may be better
            entries = await self.store.find(key)
            entry, verdict = self._judged(entries, ask)
        now = self.now()
        if entry is not None and (verdict is USE or verdict is USE_AND_VALIDATE):
            if verdict is USE_AND_VALIDATE:
                self._validate_beside(visit, entry)
            if await self._stored.give(visit, entry, Outcome(ttl=int((entry.fresh_until - now) // 1))):
                return
        if b"only-if-cached" in ask.directives:
            visit.exchange.cache = Outcome(reason_for(entries, entry, verdict, ask))
            await visit.delivery.reply(Reply(504, [(b"content-type", b"text/plain")], NOT_STORED))
        elif ask.method == b"HEAD" or (entry is None and self.fetches.is_refused(key)):
            await self._pass(visit, reason_for(entries, entry, verdict, ask))
        else:
            await self._fetch(visit, entries, entry, verdict)

    def _judged(self, entries: Sequence[Entry], ask: Ask) -> tuple[Entry | None, Verdict | None]:
        """The entry that suits a request, and what may be done with it."""
        now = self.now()
        entry = select(entries, ask)
        if entry is None or entry.kept_until < now:
            return None, None
        return entry, reuse(entry, ask, now)

    async def _pass(self, visit: Visit, reason: bytes) -> None:
        await visit.source.pass_on(Observation(self, visit, reason))

    # ------------------------------------------------------------ fetching

    async def _fetch(self, visit: Visit, entries: Sequence[Entry], entry: Entry | None, verdict: Verdict | None) -> None:
        reason = reason_for(entries, entry, verdict, visit.ask)
        trail = self._trail(visit, entries, entry, verdict)
        fetched = self.fetches.under_way.get(trail) if trail else None
        if fetched is not None and fetched.keeps_all and fetched.mark == self.store.mark():
            if await self._follow(visit, fetched.shared(), reason):
                return
            trail = b""  # that one was not for us, and nobody waits for ours
        old = entry if verdict is not PASS else None
        await self._lead(visit, old, reason, trail)

    def _trail(
        self, visit: Visit, entries: Sequence[Entry], entry: Entry | None, verdict: Verdict | None
    ) -> bytes:
        """What requests have in common that may share a fetch; empty for one that has to go alone."""
        ask = visit.ask
        if not self._collapses or visit.exchange.goes_alone or ask.concern(b"range") is not None or ask.directives.no_store:
            return b""
        if verdict is PASS or verdict is ASKED_TO_VALIDATE or (entry is not None and entry.always_validate):
            return b""
        if ask.is_authorized and not any(known.for_authorized for known in entries):
            return b""  # its answer is hardly for others
        names = entries[0].vary if entries else ()
        selecting = ask.selecting(coded=bool(entries) and is_coded(entries[0].headers))
        return trail_of(visit.key, (normalised(name, selecting) for name, _ in names))

    async def _follow(self, visit: Visit, flight: Flight, reason: bytes) -> bool:
        """Share somebody else's fetch. False where its answer does not suit, will not come or is late."""
        reader = flight.join(visit.body)
        watch = visit.delivery.watch
        watch.begin(reader)
        try:
            landing = await _within(COALESCE_WAIT - (monotonic() - visit.exchange.started_at), reader)
            if landing is None:
                return False
            outcome = Outcome(reason)
            outcome.collapsed = True
            if not self._suits(landing, visit.ask):
                return False
            return await self._land(visit, reader, landing, outcome)
        except ClientGone:
            raise
        except GatewayError:
            if visit.delivery.started:
                raise
            return False
        finally:
            watch.end(reader)
            reader.leave()

    def _suits(self, landing: Landing, ask: Ask) -> bool:
        """Whether what one request brought answers another one."""
        entry = landing.entry
        if entry is None or landing.kind is Kind.ODD or select((entry,), ask) is None:
            return False
        if landing.kind is Kind.BRIDGED:
            return may_bridge(entry, ask, self.now())
        return reuse(entry, ask, self.now()) is USE

    async def _lead(self, visit: Visit, old: Entry | None, reason: bytes, trail: bytes) -> None:
        fetched, flight = self._start(visit, old, trail)
        await self._receive(visit, fetched, flight.join(visit.body), old, reason)

    async def go_on(
        self, exchange: Exchange, delivery: Delivery, source: Source, body: RequestBody, fetched: Fetched
    ) -> None:
        """The rest of what the express lane has begun for a request: the fetch itself, where its answer has not. Raises
        GatewayError."""
        visit = Visit(exchange, fetched.ask, fetched.key, delivery, source, body)
        flight, reader = fetched.shared(), fetched.leader
        assert reader is not None
        reader.body = body
        if flight.landing is None:
            self.carry_on(fetched, source)
        await self._receive(visit, fetched, reader, None, Forward.URI_MISS)

    def carry_on(self, fetched: Fetched, source: Source) -> None:
        """Make a fetch that the express lane has begun, and whose answer has not come, in a task of its own."""
        self._send_out(fetched, source, FetchEdit(self.keys, plain=self.asks_plain))

    async def _receive(
        self, visit: Visit, fetched: Fetched, reader: Reader, old: Entry | None, reason: bytes
    ) -> None:
        """What a fetch brings, for the request that it is made for."""
        receiver = fetched.receiver
        assert receiver is not None
        receiver.on_interim = visit.delivery.interim
        watch = visit.delivery.watch
        watch.begin(reader)
        try:
            landing = await reader.landing()
            fetched.tell(visit.exchange)
            if landing.kind is not Kind.ODD and await self._land(visit, reader, landing, fetched.outcome(landing, reason)):
                return
        except GatewayError:
            fetched.tell(visit.exchange)
            visit.exchange.cache = visit.exchange.cache or Outcome(reason)
            raise
        finally:
            receiver.on_interim = None
            watch.end(reader)
            reader.leave()
        if old is not None:
            await self.store.drop(visit.key, old)
        await self._lead(visit, None, reason, b"")

    def _validate_beside(self, visit: Visit, entry: Entry) -> None:
        """Ask about an entry that has just been used stale, in the background and once."""
        trail = self._trail(visit, (entry,), entry, VALIDATE) or trail_of(visit.key)
        if trail not in self.fetches.under_way:
            self._start(visit, entry, trail, alone=True)

    def _start(
        self, visit: Visit, old: Entry | None, trail: bytes, *, alone: bool = False
    ) -> tuple[Fetched, Flight]:
        """A fetch in a task of its own. trail: under which others find it. alone: it goes on without readers."""
        ask = visit.ask
        if ask.method != b"GET":
            ask = Ask(b"GET", ask.headers, heed=self.rules.heed_requests, plain=self.asks_plain)
        fetched = self.fetches.begin(shadow_of(visit.exchange), visit.key, ask, old, trail, now=self.now())
        flight = fetched.take_off(alone=alone)
        completes = old is not None and ask.asked_range is None and missing(old) is not None
        edit = FetchEdit(
            self.keys,
            validate=None if old is None or old.part is not None else old,
            complete=old if completes else None,
            keep_range=ask.asked_range is not None and (old is None or old.part is not None),
            plain=self.asks_plain,
        )
        self._send_out(fetched, visit.source, edit)
        return fetched, flight

    def _send_out(self, fetched: Fetched, source: Source, edit: FetchEdit) -> None:
        task = self._tasks.spawn(self._fly(fetched, source, edit))
        fetched.trip, fetched.task = None, task
        task.add_done_callback(fetched.given_up)

    async def _fly(self, fetched: Fetched, source: Source, edit: FetchEdit) -> None:
        flight, receiver, key = fetched.flight, fetched.receiver, fetched.key
        assert flight is not None
        assert receiver is not None
        lease: Lease | None = None
        try:
            if self._lock is not None and fetched.trail:
                lease = await self._lock.lead(key, COALESCE_WAIT)
                if lease is None and await self._found_meanwhile(receiver, key):
                    return
                if lease is not None:
                    receiver.on_refused = partial(self._release, lease)
            await source.fetch(fetched.exchange, edit, receiver)
        except GatewayError as error:
            receiver.failed(error, bridges=isinstance(error, TargetError))
        except BaseException as exc:
            flight.fail(GatewayError(f"the fetch was given up: {exc!r}"))
            raise
        finally:
            await self._settle(fetched, receiver, lease)

    async def _settle(self, fetched: Fetched, receiver: Receiver, lease: Lease | None) -> None:
        """Others find the fetch until what it brought is stored."""
        try:
            await receiver.settle()
        finally:
            fetched.over()
            if lease is not None:
                await lease.release()

    def _release(self, lease: Lease) -> None:
        """The answer is of no use to others: they need not wait for its end."""
        self._tasks.spawn(lease.release())

    async def _found_meanwhile(self, receiver: Receiver, key: bytes) -> bool:
        """Another process fetched it, and it answers this request too."""
        entry = select(await self.store.find(key), receiver.ask)
        if entry is None or reuse(entry, receiver.ask, self.now()) is not USE:
            return False
        receiver.found(entry)
        return True

    # ------------------------------------------------------------ delivering

    async def _land(self, visit: Visit, reader: Reader, landing: Landing, outcome: Outcome) -> bool:
        """Deliver what a flight brought. False where nothing was sent, since the body has gone out of the store."""
        if landing.kind is Kind.ANSWER:
            await self._relay(visit, reader, landing, outcome)
            return True
        entry = landing.entry
        assert entry is not None
        if landing.kind is Kind.BRIDGED or landing.status == NOT_MODIFIED:
            outcome.fwd_status = landing.status
        if landing.kind is Kind.BRIDGED:
            outcome.ttl = int((entry.fresh_until - self.now()) // 1)
        elif landing.headers and not outcome.collapsed:  # for the one alone who asked
            shared = [pair for pair in entry.headers if pair[0] != b"set-cookie"]
            own = entry.copy(headers=shared + landing.headers)
            own.place, own.forms = entry.place, entry.forms
            entry = own
        return await self._stored.give(visit, entry, outcome)

    async def _relay(self, visit: Visit, reader: Reader, landing: Landing, outcome: Outcome) -> None:
        """The target's answer, as it comes in."""
        exchange, delivery = visit.exchange, visit.delivery
        exchange.cache = outcome
        headers = [pair for pair in landing.headers if pair[0] != OUR_TARGET]
        entry = landing.entry
        if outcome.collapsed and entry is not None:  # what `private` and `no-cache` name is the leader's alone
            headers = [pair for pair in (headers if entry.part is not None else entry.headers) if pair[0] != b"age"]
            headers.append(age_field(entry, self.now()))
        if landing.status == 200 and visit.ask.asks_for_newer and self._is_unchanged(visit.ask, headers):
            reader.let_go_on()
            await delivery.reply(Reply(NOT_MODIFIED, not_modified_fields(headers)))
            return
        head = ResponseHead(landing.status, headers, landing.length)
        delivery.pipeline.amend(exchange, head)
        transform = head.transform
        trailers = landing.chunked and transform is None and wants_trailers(exchange)
        await delivery.start(head, trailers=trailers)
        more = True
        while more:
            data = await reader.chunk()
            more = reader.has_more
            if transform is not None:
                data = transform.feed(data) if more else transform.feed(data) + transform.finish()
            await delivery.chunk(data, more=more)
        if trailers:
            await delivery.end(reader.trailers)

    def _is_unchanged(self, ask: Ask, headers: Headers) -> bool:
        """The client's own condition, which was not sent along."""
        now = self.now()
        fields = dict(reversed(headers))
        etag, last_modified = fields.get(b"etag", b""), fields.get(b"last-modified", b"")
        return is_not_modified(ask.concerns, etag, last_modified, date_of(headers, now), now)


async def _within(seconds: float, reader: Reader) -> Landing | None:
    """What a fetch brings; None where that takes too long. Raises the GatewayError that came instead."""
    try:
        async with asyncio.timeout(seconds):
            return await reader.landing()
    except TimeoutError:
        return None
