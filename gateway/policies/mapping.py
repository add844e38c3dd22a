"""A target's own addresses in its answer, mapped back to those that the client sees.

Where a route rewrites the path or the Host, or the gateway is mounted below a prefix, a target says `Location`,
`Content-Location` and the Path and Domain of cookies in its own terms (RFC 9110 sections 8.7 and 10.2.2, RFC 6265
section 4.1.2). Relative references need nothing. A local app knows its `root_path` and is left alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.rfc.uri import host_name

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead
    from gateway.rewrite import PathRewrite

_ABSOLUTE: Final = re.compile(rb"(?:(https?):)?//([^/?#]*)(.*)", re.I | re.S).fullmatch
_COOKIE_ATTRIBUTE: Final = re.compile(rb"(;[ \t]*)(path|domain)([ \t]*=[ \t]*)([^;]*)", re.I)
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}
_POINTING: Final = frozenset({201, *range(300, 400)})  # with a Location that may be the target's own, whatever it was asked by
_MAPPED: Final = frozenset({b"location", b"content-location", b"set-cookie"})


class PublicAddresses:
    """An `amend` policy. rewrite: the route's, or None."""

    amends_hits: Final = False  # they have no target

    __slots__ = ("_rewrite",)

    def __init__(self, rewrite: PathRewrite | None = None) -> None:
        self._rewrite = rewrite

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        target = exchange.target
        if target is None or target.address.app is not None:
            return
        host_changed = exchange.host_sent != exchange.host
        if self._rewrite is None and not host_changed and not exchange.mount and head.status not in _POINTING:
            return
        headers = head.headers
        for index, (name, value) in enumerate(headers):
            if name in _MAPPED:
                mapped = self._cookie(exchange, value) if name == b"set-cookie" else self._reference(exchange, value)
                if mapped != value:
                    headers[index] = (name, mapped)

    def _reference(self, exchange: Exchange, value: bytes) -> bytes:
        """Protocol-relative ones stay so, and a user before the host makes it somebody else's."""
        if value[:1] == b"/" and value[:2] != b"//":
            return self._path(exchange, value)
        absolute = _ABSOLUTE(value)
        if absolute is None:
            return value
        scheme, authority, rest = absolute.groups()
        if rest[:1] != b"/":
            rest = b"/" + rest
        names = (authority.lower(), authority.lower().removesuffix(_DEFAULT_PORTS.get((scheme or b"").lower(), b"")))
        if exchange.host and exchange.host.lower() in names:
            return value[: absolute.end(2)] + self._path(exchange, rest)
        assert exchange.target is not None
        if exchange.host_sent.lower() in names or exchange.target.address.authority.lower() in names:
            if not exchange.host:
                return self._path(exchange, rest)
            return (exchange.scheme + b"://" if scheme else b"//") + exchange.host + self._path(exchange, rest)
        return value

    def _path(self, exchange: Exchange, path: bytes) -> bytes:
        return exchange.mount + (path if self._rewrite is None else self._rewrite.public_path(path))

    def _cookie(self, exchange: Exchange, value: bytes) -> bytes:
        def attribute(matched: re.Match[bytes]) -> bytes:
            start, name, equals, text = matched.groups()
            text = text.strip()
            if name.lower() == b"path":
                if text[:1] == b"/":
                    text = self._scope(exchange, text)
            elif text.lstrip(b".").lower() == host_name(exchange.host_sent):
                text = host_name(exchange.host)
            return start + name + equals + text

        if value[:7].lower() == b"__host-":  # only good with `Path=/` (RFC 6265bis section 4.1.3.2)
            return value
        return _COOKIE_ATTRIBUTE.sub(attribute, value)

    def _scope(self, exchange: Exchange, path: bytes) -> bytes:
        """A cookie's path stands for all that is below it; "/api/" would leave out "/api"."""
        scope = path if self._rewrite is None else self._rewrite.public_scope(path)
        return exchange.mount + scope if scope != b"/" else exchange.mount or b"/"
