"""A request as it came in over ASGI, made into an `Exchange` and checked.

Our own protocol class has parsed and checked the head already. Under another server the same refusals are made here, as
far as ASGI shows what the client sent (RFC 9112 sections 3.2 and 6).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway.errors import (
    BadRequest,
    HeaderTooLarge,
    TargetTooLong,
    VersionNotSupported,
)
from gateway.exchange import Exchange
from gateway.rfc.forwarded import unmapped
from gateway.rfc.message import check_request_coding
from gateway.rfc.uri import strip_root_path, valid_host, valid_origin_form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.exchange import Headers
    from gateway.server.settings import ServerSettings
    from gateway.server.stream import Stream

VERSIONS: Final = frozenset({"1.0", "1.1", "2", "3"})  # in ASGI's words; "2.0" is an HTTP/1 request line that claims it
MAX_LENGTH_DIGITS: Final = 18
MOUNT_SAFE: Final = "/!$&'()*+,;=:@-._~%"
BLANK: Final = frozenset({b" ", b"\t"})
UNFRAMED: Final = frozenset({"2", "3"})
BODILESS_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE"})
SCHEMES: Final = {"http": b"http", "https": b"https", "ws": b"http", "wss": b"https"}
METHODS: Final = {method: method.encode() for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


def read_scope(scope: dict[str, Any], stream: Stream | None, now: float) -> Exchange:
    """The exchange of an `http` or `websocket` scope; nothing is checked yet."""
    raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    root_path: str = scope.get("root_path", "")
    mount = quote(root_path, safe=MOUNT_SAFE).encode("ascii") if root_path else b""
    inner = strip_root_path(raw_path, mount) if mount else raw_path
    if inner is None:  # spelled in another way, or a server that leaves the prefix out of the path
        path: str = scope["path"]
        if path.startswith(f"{root_path}/"):
            inner = quote(path[len(root_path) :]).encode("ascii")
        else:
            inner, mount = raw_path, b""
    client = scope.get("client")
    method: str = scope.get("method", "GET")
    scheme: str = scope["scheme"]
    exchange = Exchange(
        METHODS.get(method) or method.encode("latin-1"),
        inner,
        read_query(scope, stream),
        scope["headers"] if stream is not None and isinstance(scope["headers"], list) else trimmed(scope["headers"]),
        scheme=SCHEMES.get(scheme) or scheme.encode("latin-1"),
        http_version=scope.get("http_version", "1.1"),
        peer=unmapped(client[0]) if client else "",
        peer_port=client[1] if client else 0,
        mount=mount,
        started_at=now,
    )
    exchange.server = scope.get("server")
    if stream is not None:
        exchange.host = stream.head.fields.host
        exchange.entrance = "http1"
        exchange.websocket = stream.head.fields.upgrade == b"websocket" and exchange.method == b"GET"
    else:
        exchange.websocket = scope["type"] == "websocket"
    return exchange


def trimmed(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """A new list, whose values end without white space (RFC 9112 section 5.1): some servers leave it there."""
    listed = list(headers)
    if [value for _, value in listed if value[-1:] in BLANK]:
        return [(name, value.rstrip(b" \t")) for name, value in listed]
    return listed


def read_query(scope: dict[str, Any], stream: Stream | None) -> bytes | None:
    """None where there was no `?`; ASGI alone can not tell that from an empty query."""
    query: bytes = scope.get("query_string", b"")
    if query:
        return query
    return b"" if stream is not None and stream.head.query == b"" else None


def screen(exchange: Exchange, settings: ServerSettings) -> None:
    """Refuse what our own protocol class would have refused. Raises the GatewayError to answer."""
    if exchange.http_version not in VERSIONS:
        raise VersionNotSupported
    headers = exchange.headers
    if len(headers) > settings.max_headers:
        raise HeaderTooLarge(f"over {settings.max_headers} fields")
    if sum(map(len, chain.from_iterable(headers))) > settings.max_header_size:
        raise HeaderTooLarge(f"over {settings.max_header_size} bytes")
    if len(exchange.path) + len(exchange.query or b"") > settings.max_target_size:
        raise TargetTooLong
    if not valid_origin_form(exchange.path) and not (exchange.path == b"*" and exchange.method == b"OPTIONS"):
        raise BadRequest("invalid request target")
    check_host(exchange)
    if not exchange.is_plain:
        check_framing(exchange)


def check_host(exchange: Exchange) -> None:
    hosts = exchange.special if exchange.is_plain else [pair for pair in exchange.special if pair[0] == b"host"]
    if len(hosts) == 1:
        exchange.host = hosts[0][1]
        if not valid_host(exchange.host):
            raise BadRequest("invalid Host")
    elif hosts or exchange.http_version == "1.1":
        raise BadRequest("not exactly one Host")


def check_framing(exchange: Exchange) -> None:
    codings = exchange.special_values(b"transfer-encoding")
    if not codings:
        return
    if exchange.http_version == "1.0" or exchange.special_values(b"content-length"):
        raise BadRequest("more than one framing, or Transfer-Encoding in HTTP/1.0")
    check_request_coding(codings[-1], len(codings))


def body_length(exchange: Exchange) -> int:
    """0 without a body, -1 where its length is not declared. Raises BadRequest."""
    length = 0
    seen = False
    for name, value in exchange.special:
        if name == b"content-length":
            if seen or not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
                raise BadRequest("invalid Content-Length")
            length, seen = int(value), True
        elif name == b"transfer-encoding":
            length, seen = -1, True
    if not seen and exchange.http_version in UNFRAMED and exchange.method not in BODILESS_METHODS:
        return -1  # a body needs no Content-Length there
    return length
