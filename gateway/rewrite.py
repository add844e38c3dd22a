"""The request target on its way to the upstream, byte for byte unless a route rewrites its path: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from gateway.errors import BadRequest
from gateway.policies.template import Template, capture

if TYPE_CHECKING:
    from gateway.exchange import Exchange

_SAFE: Final = "/!$&'()*+,;=:@-._~"
_ENCODED: Final = _SAFE + "%"  # what may be percent-encoded already
_TEMPLATE: Final = _ENCODED + "?{}"


class PathRewrite:
    """strip: a prefix to take off. add: one to put before what is left. template: a whole new path instead of both.

    Prefixes are without a final slash. The template is filled in with the route's captures. `strip` is plain text, as
    routes are; `add` is percent-encoded, as it is sent.
    """

    __slots__ = ("_public", "_template", "add", "strip")

    def __init__(self, strip: str = "", add: str = "", template: str | None = None) -> None:
        self.strip = strip.rstrip("/").encode()
        self.add = quote(add.rstrip("/"), safe=_ENCODED).encode()
        self._public = quote_from_bytes(self.strip, safe=_SAFE).encode()
        self._template = None if template is None else Template(quote(template, safe=_TEMPLATE), capture)

    def path(self, exchange: Exchange) -> bytes:
        """Raises BadRequest where what the client sent would make a template's path climb out of its place."""
        if self._template is not None:
            return _checked(self._template.render(exchange))
        path = exchange.path
        if path is not exchange.match_path and _has_dots(path):
            # What a prefix is put before must not climb out of it: dot segments are resolved, the rest newly encoded.
            path = quote_from_bytes(exchange.match_path, safe=_SAFE).encode()
        return self.add + (self._stripped(path, exchange.match_path) if self.strip else path)

    def _stripped(self, path: bytes, meaning: bytes) -> bytes:
        """Off the path as it is spelled; where it spells the prefix in another way, off what it means."""
        rest = _below(path, self.strip)
        if rest is not None:
            return rest
        rest = _below(meaning, self.strip)
        return path if rest is None else quote_from_bytes(rest, safe=_SAFE).encode()

    def public_path(self, path: bytes) -> bytes:
        """The client's path for one of the target's: the other way round (`Location`); unchanged where there is none."""
        if self._template is not None:
            return path
        if self.add:
            if not path.startswith(self.add) or path[len(self.add) : len(self.add) + 1] not in (b"/", b"", b"?", b"#"):
                return path
            path = path[len(self.add) :]
        return self._public + (path if path[:1] == b"/" else b"/" + path)

    def public_scope(self, path: bytes) -> bytes:
        """The client's path for the Path of a cookie, which may be above all that the target serves here."""
        if self._template is not None:
            return path
        if (self.add + b"/").startswith(path.rstrip(b"/") + b"/"):
            return self._public or b"/"
        return self.public_path(path)


def _below(path: bytes, prefix: bytes) -> bytes | None:
    """What is left of a path below a prefix; None where it is not below it."""
    if not path.startswith(prefix):
        return None
    rest = path[len(prefix) :]
    return rest if rest[:1] == b"/" else None if rest else b"/"


def _checked(path: bytes) -> bytes:
    if _has_dots(path.partition(b"?")[0]):
        raise BadRequest("dot segments in a rewritten path")
    return path if path[:1] == b"/" else b"/" + path


def _has_dots(path: bytes) -> bool:
    if b"/." not in path and b"%" not in path:
        return False
    decoded = unquote_to_bytes(path)
    return b"/./" in decoded or b"/../" in decoded or decoded.endswith((b"/.", b"/.."))


def request_target(exchange: Exchange, rewrite: PathRewrite | None) -> bytes:
    """Path and query as they go to the target; an empty `?` is kept."""
    path = exchange.path if rewrite is None or exchange.path == b"*" else rewrite.path(exchange)
    if exchange.query is None:
        return path
    return path + (b"&" if b"?" in path else b"?") + exchange.query if rewrite is not None else path + b"?" + exchange.query
