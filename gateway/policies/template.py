"""Text with `{name}` placeholders, cut up once when the configuration is loaded and filled in for each request.

Only a lowercase word in braces is a placeholder, so that JSON in a header value is plain text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.exchange import Exchange

    Source = Callable[[Exchange], bytes]

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def _client_ip(exchange: Exchange) -> bytes:
    return exchange.client.encode("latin-1", "replace")


def _host(exchange: Exchange) -> bytes:
    return exchange.host


def _request_id(exchange: Exchange) -> bytes:
    return exchange.request_id


def _scheme(exchange: Exchange) -> bytes:
    return exchange.scheme


def _route(exchange: Exchange) -> bytes:
    return exchange.route.name.encode() if exchange.route is not None else b""


SOURCES: Mapping[str, Source] = {
    "client_ip": _client_ip,
    "host": _host,
    "request_id": _request_id,
    "scheme": _scheme,
    "route": _route,
}


class Template:
    """`literal` is the whole text where nothing has to be filled in, or None.

    otherwise: makes the source of a name that SOURCES does not have; without it such a name is a ValueError.
    """

    __slots__ = ("_parts", "literal", "names")

    def __init__(self, text: str, otherwise: Callable[[str], Source] | None = None) -> None:
        pieces = _PLACEHOLDER.split(text)  # literal, name, literal, name, ..., literal
        self.names = tuple(pieces[1::2])
        self.literal: bytes | None = None if self.names else text.encode()
        self._parts: list[bytes | Source] = [pieces[0].encode()]
        for name, literal in zip(self.names, pieces[2::2], strict=True):
            self._parts += (_source(name, otherwise), literal.encode())

    def render(self, exchange: Exchange) -> bytes:
        if self.literal is not None:
            return self.literal
        return b"".join([part if isinstance(part, bytes) else part(exchange) for part in self._parts])


def _source(name: str, otherwise: Callable[[str], Source] | None) -> Source:
    source = SOURCES.get(name)
    if source is not None:
        return source
    if otherwise is None:
        msg = f"{{{name}}} is not a placeholder; there are " + ", ".join(f"{{{known}}}" for known in SOURCES)
        raise ValueError(msg)
    return otherwise(name)


def capture(name: str) -> Source:
    """What the route's path captured by this name, for `otherwise`; empty where it captured nothing."""

    def source(exchange: Exchange) -> bytes:
        return exchange.captures.get(name, b"") if exchange.captures is not None else b""

    return source
