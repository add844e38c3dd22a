"""What a request asks of a cache: the few of its fields that matter here, found in one pass. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from gateway.cache.key import one_part
from gateway.rfc.cache_control import NONE, Directives, parse_directives
from gateway.rfc.cache_fields import ASKING, METHODS, PLACES
from gateway.rfc.lines import ASKS

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Headers
    from gateway.rfc.message import HeadFields

_PRAGMA_NO_CACHE: Final = parse_directives([b"no-cache"])
_UNMET: Final = frozenset({b"if-match", b"if-unmodified-since"})
_NEWER: Final = frozenset({b"if-none-match", b"if-modified-since"})
READS: Final = frozenset({b"GET", b"HEAD"})


@mypyc_attr(acyclic=True, free_list_len=1)
class Ask:
    """headers: all fields of the request. concerns: those that are about caching, conditions and ranges. told: what others say
    of host, path and scheme, as a part of the key.

    heed: whether its Cache-Control and Pragma count. plain: whether the cache asks for answers without a content coding,
    whatever the client accepts, since it codes them itself. fields: what `headers` is of, where that is known.
    """

    __slots__ = ("_size", "concerns", "directives", "headers", "heed", "method", "plain", "told")

    def __init__(
        self, method: bytes, headers: Headers, *, heed: bool = True, plain: bool = False, fields: HeadFields | None = None
    ) -> None:
        self.method = method
        self.headers = headers
        self.heed = heed
        self.plain = plain
        self._size = -1 if fields is None else fields.size  # -1: not yet counted
        concerns: Headers
        if fields is None:
            concerns = [pair for pair in headers if pair[0] in ASKING]
        elif fields.asks:
            concerns = [line.pair for line in fields.lines if line.name.marks & ASKS]
        else:
            concerns = []
        self.concerns = concerns
        self.told = b""
        if concerns:
            self.told = b"".join([b" %b:%b" % (name, one_part(value)) for name, value in concerns if name in PLACES])
            if self.told:
                self.concerns = concerns = [pair for pair in concerns if pair[0] not in PLACES]
        self.directives: Directives = _directives(concerns) if concerns and heed else NONE

    @property
    def size(self) -> int:
        """Bytes of all fields, about."""
        if self._size < 0:
            self._size = sum(len(name) + len(value) for name, value in self.headers)
        return self._size

    @property
    def is_authorized(self) -> bool:
        return any(name == b"authorization" for name, _ in self.concerns)

    @property
    def is_odd(self) -> bool:
        """It has a precondition that only the target can judge, or wants to be taken for another request."""
        return any(name in _UNMET or name in METHODS for name, _ in self.concerns)

    @property
    def asks_for_newer(self) -> bool:
        """It has If-None-Match or If-Modified-Since."""
        return any(name in _NEWER for name, _ in self.concerns)

    @property
    def asked_range(self) -> bytes | None:
        """The Range of a GET; with several there is none (RFC 9110 section 14.2)."""
        ranges = [value for name, value in self.concerns if name == b"range"]
        return ranges[0] if len(ranges) == 1 and self.method == b"GET" else None

    def selecting(self, *, coded: bool) -> Headers:
        """The fields that select among variants. coded: among those in a content coding."""
        if coded or not self.plain:
            return self.headers
        return [pair for pair in self.headers if pair[0] != b"accept-encoding"]

    def concern(self, name: bytes) -> bytes | None:
        return next((value for field, value in self.concerns if field == name), None)


def ask_of(exchange: Exchange, *, heed: bool, plain: bool = False) -> Ask:
    """What an exchange asks; the same for all that have the same fields."""
    fields = exchange.unedited
    if fields is None:
        return Ask(exchange.method, exchange.headers, heed=heed, plain=plain)
    asked = fields.asked
    if not isinstance(asked, Ask) or asked.method != exchange.method or asked.heed is not heed or asked.plain is not plain:
        fields.asked = asked = Ask(exchange.method, exchange.headers, heed=heed, plain=plain, fields=fields)
    return asked


def _directives(concerns: Headers) -> Directives:
    values = [value for name, value in concerns if name == b"cache-control"]
    if values:
        return parse_directives(values)
    pragma = [value.lower() for name, value in concerns if name == b"pragma"]
    return _PRAGMA_NO_CACHE if any(b"no-cache" in value for value in pragma) else NONE
