"""What a cache answers at once: from memory, without awaiting anything, where the entry needs nothing either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cache.ask import READS, ask_of
from gateway.cache.key import is_ambiguous
from gateway.cache.memory import WHOLE, MemoryStore
from gateway.cache.render import age_field, render
from gateway.cache.reuse import USE, reuse, select
from gateway.cache.status import Forward, Outcome
from gateway.exchange import Reply
from gateway.rfc.cache_fields import CACHE_STATUS
from gateway.rfc.ranges import cut

if TYPE_CHECKING:
    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.cache.forms import Forms
    from gateway.cache.key import Bypass, KeyRule
    from gateway.cache.store import Store
    from gateway.exchange import Exchange


class ReadyAnswers:
    """keys, bypass: of the route. heed: whether a request's Cache-Control counts. forms: where answers are kept in content
    codings."""

    __slots__ = ("_bypass", "_forms", "_heed", "_keys", "_memory", "_store")

    def __init__(self, keys: KeyRule, store: Store, *, bypass: Bypass | None, heed: bool, forms: Forms | None) -> None:
        self._keys = keys
        self._store = store
        self._memory = store if isinstance(store, MemoryStore) else None  # which is called without a look-up
        self._bypass = bypass
        self._heed = heed
        self._forms = forms

    def answer(self, exchange: Exchange, now: float) -> Reply | None:
        """The answer to a request whose entry is in memory and needs nothing; None for the slow way, of which it says what it
        knows: by `exchange.cache` that the request goes past the cache, by `exchange.missed` that there is nothing.
        now: Unix seconds."""
        if exchange.method not in READS or exchange.websocket:
            return None
        if self.passes(exchange):
            exchange.cache = Outcome(Forward.BYPASS)
            return None
        ask = ask_of(exchange, heed=self._heed, plain=self._forms is not None)
        key = self._keys.key(exchange, ask.told)
        memory = self._memory
        entries = self._store.peek(key) if memory is None else memory.peek(key)
        if not entries:
            exchange.missed = key
            return None
        entry = select(entries, ask)
        if entry is None or entry.length > WHOLE or reuse(entry, ask, now) is not USE:
            return None
        if not ask.concerns and entry.part is None:
            return self._plain(exchange, key, entry, now)
        outcome = Outcome(ttl=int((entry.fresh_until - now) // 1))  # below 0 from the first moment on in which it is stale
        return None if ask.is_odd else self.reply(exchange, key, entry, ask, outcome, now)

    def passes(self, exchange: Exchange) -> bool:
        """Whether a request goes past the cache."""
        return (self._bypass is not None and self._bypass.takes(exchange)) or is_ambiguous(exchange)

    def _plain(self, exchange: Exchange, key: bytes, entry: Entry, now: float) -> Reply:
        """`reply` to a request without conditions, which is made once a second."""
        forms = self._forms
        coding = None if forms is None else forms.coding(exchange, key, entry)
        memo = entry.memo
        if not isinstance(memo, Memo) or memo.second != int(now):
            entry.memo = memo = Memo(int(now), Outcome(ttl=int(entry.fresh_until - now)))
        exchange.cache = memo.outcome
        reply = memo.replies.get(coding)
        if reply is not None:
            return reply
        headers = [pair for pair in entry.headers if pair[0] != b"content-length"]
        headers += (age_field(entry, now), (CACHE_STATUS, memo.outcome.value()))
        chunks = entry.chunks or ()
        if coding is not None and forms is not None:
            reply = Reply(entry.status, forms.headers(headers, coding), entry.forms[coding])
        elif len(chunks) > 1:  # a second copy of a body is not kept
            return Reply(entry.status, headers, b"".join(chunks))
        else:
            reply = Reply(entry.status, headers, b"".join(chunks))
        memo.replies[coding] = reply
        return reply

    def collapsed(self, exchange: Exchange, entry: Entry, now: float) -> Reply | None:
        """The answer to a request that has waited while somebody else fetched this entry; None where it is not for it."""
        ask = ask_of(exchange, heed=self._heed, plain=self._forms is not None)
        if ask.concerns or entry.part is not None or select((entry,), ask) is None or reuse(entry, ask, now) is not USE:
            return None
        exchange.cache = outcome = Outcome(Forward.URI_MISS)
        outcome.collapsed = True
        headers = [pair for pair in entry.headers if pair[0] != b"content-length"]
        headers.append(age_field(entry, now))
        return Reply(entry.status, headers, b"".join(entry.chunks or ()))

    def reply(
        self, exchange: Exchange, key: bytes, entry: Entry, ask: Ask, outcome: Outcome, now: float
    ) -> Reply | None:
        """None where the entry does not hold what is asked for."""
        rendering = render(entry, ask, now)
        if rendering is None:
            return None
        forms = self._forms
        headers, body = rendering.headers, b""
        headers.append((CACHE_STATUS, outcome.value()))
        exchange.cache = outcome
        if rendering.status == entry.status and entry.part is None and forms is not None:
            coding = forms.coding(exchange, key, entry)
            if coding is not None:
                return Reply(rendering.status, forms.headers(headers, coding), entry.forms[coding])
        if rendering.span != (0, 0):
            body = b"".join(cut(entry.chunks or (), *rendering.span))
        return Reply(rendering.status, headers, body)


class Memo:
    """What an entry's plain replies are within one second. replies: by content coding."""

    __slots__ = ("outcome", "replies", "second")

    def __init__(self, second: int, outcome: Outcome) -> None:
        self.second = second
        self.outcome = outcome
        self.replies: dict[bytes | None, Reply] = {}

