"""What of a request is hashed: `client_ip`, `path`, `header:NAME`, `cookie:NAME`, `query:NAME`.

Of several the first that the request has is taken, so that a session's cookie may go before the client's address.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.rfc.cookies import cookie

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.exchange import Exchange

    KeySource = Callable[[Exchange], bytes]

WORDS: Final = ("client_ip", "path", "header:NAME", "cookie:NAME", "query:NAME")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_PARAMETER: Final = re.compile(r"[!-%'-<>-~]+")  # visible, without & and =, as it stands in the query


def key_source(names: Sequence[str]) -> KeySource:
    """What finds the key of a request; empty where it has none of these. ValueError for a name that is no source."""
    sources = [_source(name) for name in names]
    if len(sources) == 1:
        return sources[0]

    def first(exchange: Exchange) -> bytes:
        for source in sources:
            if key := source(exchange):
                return key
        return b""

    return first


def _source(text: str) -> KeySource:
    kind, colon, name = text.partition(":")
    if not colon and text in _PLAIN:
        return _PLAIN[text]
    if not colon or kind not in _NAMED:
        msg = f'"{text}" is nothing to hash'
        raise ValueError(msg)
    form, make = _NAMED[kind]
    if not form.fullmatch(name):
        msg = f'"{name}" is not the name of a {_WHAT[kind]}'
        raise ValueError(msg)
    return make(name)


def _client_ip(exchange: Exchange) -> bytes:
    return exchange.client.encode()


def _path(exchange: Exchange) -> bytes:
    """Decoded and without dot segments, so that all spellings of a path have one target."""
    return exchange.match_path


def _header(name: str) -> KeySource:
    field = name.lower().encode()
    return lambda exchange: exchange.header(field) or b""


def _cookie(name: str) -> KeySource:
    own = name.encode()
    return lambda exchange: cookie(exchange.headers, own) or b""


def _query(name: str) -> KeySource:
    begin = name.encode() + b"="

    def source(exchange: Exchange) -> bytes:
        query = exchange.query
        if query is None or begin not in query:
            return b""
        return next((part[len(begin) :] for part in query.split(b"&") if part.startswith(begin)), b"")

    return source


_PLAIN: Final[Mapping[str, KeySource]] = {"client_ip": _client_ip, "path": _path}
_NAMED: Final[Mapping[str, tuple[re.Pattern[str], Callable[[str], KeySource]]]] = {
    "header": (_TOKEN, _header),
    "cookie": (_TOKEN, _cookie),
    "query": (_PARAMETER, _query),
}
_WHAT: Final = {"header": "header field", "cookie": "cookie", "query": "query parameter"}
