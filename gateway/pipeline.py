"""The order of the phases: a route's policies, gathered once into one flat tuple of hooks a phase.

Flat tuples cost a call a hook; nested middlewares would cost several, and again for every chunk of the body. The order
of policies is the order of the list that `snapshot.py` builds; `amend` runs it backwards, as an onion would.
"""

from __future__ import annotations

import inspect
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.policy import Admits, Amends, Finishes, Prepares

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.exchange import Exchange, Headers, Reply, ResponseHead
    from gateway.policies.standard import Standard
    from gateway.policy import Policy

log = logging.getLogger("gateway")

now: Final = monotonic  # the clock of exchanges (`Deadlines.now`)


class Pipeline:
    """awaits: one of the admit hooks is a coroutine function, so the route can not be decided in a callback. prepares:
    some hook edits the request's fields. id_of_hits: the field by which what a cache answers from its store gets the id of
    its request; empty where something else is done to it as well."""

    __slots__ = ("_admit", "_amend", "_finish", "_prepare", "_standard", "awaits", "id_of_hits", "prepares")

    def __init__(self, policies: Iterable[Policy], standard: Standard | None = None) -> None:
        """standard: comes before them all, and in `amend` behind them."""
        listed = list(policies)
        self._standard = standard
        self._admit = tuple(p.admit for p in listed if isinstance(p, Admits))
        self._prepare = tuple(p.prepare for p in listed if isinstance(p, Prepares))
        self._amend = tuple(p.amend for p in reversed(listed) if isinstance(p, Amends))
        self._finish = tuple(p.finish for p in listed if isinstance(p, Finishes))
        self.prepares = bool(self._prepare)
        is_plain = not any(getattr(p, "amends_hits", True) for p in listed if isinstance(p, Amends))
        self.id_of_hits = standard.id_field if standard is not None and is_plain else b""
        self.awaits = any(inspect.iscoroutinefunction(hook) for hook in self._admit)

    def admit(self, exchange: Exchange) -> Reply | None:
        """The first reply that a policy gives, or None. Only where not `awaits`."""
        if self._standard is not None:
            reply = self._standard.admit(exchange)
            if reply is not None:
                return reply
        for hook in self._admit:
            given = hook(exchange)
            if given is not None:
                return given  # type: ignore[return-value]  # no hook of this pipeline awaits
        return None

    async def admit_awaiting(self, exchange: Exchange) -> Reply | None:
        if self._standard is not None:
            reply = self._standard.admit(exchange)
            if reply is not None:
                return reply
        for hook in self._admit:
            given = hook(exchange)
            if inspect.isawaitable(given):
                given = await given
            if given is not None:
                return given
        return None

    def prepare(self, exchange: Exchange, headers: Headers) -> None:
        for hook in self._prepare:
            hook(exchange, headers)

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        for hook in self._amend:
            hook(exchange, head)
        if self._standard is not None:
            self._standard.amend(exchange, head)

    def complete(self, exchange: Exchange, reply: Reply) -> tuple[ResponseHead, bytes]:
        """A reply of our own as it goes to the client, amended and encoded."""
        head = reply.head()
        self.amend(exchange, head)
        body = reply.body
        if head.transform is not None:
            body = head.transform.feed(body) + head.transform.finish()
        if exchange.error is None:
            exchange.error = reply.error
        return head, body

    def finish(self, exchange: Exchange) -> None:
        """The exchange has ended. All hooks run, whatever one of them does: they write the log and release what `admit` took."""
        if not exchange.ended_at:
            exchange.ended_at = now()
        if self._standard is not None:
            try:
                self._standard.finish(exchange)
            except Exception:
                _report(exchange)
        for hook in self._finish:
            try:
                hook(exchange)
            except Exception:
                _report(exchange)


def _report(exchange: Exchange) -> None:
    log.exception("finish hook failed", extra={"request_id": exchange.request_id.decode("latin-1")})
