"""A balancer of one's own: the targets of this zone take turns, and the others only when all of these were tried.

    [upstreams.shop]
    balance = "examples.own_balancer:Nearest"
    balance_options = { zone = "b" }
    targets = ["http://shop-1.b:9000", "http://shop-2.b:9000", "http://shop-1.c:9000"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.balance import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.balance import Balanced, BalancerOptions


class Nearest:
    """Made anew whenever the targets that may be picked change."""

    def __init__(self, targets: Sequence[Balanced], options: BalancerOptions) -> None:
        here = f".{options.settings['zone']}:"
        self._near = RoundRobin([target for target in targets if here in target.name])
        self._far = RoundRobin([target for target in targets if here not in target.name])

    def pick(self, key: bytes, tried: tuple[Balanced, ...]) -> Balanced | None:
        return self._near.pick(key, tried) or self._far.pick(key, tried)
