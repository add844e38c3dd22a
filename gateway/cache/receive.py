"""What a fetch brings, taken for the cache: the decision at its head, then the body to all readers and to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway.cache.answered import Answered
from gateway.cache.flight import WINDOW, Kind, Landing
from gateway.cache.key import url_of_request
from gateway.cache.reuse import ERROR_STATUSES, held_span, may_bridge
from gateway.cache.storable import Refusal, storable
from gateway.cache.update import describes, joined, joins, merged, private_cookies, updated
from gateway.rfc.cache_fields import OURS, TOLD
from gateway.rfc.message import UNTIL_CLOSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.cache.fetching import Fetched
    from gateway.cache.flight import Flight, Valve
    from gateway.cache.rules import Rules
    from gateway.cache.store import ReadyWriter, Store, Writer
    from gateway.errors import GatewayError
    from gateway.exchange import Headers, ResponseHead
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.upstream import AnyTarget

PARTIAL: Final = 206
NOT_MODIFIED: Final = 304
_NO_MORE: Final = frozenset({412, 416})  # to a Range of ours; the client has sent none


def ends_surely(head: AnswerHead, target: AnyTarget | None) -> bool:
    """Whether the end of an answer's body can be told from a connection that broke: not where it has no length and comes by
    TLS, since nobody says whether that was closed in order."""
    return head.length != UNTIL_CLOSE or target is None or target.address.scheme != "https"


def judged(ask: Ask, answered: Answered, rules: Rules, *, ends_surely: bool, completes: bool = False) -> Entry | Refusal:
    """The entry for what a fetch was answered, or why it is not stored. ends_surely: see the function of that name.
    completes: what is held may be completed by a part that the client has not asked for."""
    made = storable(ask, answered, rules)
    if isinstance(made, Refusal):
        return made
    if answered.status == PARTIAL and not completes and ask.asked_range is None:
        return Refusal.RANGE
    return made if ends_surely else Refusal.END


class Receiver:
    """The taker of one fetch, whose answer goes by a flight. now: Unix seconds.

    refused: what kept the answer out of the store, once it has landed. on_refused: called then. is_first: see `Outcome`.
    """

    __slots__ = (
        "_asked_at", "_behind", "_body", "_exchange", "_flight", "_key", "_mark", "_now", "_old", "_rules", "_size", "_store",
        "_writer", "ask", "is_first", "made", "on_interim", "on_refused", "refused", "renewed",
    )  # fmt: skip

    def __init__(self, fetched: Fetched, flight: Flight, store: Store, rules: Rules, now: Callable[[], float]) -> None:
        self._flight = flight
        self._store = store
        self._rules = rules
        self._key = fetched.key
        self._exchange = fetched.exchange
        self.ask = fetched.ask
        self._old = fetched.old
        self._now = now
        self._asked_at = fetched.asked_at
        self._mark = fetched.mark
        self._writer: Writer | None = None
        self._body: list[bytes] | None = None  # of a part, which is stored when it is there
        self._behind: tuple[bytes, ...] = ()  # what is held of the representation behind the part that comes
        self._size = 0
        self.made: Entry | None = None
        self.renewed: Entry | None = None
        self.refused: Refusal | None = None
        self.is_first = False
        self.on_interim: Callable[[int, Headers], None] | None = None
        self.on_refused: Callable[[], None] | None = None

    def interim(self, status: int, headers: Headers) -> None:
        if self.on_interim is not None:
            self.on_interim(status, headers)

    def head(self, head: ResponseHead, valve: Valve, *, chunked: bool, ends_surely: bool = True) -> bool:
        """ends_surely: see the function of that name."""
        now, old = self._now(), self._old
        url = url_of_request(self._exchange)
        answered = Answered(head.status, head.headers, head.length, self._asked_at, now, url)
        if old is not None and head.status == NOT_MODIFIED:
            self._validated(old, answered)
            return True
        if old is not None and head.status in ERROR_STATUSES and self._bridges(old, now):
            self._flight.land(Landing(Kind.BRIDGED, head.status, entry=old))
            return False
        asked_range = self.ask.asked_range
        if old is not None and old.part is not None and asked_range is None and head.status in _NO_MORE:
            self._flight.land(Landing(Kind.ODD, head.status, entry=old))
            return False
        made = judged(self.ask, answered, self._rules, ends_surely=ends_surely, completes=old is not None)
        landing = Landing(Kind.ANSWER, head.status, headers=head.headers, length=head.length, chunked=chunked)
        self.is_first = not answered.kinds & (TOLD | OURS)
        if isinstance(made, Refusal):
            self._refuse(made)
            self._flight.land(landing, valve, window=WINDOW)
            return True
        self.made = landing.entry = made
        if made.part is None:
            self._writer = self._store.begin(self._key, made, self._mark)
        else:
            self._body = []
            if self.ask.asked_range is None:  # it was ours
                completed = self._completing(made)
                if completed is None:
                    self._flight.land(Landing(Kind.ODD, head.status, entry=old))
                    return False
                landing = completed
        self._flight.land(landing, valve)
        return True

    def _bridges(self, old: Entry, now: float) -> bool:
        """The old entry helps out: it may, and has what is asked for."""
        return may_bridge(old, self.ask, now) and held_span(old, self.ask) is not None

    def _validated(self, old: Entry, answered: Answered) -> None:
        if not describes(old, answered.headers):
            self._flight.land(Landing(Kind.ODD, NOT_MODIFIED, entry=old))
            return
        entry, stays = updated(old, self.ask, answered, self._rules)
        self.renewed = entry if stays else None
        own = private_cookies(answered)
        self._flight.land(Landing(Kind.VALIDATED, NOT_MODIFIED, entry=entry, headers=own))

    def _completing(self, made: Entry) -> Landing | None:
        """The whole representation, where a part of it is held and this is the rest; its bytes before this part are put in
        front."""
        old = self._old
        if old is None or old.part is None or old.chunks is None or made.part is None or not joins(old, made):
            return None
        if made.part.total != old.length + made.part.last + 1 - made.part.first:
            return None
        headers = merged(old.headers, made.headers)
        if old.part.first == 0:
            for chunk in old.chunks:
                self._flight.data(chunk)
        else:
            self._behind = old.chunks
        headers.append((b"content-length", b"%d" % made.part.total))
        return Landing(Kind.ANSWER, 200, entry=made, headers=headers, length=made.part.total)

    def data(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._rules.max_object and self.made is not None:
            self._outgrown()
        if self._writer is not None:
            self._writer.append(chunk)
        elif self._body is not None:
            self._body.append(chunk)
        self._flight.data(chunk)

    def _outgrown(self) -> None:
        """It said no length, and has become larger than what is stored."""
        if self._writer is not None:
            self._writer.abort()
        self._writer = self._body = None
        self.made = None
        self._refuse(Refusal.SIZE)
        self._flight.narrow(self._rules.max_object)

    def _refuse(self, refusal: Refusal) -> None:
        self.refused = refusal
        if self.on_refused is not None:
            self.on_refused()

    def end(self, trailers: Headers) -> None:
        for chunk in self._behind:
            self._flight.data(chunk)
        self._flight.end(trailers)

    # ------------------------------------------------------------ instead of an answer

    def failed(self, error: GatewayError, *, bridges: bool) -> None:
        """bridges: it is a failure that a stale entry may help out of."""
        old, flight = self._old, self._flight
        if flight.landing is None and bridges and old is not None and self._bridges(old, self._now()):
            flight.land(Landing(Kind.BRIDGED, 0, entry=old))
        else:
            flight.fail(error)

    def found(self, entry: Entry) -> None:
        """It has been stored meanwhile, by somebody else."""
        self._flight.land(Landing(Kind.VALIDATED, 0, entry=entry))

    # ------------------------------------------------------------ when the fetch is over

    async def settle(self) -> None:
        """Store what has come whole, as a new entry or in the place of the old one."""
        old = self._old
        if self.renewed is not None and old is not None:
            await self._store.renew(self._key, old, self.renewed, self._mark)
        elif self._writer is not None:
            if self._flight.ended:
                await self._writer.commit()
            else:
                self._writer.abort()
        elif self._body is not None and self.made is not None and self._flight.ended:
            await self._store_part(self.made, tuple(self._body))

    def settle_at_once(self) -> None:
        """The same for a new answer, and a store that shows all that it has."""
        writer = cast("ReadyWriter | None", self._writer)
        if writer is not None:
            if self._flight.ended:
                writer.commit_at_once()
            else:
                writer.abort()

    async def _store_part(self, made: Entry, body: tuple[bytes, ...]) -> None:
        old = self._old
        if old is not None and old.chunks is not None and old.part is not None and joins(old, made):
            made, body = joined(old, old.chunks, made, body)
        writer = self._store.begin(self._key, made, self._mark)
        for chunk in body:
            writer.append(chunk)
        await writer.commit()
