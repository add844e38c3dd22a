"""What happened, as plain numbers under the Prometheus names and labels of the metrics page; read when asked.

An exchange costs two dictionary look-ups and a few additions. Labels are words of the configuration, known methods and
status codes: never a path or an address of a client. A table that is full counts under `_other`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from gateway.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.exchange import Exchange, Reply

Labels = tuple[str, ...]
_Key = TypeVar("_Key", bound=tuple[object, ...])

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # seconds
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
    """kind: `counter`, `gauge` or `histogram`. samples: the value of each combination of labels."""

    name: str
    kind: str
    labels: Labels
    samples: dict[Labels, float | Histogram]


class _Served:
    """The exchanges of one route, method and status."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.bytes_in = 0
        self.bytes_out = 0


class Counters:
    """Counts an exchange when it is over, and those under way by route.

    As a policy it has to be the first of its pipeline: `finish` takes back what `admit` has added. now: the clock of
    `exchange.started_at`.
    """

    __slots__ = ("_errors", "_in_flight", "_now", "_retries", "_served", "_upstream")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._in_flight: dict[str, int] = {}
        self._served: dict[tuple[str, bytes, int], _Served] = {}
        self._upstream: dict[tuple[str, str, int], int] = {}
        self._errors: dict[tuple[str, str, str], int] = {}
        self._retries: dict[tuple[str, str], int] = {}

    # ------------------------------------------------------------ in every request

    def admit(self, exchange: Exchange) -> Reply | None:
        if exchange.route is not None:
            name = exchange.route.name
            self._in_flight[name] = self._in_flight.get(name, 0) + 1
        return None

    def finish(self, exchange: Exchange) -> None:
        status = exchange.status
        error = exchange.error
        if not status:
            if error is None:  # handed over to another protocol class, which will say how it went
                return
            status = error.status
        route = exchange.route
        if route is None:
            name = NO_ROUTE
        else:
            name = route.name
            self._in_flight[name] = self._in_flight.get(name, 1) - 1
        served = self._served.get((name, exchange.method, status))
        if served is None:
            served = self._new_served(name, exchange.method, status)
        seconds = self._now() - exchange.started_at
        served.buckets[bisect_left(BOUNDS, seconds)] += 1
        served.seconds += seconds
        served.bytes_in += exchange.bytes_in
        served.bytes_out += exchange.bytes_out
        if exchange.target is not None:
            self._count_upstream(exchange, exchange.upstream_name, exchange.target.name)

    def _count_upstream(self, exchange: Exchange, upstream: str, target: str) -> None:
        error = exchange.error
        if isinstance(error, TargetError):
            reason = error.proxy_error
            _add(self._errors, (upstream, target, reason), (upstream, OTHER, reason), 1)
        elif error is None or exchange.first_byte_at:  # it did answer a client who left before the end
            _add(self._upstream, (upstream, target, exchange.status), (upstream, OTHER, exchange.status), 1)
        if exchange.attempts > 1:
            _add(self._retries, (upstream, target), (upstream, OTHER), exchange.attempts - 1)

    def _new_served(self, route: str, method: bytes, status: int) -> _Served:
        """The first of its kind; all unknown methods are of one kind."""
        if method not in METHODS:
            method = OTHER_METHOD.encode()
        key = (route, method, status)
        if len(self._served) >= MAX_SERIES and key not in self._served:
            key = (OTHER, OTHER_METHOD.encode(), status)
        return self._served.setdefault(key, _Served())

    # ------------------------------------------------------------ when the numbers are asked for

    def collect(self) -> list[Metric]:
        """All that was counted until now, as a copy."""
        requests: dict[Labels, float | Histogram] = {}
        bytes_in: dict[str, int] = {}
        bytes_out: dict[str, int] = {}
        by_class: dict[Labels, list[_Served]] = {}
        for (route, method, status), served in self._served.items():
            word = METHODS.get(method, OTHER_METHOD)
            requests[route, word, str(status)] = sum(served.buckets)
            bytes_in[route] = bytes_in.get(route, 0) + served.bytes_in
            bytes_out[route] = bytes_out.get(route, 0) + served.bytes_out
            by_class.setdefault((route, word, f"{status // 100}xx"), []).append(served)
        durations: dict[Labels, float | Histogram] = {labels: _merged(cells) for labels, cells in by_class.items()}
        upstream = ("upstream", "target")
        return [
            Metric("gateway_requests_total", "counter", ("route", "method", "code"), requests),
            Metric("gateway_request_duration_seconds", "histogram", ("route", "method", "code_class"), durations),
            Metric("gateway_requests_in_flight", "gauge", ("route",), _by_one(self._in_flight)),
            Metric("gateway_request_bytes_total", "counter", ("route",), _by_one(bytes_in)),
            Metric("gateway_response_bytes_total", "counter", ("route",), _by_one(bytes_out)),
            Metric("gateway_upstream_requests_total", "counter", (*upstream, "code"), _as_text(self._upstream)),
            Metric("gateway_upstream_errors_total", "counter", (*upstream, "reason"), _as_text(self._errors)),
            Metric("gateway_upstream_retries_total", "counter", upstream, _as_text(self._retries)),
        ]


def _add(table: dict[_Key, int], key: _Key, overflow: _Key, amount: int) -> None:
    if key not in table and len(table) >= MAX_SERIES:
        key = overflow
    table[key] = table.get(key, 0) + amount


def _merged(cells: Iterable[_Served]) -> Histogram:
    counts = [0] * (len(BOUNDS) + 1)
    total = 0.0
    for cell in cells:
        counts = [count + more for count, more in zip(counts, cell.buckets, strict=True)]
        total += cell.seconds
    return Histogram(tuple(counts), total)


def _by_one(table: Mapping[str, int]) -> dict[Labels, float | Histogram]:
    return {(label,): value for label, value in table.items()}


def _as_text(table: Mapping[_Key, int]) -> dict[Labels, float | Histogram]:
    return {tuple(map(str, key)): value for key, value in table.items()}
