"""What an entry is known by: the parts of a request that a route puts into its key. Pure.

A key is the URL up to the first space, then what the route is known by and further parts, each behind a space: readable, and never
ambiguous, since no part can hold a space; further parts hold a colon, which no route does. What is not in the key is not sent to the
target either, as far as the query goes; requests that could change a response in other ways that the key does not show go past
the cache.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.rfc.forwarded import asked_as
from gateway.rfc.headers import HARMLESS, HOP_BY_HOP, nominated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.exchange import Exchange

HOST: Final = "host"
PATH: Final = "path"
QUERY: Final = "query"
HEADER: Final = "header:"
COOKIE: Final = "cookie:"
PARTS: Final = (HOST, PATH, QUERY)

# Spellings that one side may read as another path than the other side: separators and dots in disguise, double encoding.
_AMBIGUOUS: Final = re.compile(rb"//|/\.{1,2}(?:/|$)|%(?:2[ef]|5c|25|[01][0-9a-f]|7f|23|3[bf])", re.IGNORECASE).search
_UNKEYED_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})
_NAMED_ANYHOW: Final = HOP_BY_HOP | {b"", b"close"}


class QueryRule:
    """Which parameters count. include: these alone, where it is not empty; exclude: not these. A final `*` stands for any
    ending. sort: their order does not count."""

    __slots__ = ("_exclude", "_include", "sort")

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = (), *, sort: bool = False) -> None:
        self._include = _names(include)
        self._exclude = _names(exclude)
        self.sort = sort

    def kept(self, query: bytes) -> bytes | None:
        """The query with the parameters that count, as it is both keyed and sent; None where none of them does: what is asked
        for is then the same as without a query."""
        parameters = [parameter for parameter in query.split(b"&") if self._counts(parameter.partition(b"=")[0])]
        return b"&".join(sorted(parameters) if self.sort else parameters) or None

    def _counts(self, name: bytes) -> bool:
        if self._include is not None and self._include(name) is None:
            return False
        return self._exclude is None or self._exclude(name) is None


def _names(patterns: Iterable[str]) -> Callable[[bytes], re.Match[bytes] | None] | None:
    listed = [re.escape(pattern.encode()).replace(rb"\*", b".*") for pattern in patterns]
    return re.compile(b"|".join(listed), re.S).fullmatch if listed else None


class KeyRule:
    """route: what its entries are known by, which are its own. parts: PARTS, and `header:Name` and `cookie:name`."""

    __slots__ = ("_cookies", "_headers", "_host", "_host_seen", "_host_seen_lower", "_plain", "_query", "_rest", "_rule")

    def __init__(self, route: str, parts: Sequence[str] = PARTS, query: QueryRule | None = None) -> None:
        self._host = HOST in parts
        self._query = QUERY in parts
        self._rule = query
        self._headers = tuple(part[len(HEADER) :].lower().encode() for part in parts if part.startswith(HEADER))
        self._cookies = tuple(part[len(COOKIE) :].encode() for part in parts if part.startswith(COOKIE))
        self._rest = b" " + route.encode()
        self._host_seen = self._host_seen_lower = b""  # many requests have the host of the one before
        self._plain = self._query and query is None

    @property
    def is_plain(self) -> bool:
        """It takes queries as they are."""
        return self._plain

    def key(self, exchange: Exchange, told: bytes) -> bytes:
        """told: see `gateway.cache.ask.Ask`."""
        query = exchange.query if self._plain else self.kept_query(exchange.query)
        end = self._rest if not self._headers and not self._cookies else self._rest + self._further(exchange)
        if told:
            end += told
        if exchange.trusted:
            end += _told(exchange)
        if not self._host:
            if query is None:
                return b"%b%b%b" % (exchange.mount, exchange.path, end)
            return b"%b%b?%b%b" % (exchange.mount, exchange.path, query, end)
        host = exchange.host
        if host is not self._host_seen:
            self._host_seen = host
            self._host_seen_lower = host.lower()
        if query is None:
            return b"%b://%b%b%b%b" % (exchange.scheme, self._host_seen_lower, exchange.mount, exchange.path, end)
        return b"%b://%b%b%b?%b%b" % (exchange.scheme, self._host_seen_lower, exchange.mount, exchange.path, query, end)

    def kept_query(self, query: bytes | None) -> bytes | None:
        """What of a query is in the key, and so is sent; None for no query."""
        if query is None or not self._query:
            return None
        return query if self._rule is None else self._rule.kept(query)

    def target(self, target: bytes) -> bytes:
        """A request target on its way out, without what is not in the key."""
        if self._plain:
            return target
        path, mark, query = target.partition(b"?")
        kept = self.kept_query(query if mark else None)
        return path if kept is None else path + b"?" + kept

    def _further(self, exchange: Exchange) -> bytes:
        parts = []
        for name in self._headers:
            values = exchange.header_values(name)
            if values:
                parts.append(b" %b:%b" % (name, one_part(b",".join(values))))
        if self._cookies:
            found = cookies(exchange.header_values(b"cookie"))
            parts += [b" cookie:%b=%b" % (name, one_part(found[name])) for name in self._cookies if name in found]
        return b"".join(parts)


def _told(exchange: Exchange) -> bytes:
    """What the target is told in the name of a trusted proxy."""
    told = asked_as(exchange.special)
    return b" told:" + one_part(told) if told else b""


def one_part(value: bytes) -> bytes:
    """A value that holds no space, and is told from any other."""
    return value.replace(b"%", b"%25").replace(b" ", b"%20")


def cookies(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """A request's cookies; of several with one name the first (RFC 6265 section 5.4)."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        for pair in line.split(b";"):
            name, _, value = pair.partition(b"=")
            found.setdefault(name.strip(b" \t"), value.strip(b" \t"))
    return found


