"""What the cache of this process holds: how full it is, what it was asked for, and all about one URL.

Nothing is fetched for it. A look at one URL counts as a use of its key.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from gateway.admin.guard import Refused
from gateway.cache.ask import Ask
from gateway.cache.key import is_ambiguous
from gateway.cache.reuse import reuse, select
from gateway.cache.status import WORDS
from gateway.errors import GatewayError
from gateway.exchange import Exchange

if TYPE_CHECKING:
    from gateway.admin.api import Order
    from gateway.cache.caching import Caching
    from gateway.cache.entry import Entry
    from gateway.cache.serve import RouteCache
    from gateway.gateway import Gateway

    Json = dict[str, Any]

TOP: Final = 20  # keys and tags that are listed
OTHERS: Final = "for-others"  # of a variant that other values of what `vary` names select
_ANSWERED: Final = ("hit", "stale", "revalidated", "collapsed")  # without a body from the target of one's own


async def cache(gateway: Gateway, order: Order) -> Json:
    """Of the whole cache; with `?url=` of one URL. Raises Refused."""
    caching = gateway.snapshot.caching
    if caching is None:
        raise Refused(409, "no route of this gateway has a cache")
    url = order.query.get("url")
    if url is None:
        return await _overview(caching)
    lines = [value for name, value in parse_qsl(order.target.partition("?")[2]) if name == "header"]
    return await _verdict(gateway, caching, _exchange(url, lines), url)


async def _overview(caching: Caching) -> Json:
    usage = caching.store.usage()
    fill = await caching.fill()
    held = caching.held()
    tags: dict[bytes, int] = {}
    for look in held:
        for tag in look.tags:
            tags[tag] = tags.get(tag, 0) + 1
    return {
        "store": {
            "kind": caching.options.store, "entries": usage.entries, "bytes": usage.bytes_held, "limit": usage.bytes_limit,
            "purged": usage.purged, "current": caching.store.is_current,
        },
        "redis": None if fill is None else {"keys": fill.keys, "used": fill.used, "limit": fill.limit},
        "routes": {name: _results(caching, name) for name in caching.routes},
        "top_keys": [
            {"key": _text(look.key), "hits": look.hits, "bytes": look.size, "entries": look.entries}
            for look in nlargest(TOP, held, key=lambda look: look.hits)
        ],
        "top_tags": [{"tag": _text(tag), "keys": count} for tag, count in nlargest(TOP, tags.items(), key=lambda one: one[1])],
    }  # fmt: skip


def _results(caching: Caching, route: str) -> Json:
    counts = {word: caching.note.counts.get((route, word), 0) for word in WORDS}
    total = sum(counts.values())
    answered = sum(counts[word] for word in _ANSWERED)
    return {"requests": total, **counts, "hit_ratio": round(answered / total, 4) if total else None}


# ---------------------------------------------------------------- one URL


async def _verdict(gateway: Gateway, caching: Caching, exchange: Exchange, url: str) -> Json:
    try:
        route = gateway.snapshot.route(exchange)
    except GatewayError as error:
        return {"url": url, "verdict": f"no route: {error}"}
    found: RouteCache | None = caching.routes.get(route.name)
    if found is None:
        return {"url": url, "route": route.name, "verdict": "its route has no cache"}
    ask = Ask(b"GET", exchange.headers, heed=found.rules.heed_requests, plain=found.asks_plain)
    key = found.keys.key(exchange, ask.told)
    said = {"url": url, "route": route.name, "key": _text(key)}
    if is_ambiguous(exchange):
        return {**said, "verdict": "passes: the path can be read in two ways, or Connection names fields"}
    if found.ready.passes(exchange) or ask.is_odd:
        return {**said, "verdict": "passes: a bypass of the route, or a field that makes it another request"}
    now = found.now()
    entries = await caching.store.find(key)
    refused = "; its answers could not be stored lately" if found.fetches.is_refused(key) else ""
    verdict = f"{len(entries)} stored" if entries else f"nothing is stored{refused}"
    return {**said, "verdict": verdict, "entries": [_entry(entry, ask, now) for entry in entries]}


def _exchange(url: str, lines: list[str]) -> Exchange:
    """A GET of the URL with these header lines."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.encode("ascii"), parts.netloc.encode("ascii")
        target = (parts.path or "/").encode("ascii")
        query = parts.query.encode("ascii") if "?" in url else None
    except (UnicodeEncodeError, ValueError):
        raise Refused(422, f'"{url}" is not a URL: it is to be percent-encoded') from None
    if scheme not in (b"http", b"https") or not host:
        raise Refused(422, f'"{url}" is not a URL; write "https://host/path"')
    headers = [(b"host", host)]
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise Refused(422, f'"{line}" is not a header field; write "Name: value"')
        headers.append((name.strip().lower().encode("latin-1", "replace"), value.strip().encode("latin-1", "replace")))
    exchange = Exchange(b"GET", target, query, headers, scheme=scheme)
    exchange.host = host
    return exchange


def _entry(entry: Entry, ask: Ask, now: float) -> Json:
    """What is stored and what would be done with it."""
    return {
        "status": entry.status,
        "verdict": reuse(entry, ask, now).value if select((entry,), ask) is entry else OTHERS,
        "age": int(now - entry.born_at),
        "fresh_for": int(entry.fresh_until - now),
        "stale_while_revalidate": entry.stale_while_revalidate,
        "stale_if_error": entry.stale_if_error,
        "kept_for": int(entry.kept_until - now),
        "bytes": entry.length,
        "part": None if entry.part is None else list(entry.part),
        "vary": {_text(name): None if value is None else _text(value) for name, value in entry.vary},
        "tags": [_text(tag) for tag in entry.tags],
        "etag": _text(entry.etag),
        "last_modified": _text(entry.last_modified),
        "forms": {_text(coding): len(body) for coding, body in entry.forms.items()},
        "headers": [[_text(name), _text(value)] for name, value in entry.headers],
    }


def _text(value: bytes) -> str:
    return value.decode("latin-1")
