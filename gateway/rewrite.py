"""The request target on its way to the upstream, byte for byte unless a route rewrites its path: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gateway.policies.template import Template

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policies.template import Source

_SAFE = "/!$&'()*+,;=:@-._~"


class PathRewrite:
    """strip: a prefix to take off. add: one to put before what is left. template: a whole new path instead of both.

    Prefixes are without a final slash. The template is filled in with the route's captures.
    """

    __slots__ = ("_template", "add", "strip")

    def __init__(self, strip: str = "", add: str = "", template: str | None = None) -> None:
        self.strip = strip.rstrip("/").encode()
        self.add = add.rstrip("/").encode()
        self._template = None if template is None else Template(template, _capture)

    def path(self, exchange: Exchange) -> bytes:
        if self._template is not None:
            return self._template.render(exchange)
        path = exchange.path
        if path is not exchange.match_path and _has_dots(path):
            # What a prefix is put before must not climb out of it: dot segments are resolved, the rest newly encoded.
            path = quote_from_bytes(exchange.match_path, safe=_SAFE).encode()
        return self.add + (self._stripped(path, exchange.match_path) if self.strip else path)

    def _stripped(self, path: bytes, meaning: bytes) -> bytes:
        """Off the path as it is spelled; where it spells the prefix in another way, off what it means."""
        strip = self.strip
        if not path.startswith(strip):
            path = quote_from_bytes(meaning, safe=_SAFE).encode()
        rest = path[len(strip) :]
        return rest if rest[:1] == b"/" else b"/" + rest

    def public_path(self, path: bytes) -> bytes:
        """The client's path for one of the target's: the other way round (`Location`, the Path of a cookie)."""
        if self._template is not None:
            return path
        if self.add and path.startswith(self.add) and path[len(self.add) : len(self.add) + 1] in (b"/", b"", b"?", b"#"):
            path = path[len(self.add) :]
        return self.strip + (path if path[:1] == b"/" or not self.strip else b"/" + path)


def _has_dots(path: bytes) -> bool:
    decoded = unquote_to_bytes(path)
    return b"/./" in decoded or b"/../" in decoded or decoded.endswith((b"/.", b"/.."))


def request_target(exchange: Exchange, rewrite: PathRewrite | None) -> bytes:
    """Path and query as they go to the target; an empty `?` is kept."""
    path = exchange.path if rewrite is None or exchange.path == b"*" else rewrite.path(exchange)
    if exchange.query is None:
        return path
    return path + (b"&" if b"?" in path else b"?") + exchange.query if rewrite is not None else path + b"?" + exchange.query


def _capture(name: str) -> Source:
    def source(exchange: Exchange) -> bytes:
        return exchange.captures.get(name, b"") if exchange.captures is not None else b""

    return source
