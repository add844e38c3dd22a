"""What the cache learns from exchanges that it lets pass: what they make invalid, what they freshen, and whether the key's
answers can be stored by now (RFC 9111 sections 4.3.5 and 4.4, RFC 9875)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cache.answered import Answered
from gateway.cache.ask import Ask
from gateway.cache.key import url_of_request
from gateway.cache.reuse import select
from gateway.cache.status import Forward, Outcome
from gateway.cache.storable import Refusal, storable
from gateway.cache.update import head_agrees, updated
from gateway.rfc.encoding import is_coded
from gateway.rfc.message import SAFE

if TYPE_CHECKING:
    from gateway.cache.entry import Entry
    from gateway.cache.serve import RouteCache
    from gateway.cache.visit import Visit
    from gateway.exchange import ResponseHead


class Observation:
    """The observer of one exchange that passes. reason: why it does."""

    __slots__ = ("_asked_at", "_cache", "_gathering", "_learns", "_mark", "_reason", "_visit")

    def __init__(self, cache: RouteCache, visit: Visit, reason: bytes) -> None:
        self._cache = cache
        self._visit = visit
        self._reason = reason
        self._asked_at = cache.now()
        self._mark = cache.store.mark()
        self._learns = reason != Forward.BYPASS and cache.is_telling(visit)
        visit.exchange.cache = Outcome(reason)  # also of a failure
        self._gathering: Gathering | None = None

    def seen(self, head: ResponseHead) -> Gathering | None:
        visit, cache = self._visit, self._cache
        visit.exchange.cache = outcome = Outcome(self._reason)
        if not self._learns or visit.ask.method == b"HEAD":
            return None
        made = storable(visit.ask, self._answered(head), cache.rules)
        if isinstance(made, Refusal):
            outcome.detail = made.value.encode()
            return None
        cache.fetches.allow(visit.key)
        if visit.ask.method != b"POST":
            return None
        outcome.stored = True
        self._gathering = Gathering(cache, visit.key, made, self._mark)
        return self._gathering

    async def before(self, head: ResponseHead) -> None:
        method = self._visit.ask.method
        if method not in SAFE:
            if 200 <= head.status < 400:
                gathering, store = self._gathering, self._cache.store
                was_purged = gathering is not None and store.was_purged(self._visit.key, gathering.made, self._mark)
                await self._cache.invalidator.succeeded(url_of_request(self._visit.exchange), head.headers)
                if gathering is not None and not was_purged:
                    gathering.mark = store.mark()  # it outlives what it purges itself
        elif method == b"HEAD" and self._learns:
            await self._freshen(head)

    async def _freshen(self, head: ResponseHead) -> None:
        visit, cache = self._visit, self._cache
        entry = select(await cache.store.find(visit.key), visit.ask)
        if entry is None or head.status != 200 or is_coded(head.headers) != is_coded(entry.headers):
            return
        now = cache.now()
        if head_agrees(entry, head.status, head.headers):
            newer, stays = updated(entry, _as_get(visit), self._answered(head), cache.rules)
            if stays:
                await cache.store.renew(visit.key, entry, newer, self._mark)
        elif entry.fresh_until > now:
            await cache.store.renew(visit.key, entry, entry.copy(fresh_until=now), self._mark)

    def _answered(self, head: ResponseHead) -> Answered:
        url = url_of_request(self._visit.exchange)
        return Answered(head.status, head.headers, head.length, self._asked_at, self._cache.now(), url)


def _as_get(visit: Visit) -> Ask:
    return Ask(b"GET", visit.ask.headers, plain=visit.ask.plain)


class Gathering:
    """The body of an answer to POST, which is stored for later GETs once it is whole and what the request changed is
    purged. made: its entry, without the body. mark: of the store; purges after it count."""

    __slots__ = ("_cache", "_chunks", "_key", "_size", "made", "mark")

    def __init__(self, cache: RouteCache, key: bytes, made: Entry, mark: int) -> None:
        self.mark = mark
        self._cache = cache
        self._key = key
        self.made = made
        self._chunks: list[bytes] = []
        self._size = 0

    def append(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self._cache.rules.max_object:
            self._chunks.append(chunk)

    async def close(self, *, whole: bool) -> None:
        if not whole or self._size > self._cache.rules.max_object:
            return
        store = self._cache.store
        writer = store.begin(self._key, self.made, self.mark)
        for chunk in self._chunks:
            writer.append(chunk)
        await writer.commit()
