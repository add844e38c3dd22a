"""One request on its way: what came in, what was decided, what went out.

Plain slots, written by the step that owns the field; a policy reads what it needs. `Headers` are raw pairs with
lowercase names, in the order of the wire, duplicates kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from gateway.rfc.headers import SPECIAL
from gateway.rfc.message import Original

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cache.status import Outcome
    from gateway.compress import BodyTransform
    from gateway.errors import GatewayError
    from gateway.rfc.message import HeadFields
    from gateway.route import Route
    from gateway.upstream.upstream import AnyTarget

Headers = list[tuple[bytes, bytes]]

# What a twin of an exchange takes over beside what it is made from.
_DECIDED: Final = (
    "captures", "client", "entrance", "host", "match_path", "request_id", "route", "server", "traceparent", "trusted",
    "upstream_name", "websocket",
)  # fmt: skip


@mypyc_attr(free_list_len=1)
class Exchange:
    """A request and its outcome. Times are seconds of `Deadlines.now`, sizes are bytes.

    path: the raw path as the client sent it, without the mount prefix and without the query.
    match_path: the path that routes are matched on (percent-decoded once, dot segments resolved).
    query: the raw query without `?`; None where the target had none (`/a?` has an empty one).
    fields: the field lines that `headers` is read from; None where one of them is none, or middleware has changed them.
    special: the fields among `headers` that the gateway itself acts on (`rfc.headers.SPECIAL`), found once.
    is_plain: there is none but Host.
    missed: the cache key that nothing is held under in memory; empty where that was not looked for, or something is.
    goes_alone: it has waited for somebody else's fetch in vain, and does not do so again.
    peer: the address of the socket; client: the address behind trusted proxies. Both without port.
    """

    __slots__ = (
        "attempt_at", "attempts", "bytes_in", "bytes_out", "cache", "captures", "client", "ended_at", "entrance", "error",
        "fields", "first_byte_at", "goes_alone", "headers", "host", "host_sent", "http_version", "is_plain", "match_path",
        "method", "missed", "mount", "path", "peer", "peer_port", "query", "request_id", "reused", "route", "scheme", "server",
        "special", "started_at", "status", "target", "traceparent", "trusted", "upstream_name", "websocket",
    )  # fmt: skip

    attempt_at: float  # when the latest attempt began; only where the upstream's balancer wants to know

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes | None,
        headers: Headers,
        *,
        scheme: bytes = b"http",
        http_version: str = "1.1",
        peer: str = "",
        peer_port: int = 0,
        mount: bytes = b"",
        started_at: float = 0.0,
        fields: HeadFields | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.match_path = path
        self.missed = b""
        self.goes_alone = False
        self.query = query
        self.headers = headers
        self.fields = fields
        if fields is not None:
            self.special = fields.special
            self.is_plain = fields.is_plain
        else:
            self.special = special = [pair for pair in headers if pair[0] in SPECIAL]
            self.is_plain = not special or (len(special) == 1 and special[0][0] == b"host")
        self.scheme = scheme
        self.http_version = http_version
        self.host = b""
        self.host_sent = b""  # the Host that the target was asked by
        self.peer = peer
        self.peer_port = peer_port
        self.client = peer
        self.trusted = False  # the peer is one of `trusted_proxies`
        self.mount = mount
        self.server: tuple[str, int | None] | None = None  # our own address, for local apps
        self.websocket = False
        # decided on the way
        self.route: Route | None = None
        self.captures: Mapping[str, bytes] | None = None
        self.request_id = b""
        self.traceparent = b""
        self.entrance = "asgi"  # asgi | http1 | express: which way it came in, for the log
        self.upstream_name = ""
        self.target: AnyTarget | None = None
        self.attempts = 0
        self.reused = False
        # the outcome
        self.cache: Outcome | None = None  # of a route's cache
        self.started_at = started_at
        self.first_byte_at = 0.0
        self.ended_at = 0.0  # its last byte was given to the client's connection, or nothing more will be
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.error: GatewayError | None = None

    def twin(self) -> Exchange:
        """The same request with all that was decided about it, and no outcome: for a second one that is sent elsewhere."""
        twin = Exchange(
            self.method, self.path, self.query, self.headers, scheme=self.scheme, http_version=self.http_version,
            peer=self.peer, peer_port=self.peer_port, mount=self.mount, started_at=self.started_at, fields=self.fields,
        )  # fmt: skip
        for name in _DECIDED:
            setattr(twin, name, getattr(self, name))
        return twin

    def header(self, name: bytes) -> bytes | None:
        """The first value of a request field; `name` in lowercase."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def unedited(self) -> HeadFields | None:
        """What `headers` are of, as they were read; None where that is not known, or where somebody has made others."""
        fields = self.fields
        return fields if fields is not None and self.headers is fields.headers else None

    def special_values(self, name: bytes) -> list[bytes]:
        """All values of a field that is in `rfc.headers.SPECIAL`."""
        return [value for key, value in self.special if key == name]

    def header_values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


@mypyc_attr(free_list_len=1)
class ResponseHead:
    """A final answer's head on its way to the client; `amend` hooks may change it.

    length: the body's length where it is known; None is "until it ends". `transform` is a body encoder
    (see `gateway.compress`) that the delivery feeds every chunk through, or None.
    """

    __slots__ = ("headers", "length", "status", "transform")

    def __init__(self, status: int, headers: Headers, length: int | None = None) -> None:
        self.status = status
        self.headers = headers
        self.length = length
        self.transform: BodyTransform | None = None

    def header(self, name: bytes) -> bytes | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None


@mypyc_attr(free_list_len=1)
class Reply(Original):
    """A response that we make ourselves, whole. It may be given to many requests: nobody changes it."""

    __slots__ = ("body", "error", "headers")

    def __init__(
        self, status: int, headers: Headers | None = None, body: bytes = b"", error: GatewayError | None = None
    ) -> None:
        super().__init__(status)
        self.headers: Headers = headers if headers is not None else []
        self.body = body
        self.error = error

    @property
    def fields(self) -> Headers:
        """As they go out: the length is always known (a HEAD request gets that of GET)."""
        fields = self.forwarded
        if fields is None:
            fields = self.forwarded = [pair for pair in self.headers if pair[0] != b"content-length"]
            if self.status >= 200 and self.status not in (204, 304):
                fields.append((b"content-length", b"%d" % len(self.body)))
        return fields

    def head(self) -> ResponseHead:
        """A new one, which may be changed."""
        return ResponseHead(self.status, self.fields.copy(), len(self.body))
