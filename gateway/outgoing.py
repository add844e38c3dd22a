"""The header fields that leave us, in both directions: pure (RFC 9110 section 7.6, RFC 7239)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.rfc.forwarded import FORWARDING, forwarded_fields, is_forwarding_twin
from gateway.rfc.headers import HOP_BY_HOP, accepts_trailers, end_to_end
from gateway.upstream.upstream import PRESERVE, UPSTREAM

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Headers
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.upstream import AnyTarget

VIA: Final = b"1.1 gateway"  # our pseudonym (RFC 9110 section 7.6.3)
EXPECT: Final = (b"expect", b"100-continue")
_OURS: Final = HOP_BY_HOP | FORWARDING | {b"host", b"content-length", b"expect", b"via"}
_NOT_IN_TRAILERS: Final = frozenset(
    {b"content-length", b"host", b"set-cookie", b"cache-control", b"content-encoding", b"content-type", b"content-range",
     b"authorization", b"location", b"vary", b"age", b"date", b"expires", b"retry-after", b"www-authenticate"}
)  # fmt: skip  # RFC 9110 section 6.5.1
_RESPONSE_OURS: Final = HOP_BY_HOP | {b"via"}
_UPGRADE: Final = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
_TRAILERS: Final = [(b"te", b"trailers"), (b"connection", b"TE")]


def request_headers(exchange: Exchange, id_field: bytes) -> Headers:
    """What goes on of the client's request, without Host and framing, which depend on the attempt.

    id_field: the name of the request id's field, lowercase; `exchange.request_id` is its value.
    """
    received = exchange.headers
    headers = [
        pair for pair in end_to_end(received, _OURS)
        if pair[0] != id_field and not (b"_" in pair[0] and is_forwarding_twin(pair[0]))
    ]  # fmt: skip
    prior = [pair for pair in received if pair[0] in FORWARDING] if exchange.trusted else None
    headers += forwarded_fields(exchange.peer, exchange.client, exchange.scheme, exchange.host, prior)
    headers.append((b"via", _joined_via(exchange.header_values(b"via"))))
    if exchange.request_id:
        headers.append((id_field, exchange.request_id))
    if exchange.websocket:
        headers += _UPGRADE
    elif wants_trailers(exchange):
        headers += _TRAILERS
    return headers


def _joined_via(received: list[bytes]) -> bytes:
    return b", ".join([*received, VIA]) if received else VIA


def wants_trailers(exchange: Exchange) -> bool:
    te = exchange.header_values(b"te")
    return bool(te) and accepts_trailers(te)


def host_for(exchange: Exchange, target: AnyTarget, rule: bytes) -> bytes:
    if rule is PRESERVE or rule == PRESERVE:
        return exchange.host or target.address.authority
    if rule == UPSTREAM:
        return target.address.authority
    return rule


def framing(length: int, *, sends_body: bool) -> Headers:
    """Content-Length or Transfer-Encoding of a request; a known zero is said where a body is usual."""
    if length > 0 or (length == 0 and sends_body):
        return [(b"content-length", b"%d" % length)]
    return [(b"transfer-encoding", b"chunked")] if length < 0 else []


def response_headers(head: AnswerHead) -> Headers:
    """The target's fields as they go to the client, before any policy amends them."""
    headers = end_to_end(head.headers, _RESPONSE_OURS)
    if head.status in (204, 304):  # RFC 9110 section 8.6; some servers take a 304's length for that of a body
        headers = [pair for pair in headers if pair[0] != b"content-length"]
    headers.append((b"via", _joined_via([value for name, value in head.headers if name == b"via"])))
    return headers


def end_to_end_trailers(trailers: Headers) -> Headers:
    return [pair for pair in end_to_end(trailers) if pair[0] not in _NOT_IN_TRAILERS]
