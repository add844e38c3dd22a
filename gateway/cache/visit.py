"""One request at the cache: what it is about, why it is not answered from the store, and the exchange of a fetch for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cache.reuse import ASKED_TO_VALIDATE, PASS, VALIDATE, select
from gateway.cache.status import Forward
from gateway.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.body import RequestBody
    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.cache.reuse import Verdict
    from gateway.cache.source import Source
    from gateway.deliver import Delivery


class Visit:
    """One request at the cache."""

    __slots__ = ("ask", "body", "delivery", "exchange", "key", "source")

    def __init__(
        self, exchange: Exchange, ask: Ask, key: bytes, delivery: Delivery, source: Source, body: RequestBody
    ) -> None:
        self.exchange = exchange
        self.ask = ask
        self.key = key
        self.delivery = delivery
        self.source = source
        self.body = body


def shadow_of(exchange: Exchange) -> Exchange:
    """The exchange of a fetch: a GET of the same, by the same client, with an outcome of its own."""
    own = Exchange(
        b"GET", exchange.path, exchange.query, exchange.headers, scheme=exchange.scheme, http_version=exchange.http_version,
        peer=exchange.peer, peer_port=exchange.peer_port, mount=exchange.mount, started_at=exchange.started_at, fields=exchange.unedited,
    )  # fmt: skip
    for name in ("captures", "client", "entrance", "host", "match_path", "request_id", "route", "server", "traceparent", "trusted"):
        setattr(own, name, getattr(exchange, name))
    return own


def reason_for(entries: Sequence[Entry], entry: Entry | None, verdict: Verdict | None, ask: Ask) -> bytes:
    """Why a request is not answered from the store. entry: of the entries, if it is of any use."""
    if entry is None:
        if not entries:
            return Forward.URI_MISS
        return Forward.VARY_MISS if select(entries, ask) is None else Forward.STALE  # so long that it is not kept for anything
    if verdict is ASKED_TO_VALIDATE or verdict is PASS:
        return Forward.REQUEST
    if verdict is VALIDATE:
        return Forward.STALE
    return Forward.PARTIAL if entry.part is not None else Forward.MISS