def url_of_request(exchange: Exchange) -> bytes:
    """The whole URL of a request as targets know it, `scheme://host/path?query`."""
    url = b"".join((exchange.scheme, b"://", exchange.host.lower(), exchange.mount, exchange.path))
    return url if exchange.query is None else url + b"?" + exchange.query


def is_ambiguous(exchange: Exchange) -> bool:
    """Whether its answer may depend on what its key does not show: on a body, on how the target reads a path that can be
    read in two ways, or on fields that end here since Connection names them, and that the key and Vary would see."""
    if has_two_paths(exchange):
        return True
    fields = exchange.unedited
    if fields is not None and fields.is_bare:
        return False
    if not exchange.is_plain:
        for name, value in exchange.special:
            if name in _UNKEYED_BODY and value != b"0":
                return True
            if name == b"connection" and value not in HARMLESS and not nominated(value) <= _NAMED_ANYHOW:
                return True
    return False


def has_two_paths(exchange: Exchange) -> bool:
    """Whether its path can be read in two ways."""
    return exchange.match_path is not exchange.path and _AMBIGUOUS(exchange.path) is not None


class Bypass:
    """Requests that go past the cache: those with one of these parts. parts: `header:Name`, `cookie:name`, `query:name`."""

    __slots__ = ("_cookies", "_headers", "_parameters")

    def __init__(self, parts: Iterable[str]) -> None:
        listed = [part.partition(":") for part in parts]
        self._headers = frozenset(name.lower().encode() for kind, _, name in listed if kind == "header")
        self._cookies = frozenset(name.encode() for kind, _, name in listed if kind == "cookie")
        self._parameters = frozenset(name.encode() for kind, _, name in listed if kind == "query")

    def takes(self, exchange: Exchange) -> bool:
        if self._headers and any(name in self._headers for name, _ in exchange.headers):
            return True
        if self._cookies and not self._cookies.isdisjoint(cookies(exchange.header_values(b"cookie"))):
            return True
        if not self._parameters or not exchange.query:
            return False
        return any(parameter.partition(b"=")[0] in self._parameters for parameter in exchange.query.split(b"&"))
