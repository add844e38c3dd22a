"""A request as it came in over ASGI, made into an `Exchange` and checked.

Our own protocol class has parsed and checked the head already. Under another server the same refusals are made here, as
far as ASGI shows what the client sent (RFC 9112 sections 3.2 and 6).
"""

from __future__ import annotations

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
from gateway.rfc.lines import MalformedField, is_token, lines_of
from gateway.rfc.message import USUAL_METHODS, HeadFields, interpret
from gateway.rfc.uri import strip_root_path, valid_origin_form, valid_query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.rfc.message import RequestHead
    from gateway.server.protocol import GatewayProtocol
    from gateway.server.settings import ServerSettings
    from gateway.server.stream import Stream

VERSIONS: Final = frozenset({"1.0", "1.1", "2", "3"})  # in ASGI's words; "2.0" is an HTTP/1 request line that claims it
MAX_LENGTH_DIGITS: Final = 18
MOUNT_SAFE: Final = "/!$&'()*+,;=:@-._~%"
UNFRAMED: Final = frozenset({"2", "3"})
BODILESS_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE"})
SCHEMES: Final = {"http": b"http", "https": b"https", "ws": b"http", "wss": b"https"}
METHODS: Final = {method.decode(): method for method in USUAL_METHODS}


def received(head: RequestHead, protocol: GatewayProtocol, entrance: str) -> Exchange:
    """The exchange of a request that our own protocol class has read and checked."""
    fields = head.fields
    client = protocol.client
    exchange = Exchange(
        head.method, head.path, head.query, fields.headers,
        scheme=SCHEMES[protocol.scheme], http_version="1.1" if head.minor else "1.0",
        peer=client[0] if client else "", peer_port=client[1] if client else 0,
        started_at=protocol.deadlines.now(), fields=fields,
    )  # fmt: skip
    exchange.host = fields.host
    exchange.server = protocol.server
    exchange.websocket = fields.upgrade == b"websocket" and head.method == b"GET"
    exchange.entrance = entrance
    return exchange


def read_scope(scope: dict[str, Any], stream: Stream | None, now: float) -> Exchange:
    """The exchange of an `http` or `websocket` scope; it is `screen` that refuses."""
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
    headers: Iterable[Any] = scope["headers"]
    fields = read_headers(headers, stream)
    exchange = Exchange(
        METHODS.get(method) or method.encode("latin-1"),
        inner,
        read_query(scope, stream),
        [(name, value) for name, value in headers] if fields is None else fields.headers,
        scheme=SCHEMES.get(scheme) or scheme.encode("latin-1"),
        http_version=scope.get("http_version", "1.1"),
        peer=unmapped(client[0]) if client else "",
        peer_port=client[1] if client else 0,
        mount=mount,
        started_at=now,
        fields=fields,
    )
    exchange.server = scope.get("server")
    if stream is not None:
        exchange.host = stream.head.fields.host
        exchange.entrance = "http1"
        exchange.websocket = stream.head.fields.upgrade == b"websocket" and exchange.method == b"GET"
    else:
        exchange.websocket = scope["type"] == "websocket"
    return exchange


def read_headers(headers: Iterable[Any], stream: Stream | None) -> HeadFields | None:
    """None where one of them is no field, or where middleware has changed what our own protocol class read. White space that
    some servers leave at the end of values is gone (RFC 9112 section 5.1)."""
    if stream is not None:
        return stream.head.fields if headers == stream.head.fields.headers else None
    try:
        return HeadFields(lines_of(headers))
    except MalformedField:
        return None


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
    fields = exchange.fields
    if len(exchange.headers) > settings.max_headers:
        raise HeaderTooLarge(f"over {settings.max_headers} fields")
    size = 0
    for name, value in exchange.headers:
        size += len(name) + len(value)
    if size > settings.max_header_size:
        raise HeaderTooLarge(f"over {settings.max_header_size} bytes")
    if len(exchange.path) + len(exchange.query or b"") > settings.max_target_size:
        raise TargetTooLong
    if exchange.method not in USUAL_METHODS and not is_token(exchange.method):
        raise BadRequest("invalid method")
    if not valid_origin_form(exchange.path) and not (exchange.path == b"*" and exchange.method == b"OPTIONS"):
        raise BadRequest("invalid request target")
    if exchange.query and not valid_query(exchange.query):
        raise BadRequest("invalid query")
    if fields is None:
        raise BadRequest("malformed field")
    interpret(fields, 0 if exchange.http_version == "1.0" else 1)
    if not fields.hosts and exchange.http_version == "1.1":
        raise BadRequest("not exactly one Host")
    exchange.host = fields.host


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
