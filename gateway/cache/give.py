"""Answers from the store that are more than `ready.py` gives at once: long bodies, parts of them, what lies in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cache.memory import PIECE, WHOLE
from gateway.cache.receive import NOT_MODIFIED
from gateway.cache.render import render
from gateway.errors import GatewayError
from gateway.exchange import ResponseHead
from gateway.rfc.cache_fields import CACHE_STATUS
from gateway.rfc.ranges import cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.cache.entry import Entry
    from gateway.cache.forms import Forms
    from gateway.cache.ready import ReadyAnswers
    from gateway.cache.render import Rendering
    from gateway.cache.status import Outcome
    from gateway.cache.store import Store
    from gateway.cache.visit import Visit
    from gateway.deliver import Delivery
    from gateway.exchange import Headers
    from gateway.rfc.ranges import Span


class StoredAnswers:
    """forms: where answers are kept in content codings. now: Unix seconds."""

    __slots__ = ("_forms", "_now", "_ready", "_store")

    def __init__(self, store: Store, ready: ReadyAnswers, forms: Forms | None, now: Callable[[], float]) -> None:
        self._store = store
        self._ready = ready
        self._forms = forms
        self._now = now

    async def give(self, visit: Visit, entry: Entry, outcome: Outcome) -> bool:
        """Answer from the store. False where the entry does not hold what is asked for, or its body has gone."""
        exchange, delivery = visit.exchange, visit.delivery
        if entry.chunks is not None and entry.length <= WHOLE:
            reply = self._ready.reply(exchange, visit.key, entry, visit.ask, outcome, self._now())
            if reply is not None:
                await delivery.reply(reply)
            return reply is not None
        rendering = render(entry, visit.ask, self._now())
        if rendering is None:
            return False
        first, end = rendering.span
        headers = rendering.headers
        form = self._form(visit, entry, rendering)
        if form is not None:
            headers, (first, end) = form[0], (0, len(form[1]))
        pieces: AsyncIterator[bytes] | None = None
        piece = b""
        if visit.ask.method == b"GET" and first < end:
            pieces = self._pieces(visit, entry, (first, end)) if form is None else _cut_up(form[1])
            try:
                piece = await anext(pieces, b"")
            except LookupError:
                return False
        exchange.cache = outcome
        headers.append((CACHE_STATUS, outcome.value()))
        if rendering.status not in {204, NOT_MODIFIED}:
            headers.append((b"content-length", b"%d" % (end - first)))
        head = ResponseHead(rendering.status, headers, end - first)
        delivery.pipeline.amend(exchange, head)
        await delivery.start(head)
        try:
            await _send(delivery, head, piece, pieces)
        except LookupError as exc:
            raise GatewayError(f"the store has lost the rest of a body: {exc}") from None
        return True

    def _form(self, visit: Visit, entry: Entry, rendering: Rendering) -> tuple[Headers, bytes] | None:
        """Fields and body of the coded form in which a whole answer goes out; None where it goes out as it is."""
        if self._forms is None or entry.part is not None or rendering.status != entry.status:
            return None
        coding = self._forms.coding(visit.exchange, visit.key, entry)
        return None if coding is None else (self._forms.headers(rendering.headers, coding), entry.forms[coding])

    async def _pieces(self, visit: Visit, entry: Entry, span: Span) -> AsyncIterator[bytes]:
        first, end = span
        if entry.chunks is not None:
            for piece in cut(entry.chunks, first, end):
                yield piece
            return
        async for piece in self._store.body(visit.key, entry, first, end):
            yield piece


async def _cut_up(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), PIECE):
        yield body[at : at + PIECE]


async def _send(
    delivery: Delivery, head: ResponseHead, piece: bytes, pieces: AsyncIterator[bytes] | None
) -> None:
    """The body of a stored answer, each piece when the client has taken the one before."""
    transform = head.transform
    more = pieces is not None and bool(piece)
    while more and pieces is not None:
        following = await anext(pieces, b"")
        more = bool(following)
        if transform is not None:
            piece = transform.feed(piece)
        if more:
            await delivery.chunk(piece, more=True)
            piece = following
    if transform is not None:
        piece += transform.finish()
    await delivery.chunk(piece, more=False)
