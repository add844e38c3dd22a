"""The express lane for requests that wait for a fetch of it: for an answer that somebody else has asked for just before.

It is given to all of them when it comes in one piece, and is stored. A request that it is not for goes on by a task then, and
so do all as soon as the answer comes piece by piece, since they read it each at its own pace.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from gateway.cache.serve import COALESCE_WAIT
from gateway.errors import ClientGone
from gateway.express_trip import TotalTime, Trip
from gateway.gateway import as_error, page_for

if TYPE_CHECKING:
    from gateway.cache.entry import Entry
    from gateway.cache.fetching import Fetched
    from gateway.exchange import Exchange, Reply
    from gateway.gateway import Gateway
    from gateway.rfc.message import RequestHead
    from gateway.route import Route
    from gateway.server.protocol import GatewayProtocol
    from gateway.snapshot import Snapshot


@mypyc_attr(free_list_len=1)
class FollowingTrip(Trip):
    """A request without a target of its own."""

    __slots__ = ("_fetched",)

    def __init__(
        self, gateway: Gateway, snapshot: Snapshot, protocol: GatewayProtocol, head: RequestHead, exchange: Exchange,
        fetched: Fetched,
    ) -> None:  # fmt: skip
        super().__init__(gateway, snapshot, protocol, head, b"", exchange)
        self._fetched: Fetched | None = fetched

    def set_out(self, route: Route) -> None:
        """Wait, and not for too long."""
        fetched = self._fetched
        assert fetched is not None
        fetched.follow(self)
        limit = self._limit = TotalTime(self)
        self._gateway.deadlines.watch(limit, self._exchange.started_at + COALESCE_WAIT)

    def landed(self, entry: Entry | None, *, alone: bool) -> None:
        """The wait is over. entry: what the fetch has brought and stored. alone: where that is of no use, it goes for itself."""
        self._done()
        exchange, route = self._exchange, self._exchange.route
        reply: Reply | None = None
        try:
            if entry is not None and route is not None and route.cache is not None:
                reply = route.cache.ready.collapsed(exchange, entry, time())
        except Exception as exc:
            exchange.error = as_error(exchange, exc)
            reply = page_for(exchange, exchange.error)
        if reply is not None:
            self.reply(reply)
            return
        exchange.goes_alone = alone
        self.by_task()

    def overdue(self) -> None:
        if self._fetched is not None:
            self._fetched.unfollow(self)
            self.landed(None, alone=True)

    def disconnect(self) -> None:
        fetched = self._fetched
        if fetched is None:
            return
        self._done()
        error = self._exchange.error = ClientGone("before its answer was whole")
        self._exchange.status = error.status
        fetched.unfollow(self)
        self.pipeline.finish(self._exchange)

    def _done(self) -> None:
        self._fetched = None
        if self._limit is not None:
            self._limit.end()
