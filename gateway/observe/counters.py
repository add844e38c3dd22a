"""What happened, as plain numbers under the Prometheus names and labels of the metrics page; read when asked.

An exchange costs a dictionary look-up and a few additions. Labels are words of the configuration, known methods and
status codes: never a path or an address of a client. A table that is full counts under `_other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.errors import GatewayError
    from gateway.exchange import Exchange, Reply

    _Kind = tuple[str, bytes, int, str, str]  # route, method, status, upstream, target

Labels = tuple[str, ...]

SHORT: Final = 0.005  # seconds; most are
BOUNDS: Final[tuple[float, ...]] = (SHORT, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # seconds
NO_ROUTE: Final = "_none"
OTHER: Final = "_other"
OTHER_METHOD: Final = "_OTHER"
METHODS: Final = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
}
MAX_SERIES: Final = 10_000  # in each table


class Histogram(NamedTuple):
    """counts: one for each of BOUNDS and one for what is above them, not cumulated. total: the sum, in seconds."""

    counts: tuple[int, ...]
    total: float


class Metric(NamedTuple):
    """kind: `counter`, `gauge` or `histogram`; only the last has Histograms. samples: by the values of the labels."""

    name: str
    kind: str
    labels: Labels
    samples: Mapping[Labels, float | Histogram]


class _Served:
    """The exchanges of one route, method and status, and of the target that answered them."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.bytes_in = 0
        self.bytes_out = 0


class Count:
    """A number that changes in its place."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


class Counters:
    """Counts an exchange when it is over, and those under way by route.

    As a policy it has to be the first of its pipeline: `finish` takes back what `admit` has added. max_series: combinations
    of labels that a table holds.
    """

    __slots__ = ("_answered", "_errors", "_in_flight", "_last", "_last_kind", "_max_series", "_retries", "_served")

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self._in_flight: dict[str, Count] = {}
        self._served: dict[_Kind, _Served] = {}
        self._last_kind: object = None  # many are of the kind of the one before
        self._last = _Served()
        self._answered: dict[Labels, int] = {}  # by targets whose answers were not the end of it
        self._errors: dict[Labels, int] = {}
        self._retries: dict[Labels, int] = {}

    # ------------------------------------------------------------ in every request

    def admit(self, exchange: Exchange) -> Reply | None:
        route = exchange.route
        if route is not None:
            under_way = self._in_flight.get(route.name)
            if under_way is None:
                under_way = self._in_flight[route.name] = Count()
            under_way.number += 1
        return None

    def finish(self, exchange: Exchange) -> None:
        status = exchange.status
        upstream = target = ""
        if exchange.error is not None:
            status = status or exchange.error.status
            self._count_failure(exchange, exchange.error)
        elif not status:  # handed over to another protocol class, which will say how it went
            return
        elif exchange.target is not None:
            upstream = exchange.upstream_name
            target = exchange.target.name
            if exchange.attempts > 1:
                self._add(self._retries, (upstream, target), exchange.attempts - 1)
        name = NO_ROUTE
        if exchange.route is not None:
            name = exchange.route.name
            under_way = self._in_flight.get(name)
            if under_way is not None and under_way.number:  # none: it failed before this route's `admit`
                under_way.number -= 1
        kind = (name, exchange.method, status, upstream, target)
        if kind == self._last_kind:
            served = self._last
        else:
            served = self._last = self._served.get(kind) or self._first(name, exchange.method, status, upstream, target)
            self._last_kind = kind
        seconds = exchange.ended_at - exchange.started_at
        served.buckets[bisect_left(BOUNDS, seconds) if seconds > SHORT else 0] += 1
        served.seconds += seconds
        served.bytes_in += exchange.bytes_in
        served.bytes_out += exchange.bytes_out

    def _count_failure(self, exchange: Exchange, error: GatewayError) -> None:
        if exchange.target is None:
            return
        at = (exchange.upstream_name, exchange.target.name)
        if isinstance(error, TargetError):
            self._add(self._errors, (*at, error.proxy_error), 1)
        if exchange.first_byte_at and exchange.status:  # it did answer; the end was missed, or the client left
            self._add(self._answered, (*at, str(exchange.status)), 1)
        if exchange.attempts > 1:
            self._add(self._retries, at, exchange.attempts - 1)

    def _first(self, route: str, method: bytes, status: int, upstream: str, target: str) -> _Served:
        """The first of its kind; all unknown methods are of one kind."""
        if method not in METHODS:
            method = OTHER_METHOD.encode()
        kind = (route, method, status, upstream, target)
        if len(self._served) >= self._max_series and kind not in self._served:
            kind = (OTHER, OTHER_METHOD.encode(), status, upstream and OTHER, target and OTHER)
        return self._served.setdefault(kind, _Served())

    def _add(self, table: dict[Labels, int], labels: Labels, amount: int) -> None:
        if len(table) >= self._max_series and labels not in table:
            labels = (OTHER,) * len(labels)
        _add(table, labels, amount)

    # ------------------------------------------------------------ when the numbers are asked for

    def collect(self) -> list[Metric]:
        """All that was counted until now, as a copy."""
        requests: dict[Labels, int] = {}
        bytes_in: dict[Labels, int] = {}
        bytes_out: dict[Labels, int] = {}
        answered = dict(self._answered)
        by_class: dict[Labels, list[_Served]] = {}
        for (route, method, status, upstream, target), served in self._served.items():
            word = METHODS.get(method, OTHER_METHOD)
            count = sum(served.buckets)
            _add(requests, (route, word, str(status)), count)
            _add(bytes_in, (route,), served.bytes_in)
            _add(bytes_out, (route,), served.bytes_out)
            if target:
                _add(answered, (upstream, target, str(status)), count)
            by_class.setdefault((route, word, f"{status // 100}xx"), []).append(served)
        durations = {labels: _merged(alike) for labels, alike in by_class.items()}
        in_flight: dict[Labels, int] = {(route,): found.number for route, found in self._in_flight.items()}
        at = ("upstream", "target")
        return [
            Metric("gateway_requests_total", "counter", ("route", "method", "code"), requests),
            Metric("gateway_request_duration_seconds", "histogram", ("route", "method", "code_class"), durations),
            Metric("gateway_requests_in_flight", "gauge", ("route",), in_flight),
            Metric("gateway_request_bytes_total", "counter", ("route",), bytes_in),
            Metric("gateway_response_bytes_total", "counter", ("route",), bytes_out),
            Metric("gateway_upstream_requests_total", "counter", (*at, "code"), answered),
            Metric("gateway_upstream_errors_total", "counter", (*at, "reason"), dict(self._errors)),
            Metric("gateway_upstream_retries_total", "counter", at, dict(self._retries)),
        ]


def _add(table: dict[Labels, int], labels: Labels, amount: int) -> None:
    table[labels] = table.get(labels, 0) + amount


def _merged(alike: Iterable[_Served]) -> Histogram:
    counts = [0] * (len(BOUNDS) + 1)
    total = 0.0
    for served in alike:
        counts = [count + more for count, more in zip(counts, served.buckets, strict=True)]
        total += served.seconds
    return Histogram(tuple(counts), total)
