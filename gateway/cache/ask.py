"""What a request asks of a cache: the few of its fields that matter here, found in one pass. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from gateway.cache.key import one_part
from gateway.rfc.cache_control import NONE, Directives, parse_directives
from gateway.rfc.conditional import CONDITIONS
from gateway.rfc.forwarded import with_twins

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Headers
    from gateway.rfc.message import HeadFields

_PRAGMA_NO_CACHE: Final = parse_directives([b"no-cache"])
# Fields by which a client can make a server act as if the request had another method.
_METHODS: Final = with_twins(
    {b"x-forwarded-method", b"x-http-method", b"x-http-method-override", b"x-method", b"x-method-override", b"x-original-method"}
)
# And as if it had another host, path or scheme, which proxies between may say as well. Those of `rfc.forwarded.FORWARDING` never
# arrive, or are known to be true.
_PLACES: Final = with_twins(
    {
        b"base-url", b"front-end-https", b"http-host", b"proxy-host", b"proxy-url", b"request-uri", b"wl-proxy-ssl", b"x-backend-host",
        b"x-base-url", b"x-forwarded-path", b"x-forwarded-uri", b"x-host", b"x-host-override", b"x-http-destinationurl", b"x-http-host",
        b"x-http-host-override", b"x-original-path", b"x-original-uri", b"x-proxy-host", b"x-proxy-url", b"x-request-uri",
        b"x-rewrite-path", b"x-rewrite-uri", b"x-scheme", b"x-script-name", b"x-server-name", b"x-url-scheme",
    }
)  # fmt: skip
_UNMET: Final = frozenset({b"if-match", b"if-unmodified-since"})
_LOOKED_AT: Final = CONDITIONS | _METHODS | _PLACES | {b"authorization", b"cache-control", b"pragma", b"range"}
_NEWER: Final = frozenset({b"if-none-match", b"if-modified-since"})
READS: Final = frozenset({b"GET", b"HEAD"})


@mypyc_attr(acyclic=True, free_list_len=1)
class Ask:
    """headers: all fields of the request. concerns: those that are about caching, conditions and ranges. told: what others say
    of host, path and scheme, as a part of the key.

    heed: whether its Cache-Control and Pragma count. plain: whether the cache asks for answers without a content coding,
    whatever the client accepts, since it codes them itself. fields: what `headers` is of, where that is known. size: bytes of
    all fields, about.
    """

    __slots__ = ("concerns", "directives", "headers", "heed", "method", "plain", "size", "told")

    def __init__(
        self, method: bytes, headers: Headers, *, heed: bool = True, plain: bool = False, fields: HeadFields | None = None
    ) -> None:
        self.method = method
        self.headers = headers
        self.heed = heed
        self.plain = plain
        concerns: Headers
        if fields is None or fields.size < 0:
            concerns = [pair for pair in headers if pair[0] in _LOOKED_AT]
            self.size = sum(len(name) + len(value) for name, value in headers)
        else:
            concerns = [line.pair for line in fields.lines if line.name.is_in(_LOOKED_AT)]
            self.size = fields.size
        self.concerns = concerns
        self.told = b""
        if concerns:
            self.told = b"".join([b" %b:%b" % (name, one_part(value)) for name, value in concerns if name in _PLACES])
            if self.told:
                self.concerns = concerns = [pair for pair in concerns if pair[0] not in _PLACES]
        self.directives: Directives = _directives(concerns) if concerns and heed else NONE

    @property
    def is_authorized(self) -> bool:
        return any(name == b"authorization" for name, _ in self.concerns)

    @property
    def is_odd(self) -> bool:
        """It has a precondition that only the target can judge, or wants to be taken for another request."""
        return any(name in _UNMET or name in _METHODS for name, _ in self.concerns)

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
    fields = exchange.fields
    if fields is None or exchange.headers is not fields.headers:
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
