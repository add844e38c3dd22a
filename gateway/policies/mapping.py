"""A target's own addresses in its answer, mapped back to those that the client sees.

Where a route rewrites the path or the Host, or the gateway is mounted below a prefix, a target says `Location`,
`Content-Location` and the Path and Domain of cookies in its own terms (RFC 9110 sections 8.7 and 10.2.2, RFC 6265
section 4.1.2). Relative references need nothing. A local app knows its `root_path` and is left alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead
    from gateway.rewrite import PathRewrite

_ABSOLUTE = re.compile(rb"(https?):(//)([^/?#]*)(.*)", re.I | re.S).fullmatch
_COOKIE_ATTRIBUTE = re.compile(rb"(;[ \t]*)(path|domain)([ \t]*=[ \t]*)([^;]*)", re.I)
_MAPPED = frozenset({b"location", b"content-location", b"set-cookie"})


class PublicAddresses:
    """An `amend` policy. rewrite: the route's, or None."""

    __slots__ = ("_rewrite",)

    def __init__(self, rewrite: PathRewrite | None = None) -> None:
        self._rewrite = rewrite

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        target = exchange.target
        if target is None or target.address.app is not None:
            return
        host_changed = exchange.host_sent != exchange.host
        if self._rewrite is None and not host_changed and not exchange.mount:
            return
        headers = head.headers
        for index, (name, value) in enumerate(headers):
            if name in _MAPPED:
                mapped = self._cookie(exchange, value) if name == b"set-cookie" else self._reference(exchange, value)
                if mapped != value:
                    headers[index] = (name, mapped)

    def _reference(self, exchange: Exchange, value: bytes) -> bytes:
        if value[:1] == b"/" and value[:2] != b"//":
            return self._path(exchange, value)
        absolute = _ABSOLUTE(value)
        if absolute is None:
            return value
        scheme, _, authority, rest = absolute.groups()
        if rest[:1] != b"/":
            rest = b"/" + rest
        if authority.lower() == exchange.host.lower():
            return scheme + b"://" + authority + self._path(exchange, rest)
        assert exchange.target is not None
        if authority.lower() in (exchange.host_sent.lower(), exchange.target.address.authority.lower()):
            return exchange.scheme + b"://" + exchange.host + self._path(exchange, rest)
        return value

    def _path(self, exchange: Exchange, path: bytes) -> bytes:
        return exchange.mount + (path if self._rewrite is None else self._rewrite.public_path(path))

    def _cookie(self, exchange: Exchange, value: bytes) -> bytes:
        def attribute(matched: re.Match[bytes]) -> bytes:
            start, name, equals, text = matched.groups()
            text = text.strip()
            if name.lower() == b"path":
                if text[:1] == b"/":
                    mapped = self._path(exchange, text)
                    text = mapped if text != b"/" else mapped.rstrip(b"/") or b"/"  # "/api/" would leave out "/api"
            elif text.lstrip(b".").lower() == _name(exchange.host_sent):
                text = _name(exchange.host)
            return start + name + equals + text

        return _COOKIE_ATTRIBUTE.sub(attribute, value)


def _name(authority: bytes) -> bytes:
    return authority.lower().partition(b":")[0]
