"""From the words of the configuration to balancers, to the keys that they hash and to the cookies of affinity."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from gateway.balance import BALANCERS, BalancerOptions
from gateway.balance.affinity import Affinity, Preference
from gateway.balance.keys import key_source
from gateway.extensions import BALANCERS as GROUP
from gateway.extensions import found
from gateway.policies.sticky import Sticky

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import config as c
    from gateway.balance import Balancer
    from gateway.route import Share
    from gateway.upstream.upstream import Upstream

CLIENT: Final = ("client_ip",)  # what `hash` hashes where nothing else is said


def balance_of(options: c.UpstreamOptions) -> Callable[[Sequence[Any]], Balancer[Any]]:
    """What makes the balancer of an upstream over its ready set, again whenever that changes."""
    factory = BALANCERS.get(options.balance) or found(options.balance, GROUP)
    chance = Random()  # noqa: S311 - it spreads load and keeps no secret
    slack = options.hash_slack
    given = BalancerOptions(
        chance.random, hash_load=0.0 if slack is None else 1.0 + slack, settings=options.balance_options
    )
    return lambda ready: factory(ready, given)


def upstream_preference(name: str, options: c.UpstreamOptions) -> Preference[Any] | None:
    hash_on = options.hash_on or (CLIENT if options.balance == "hash" else ())
    return preference_of(name, hash_on, options.sticky)


def preference_of(scope: str, hash_on: Sequence[str], sticky: c.StickyOptions | None) -> Preference[Any] | None:
    """What counts in a request, where something does. scope: the name of the upstream or route."""
    if not hash_on and sticky is None:
        return None
    key = key_source(hash_on) if hash_on else None
    if sticky is None:
        return Preference(key)
    secrets = [secret.encode() for secret in sticky.keys or [""]]
    return Preference(key, Affinity(scope, sticky.made(), secrets))


def sticky_of(upstreams: Sequence[Upstream], split: Preference[Share] | None) -> Sticky | None:
    """The policy that gives a route's clients their cookies, where there are any."""
    targets = {upstream.name: upstream.affinity for upstream in upstreams if upstream.affinity is not None}
    share = None if split is None else split.affinity
    return Sticky(targets, share) if targets or share is not None else None
