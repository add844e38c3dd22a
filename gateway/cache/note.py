"""What a route's cache says and counts of every exchange: Cache-Status (RFC 9211), and the numbers of the metrics page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.observe.counters import Count, Metric
from gateway.rfc.cache_fields import CACHE_STATUS, OUR_TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cache.store import Store
    from gateway.exchange import Exchange, ResponseHead
    from gateway.observe.counters import Labels


class CacheNote:
    """The policy of routes with a cache: `amend` and `finish`. Results are few and routes are those of the configuration,
    which bounds the table."""

    amends_hits: Final = False

    __slots__ = ("_counted", "_last", "_last_name", "_last_word")

    def __init__(self) -> None:
        self._counted: dict[Labels, Count] = {}
        self._last_name = self._last_word = ""  # many are like the one before
        self._last = Count()

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        """A hit has its field already."""
        outcome = exchange.cache
        if outcome is None or outcome.hit:
            return
        headers: list[Any] = head.headers
        if outcome.is_first:
            headers.append(outcome.field())
            return
        ours, said = OUR_TARGET, outcome.value()
        is_said = False
        for index in range(len(headers) - 1, -1, -1):
            name, value = headers[index]
            if name == ours:
                del headers[index]
            elif name == CACHE_STATUS and value == said:
                is_said = True
        if not is_said:
            headers.append((CACHE_STATUS, said))

    def finish(self, exchange: Exchange) -> None:
        outcome, route = exchange.cache, exchange.route
        if outcome is not None and route is not None:
            name, word = route.name, outcome.word
            if name is not self._last_name or word is not self._last_word:
                self._last = self._counted.setdefault((name, word), Count())
                self._last_name, self._last_word = name, word
            self._last.number += 1

    @property
    def counts(self) -> Mapping[Labels, int]:
        """By route and result."""
        return {labels: count.number for labels, count in self._counted.items()}

    def collect(self, store: Store) -> list[Metric]:
        usage = store.usage()
        return [
            Metric("gateway_cache_requests_total", "counter", ("route", "result"), self.counts),
            Metric("gateway_cache_entries", "gauge", ("tier",), {("memory",): usage.entries}),
            Metric("gateway_cache_bytes", "gauge", ("tier",), {("memory",): usage.bytes_held}),
            Metric("gateway_cache_purged_total", "counter", ("tier",), {("memory",): usage.purged}),
        ]
