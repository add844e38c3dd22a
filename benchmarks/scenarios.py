"""What is measured: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Scenario:
    """size: of the body, bytes. varied: every request has fields and a query of its own. The counts are what a sweep varies.
    gzipped: the body is JSON, clients accept gzip alone, and get it so; else it comes as it is.

    kind: `forward`, `policies` (forwarded with access list, header edits and a prefix stripped), `fixed` (answered by the
    proxy itself), `hit` (from the cache, whatever the query) or `miss` (fetched, and stored under its query).
    contenders: who takes part, in the order of their turns.
    """

    name: str
    about: str
    contenders: tuple[str, ...]
    kind: str = "forward"
    size: int = 1024
    varied: bool = True
    gzipped: bool = False
    routes: int = 1
    idle: int = 0
    targets: int = 1
    workers: int = 1

    @property
    def connections(self) -> int:
        """More than a proxy ever has at once."""
        return self.idle + 1000

    @property
    def path_before(self) -> str:
        """The request's path up to the number of the route; one route alone has none."""
        if self.kind in ("fixed", "policies"):
            return "/api"
        return "/r" if self.routes > 1 else "/shop"

    @property
    def path_behind(self) -> str:
        return f"/items/{self.size}"

    def path(self, route: int) -> str:
        return f"{self.path_before}{route if self.routes > 1 else ''}{self.path_behind}"

    @property
    def accepts(self) -> str:
        """The codings that a client names: a browser's, or the one that is measured."""
        return "gzip" if self.gzipped else "gzip, deflate, br, zstd"

    @property
    def expects(self) -> tuple[tuple[str, str | None], ...]:
        """Fields that an answer must have, or must not."""
        expected: list[tuple[str, str | None]] = [("Content-Encoding", "gzip" if self.gzipped else None)]
        if self.kind == "policies":
            expected.append(("X-Frame-Options", "DENY"))
        return tuple(expected)


ALL: Final = ("nginx", "haproxy", "caddy", "gateway", "gateway-asgi")
ENTRANCES: Final = ("nginx", "gateway", "gateway-asgi")
PAIR: Final = ("nginx", "gateway")
FLOORS: Final = ("nginx", "gateway", "bare-uvloop", "gateway-asgi", "bare-asgi")

SCENARIOS: Final = (
    Scenario("forward-1k", "1 KB forwarded; own query, cookie, referer and id in every request", ALL),
    Scenario("forward-1k-same", "1 KB forwarded; all requests alike", ALL, varied=False),
    Scenario("forward-64k", "64 KB forwarded", ALL, size=65536),
    Scenario("fixed-1k", "1 KB answered by the proxy itself", ALL, kind="fixed"),
    Scenario("hit-1k", "1 KB from the cache; own fields in every request", ENTRANCES, kind="hit"),
    Scenario("cache-hit-64k", "64 KB from the cache; own fields in every request", ENTRANCES, kind="hit", size=65536),
    Scenario("cache-hit-gzip", "50 KB of JSON from the cache, by gzip", ENTRANCES, kind="hit", size=51200, gzipped=True),
    Scenario("miss-1k", "1 KB forwarded and stored; every URL is new", ENTRANCES, kind="miss"),
    Scenario("policies-1k", "1 KB forwarded: access list, header edits, prefix stripped", ENTRANCES, kind="policies"),
    Scenario("routes-100", "100 routes, all asked in turn", PAIR, routes=100),
    Scenario("routes-1000", "1,000 routes, all asked in turn", PAIR, routes=1000),
    Scenario("idle-1000", "1,000 idle connections beside the load", PAIR, idle=1000),
    Scenario("idle-10000", "10,000 idle connections beside the load", PAIR, idle=10000),
    Scenario("targets-3", "three targets", PAIR, targets=3),
    Scenario("targets-50", "50 targets", PAIR, targets=50),
    Scenario("workers-2", "two workers", PAIR, workers=2),
    Scenario("floor-1k", "1 KB forwarded, all alike, beside what does nothing else", FLOORS, varied=False),
)
QUICK: Final = ("forward-1k", "forward-1k-same", "fixed-1k")
