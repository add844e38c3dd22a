"""A route as it works: its conditions, its policies, and where its requests go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.balance import Hash, RoundRobin
from gateway.rewrite import request_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balancer
    from gateway.balance.affinity import Preference
    from gateway.cache.invalidate import Invalidator
    from gateway.cache.serve import RouteCache
    from gateway.exchange import Exchange
    from gateway.mirror import Mirror
    from gateway.pipeline import Pipeline
    from gateway.rewrite import PathRewrite
    from gateway.router import Match
    from gateway.upstream.sink import Timeouts
    from gateway.upstream.upstream import Upstream


class Share:
    """An upstream's part of a route's requests."""

    __slots__ = ("in_flight", "name", "timeouts", "upstream", "weight")

    def __init__(self, upstream: Upstream, timeouts: Timeouts, weight: int = 1) -> None:
        self.upstream = upstream
        self.timeouts = timeouts  # the route's own over the upstream's
        self.name = upstream.name
        self.weight = weight
        self.in_flight = 0


class Route:
    """shares: none where a policy of the pipeline answers every request. host_header: None leaves it to the upstream.
    max_body: bytes. preference: by what in a request its share is chosen; None lets the shares take turns. cache: None
    where nothing is stored. invalidates: what its unsafe requests may change in the caches of others, where there are any.
    mirror: where a part of its requests goes as well. needs_task: it can not be served from a callback."""

    __slots__ = (
        "_preference", "_split", "cache", "host_header", "invalidates", "match", "max_body", "mirror", "name", "needs_task", "pipeline",
        "rewrite", "shares",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        match: Match,
        pipeline: Pipeline,
        shares: Sequence[Share] = (),
        *,
        rewrite: PathRewrite | None = None,
        host_header: bytes | None = None,
        max_body: int = 0,
        preference: Preference[Share] | None = None,
        cache: RouteCache | None = None,
        invalidates: Invalidator | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self.name = name
        self.match = match
        self.pipeline = pipeline
        self.shares = tuple(shares)
        self.rewrite = rewrite
        self.host_header = host_header
        self.max_body = max_body
        self.cache = cache
        self.invalidates = invalidates
        self.mirror = mirror
        self.needs_task = pipeline.awaits or self.is_local or mirror is not None
        self._preference = preference
        self._split: Balancer[Share] | None = None
        if len(self.shares) > 1:
            self._split = RoundRobin(self.shares) if preference is None else Hash(self.shares)
        if preference is not None:
            preference.over(self.shares)

    @property
    def is_local(self) -> bool:
        """It forwards to apps of this process."""
        return bool(self.shares) and self.shares[0].upstream.is_local

    def choose(self, exchange: Exchange) -> Share:
        """The upstream of this request, and its timeouts; shares follow their weights."""
        if self._split is None:
            return self.shares[0]
        preference = self._preference
        share = self._split.pick(b"", ()) if preference is None else preference.pick(self._split, exchange, ())
        assert share is not None
        return share

    def target(self, exchange: Exchange) -> bytes:
        return request_target(exchange, self.rewrite)

    def header_upstream(self, share: Share) -> bytes:
        return self.host_header if self.host_header is not None else share.upstream.host_header
