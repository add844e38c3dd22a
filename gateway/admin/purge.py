"""Take out of the cache, or make stale, what a URL, a prefix or a tag names, or everything.

Every process applies it to what it holds. A store that is shared is told by each of them as well, which changes nothing
after the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.admin.guard import Refused
from gateway.cache.purge import Purge, Scope, as_keyed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admin.api import Order
    from gateway.gateway import Gateway

    Json = dict[str, Any]

MAX_VALUES: Final = 1000  # of one order
_NAMED: Final = {"url": Scope.URL, "prefix": Scope.PREFIX, "tag": Scope.TAG}
_KEYS: Final = (*_NAMED, "all", "soft")


async def purge(gateway: Gateway, order: Order) -> Json:
    """Raises Refused."""
    wanted = read_purges(order.body)
    caching = gateway.snapshot.caching
    if caching is None:
        raise Refused(409, "no route of this gateway has a cache")
    count = 0
    for one in wanted:
        count += await caching.invalidator.purge(one)
    if not caching.store.is_current:
        reason = "redis is away: what this process holds is purged, and all the rest when redis is back"
        raise Refused(503, reason, purged=count)
    return {"purged": count}


def read_purges(body: Mapping[str, Any]) -> list[Purge]:
    """What an order's body asks for. Raises Refused."""
    unknown = [key for key in body if key not in _KEYS]
    if unknown:
        raise Refused(422, f'there is no "{unknown[0]}"; there are {", ".join(_KEYS)}')
    soft = body.get("soft", False)
    if not isinstance(soft, bool) or not isinstance(body.get("all", False), bool):
        raise Refused(422, '"all" and "soft" are true or false')
    purges = [Purge(scope, _values(body, name), soft) for name, scope in _NAMED.items() if name in body]
    if body.get("all"):
        purges.append(Purge(Scope.ALL, (), soft))
    if not purges:
        raise Refused(422, 'name what is to be purged: "url", "prefix", "tag" or "all"')
    return purges


def _values(body: Mapping[str, Any], name: str) -> tuple[bytes, ...]:
    given = body[name]
    texts = given if isinstance(given, list) else [given]
    if not texts or len(texts) > MAX_VALUES or not all(isinstance(text, str) and text for text in texts):
        raise Refused(422, f'"{name}" is a text, or a list of up to {MAX_VALUES} texts')
    for text in texts:
        if name == "tag" and " " in text and "://" not in text:
            raise Refused(422, f'"{text}" is not a tag: none holds a space; a group is written "https://host group"')
        if name == "prefix" and text.endswith("*"):
            raise Refused(422, f'"{text}" is not a prefix; write "{text.rstrip("*")}": all that begins with it is meant')
    return tuple(_bytes(text) if name == "tag" else _url(text) for text in texts)


def _bytes(text: str) -> bytes:
    """Also of what `gateway.cache.siblings` tells, whatever it is."""
    return text.encode("utf-8", "surrogateescape")


def _url(text: str) -> bytes:
    """Raises Refused."""
    try:
        return as_keyed(_bytes(text))
    except ValueError as exc:
        raise Refused(422, str(exc)) from None
