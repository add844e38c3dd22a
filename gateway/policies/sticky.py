"""An `amend` policy: gives clients the cookies by which they come back to their target, and to their share of a split.

Only an answer of a target brings one: what the gateway answers itself says nothing about a good place to come back to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.balance.affinity import Affinity
    from gateway.exchange import Exchange, ResponseHead


class Sticky:
    """targets: by the name of the upstream. share: of the route's split."""

    __slots__ = ("_share", "_targets")

    def __init__(self, targets: Mapping[str, Affinity[Any]], share: Affinity[Any] | None) -> None:
        self._targets = dict(targets)
        self._share = share

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        target = exchange.target
        if target is None or exchange.error is not None:
            return
        if self._share is not None:
            self._share.give(exchange, head, exchange.upstream_name)
        affinity = self._targets.get(exchange.upstream_name)
        if affinity is not None:
            affinity.give(exchange, head, target.name)
