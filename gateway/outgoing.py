"""The header fields that leave us, in both directions: pure (RFC 9110 section 7.6, RFC 7239)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.rfc.forwarded import FORWARDING, FORWARDING_TWINS, forwarded_fields
from gateway.rfc.headers import (
    HARMLESS,
    HOP_BY_HOP,
    NOT_PASSED_ON,
    accepts_trailers,
    end_to_end,
    nominated,
    nominated_by,
)
from gateway.rfc.lines import ENDS_HERE, SAYS_LENGTH
from gateway.rfc.message import HEAD_END
from gateway.upstream.upstream import PRESERVE, UPSTREAM

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Headers
    from gateway.rfc.message import AnswerHead
    from gateway.upstream.upstream import AnyTarget

VIA: Final = b"1.1 gateway"  # our pseudonym behind the version that a message came by (RFC 9110 section 7.6.3)
_VIA: Final = (b"via", VIA)
_VIA_1_0: Final = (b"via", b"1.0 gateway")
EXPECT: Final = (b"expect", b"100-continue")
_OURS: Final = HOP_BY_HOP | FORWARDING | FORWARDING_TWINS | {b"host", b"content-length", b"expect", b"via"}
_NOT_IN_TRAILERS: Final = frozenset(
    {b"content-length", b"host", b"set-cookie", b"cache-control", b"content-encoding", b"content-type", b"content-range",
     b"authorization", b"location", b"vary", b"age", b"date", b"expires", b"retry-after", b"www-authenticate"}
)  # fmt: skip  # RFC 9110 section 6.5.1
_BODILESS_OURS: Final = NOT_PASSED_ON | {b"content-length"}  # RFC 9110 section 8.6; some take a 304's for a body's
_UPGRADE: Final = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
_TRAILERS: Final = [(b"te", b"trailers"), (b"connection", b"TE")]


BODY_METHODS: Final = frozenset({b"POST", b"PUT", b"PATCH"})  # of requests that say it when they have no body
_MEMO: Final = 1024  # clients and hosts whose forwarding fields are remembered; a full memo is cleared


class RequestFields:
    """What a request's fields become on their way to a target, but for Host and framing, which depend on the attempt.

    id_field: the name of the request id's field, lowercase.
    """

    __slots__ = ("_drop", "_drop_untraced", "_id_field", "_last_client", "_last_written", "_written")

    def __init__(self, id_field: bytes) -> None:
        self._id_field = id_field
        self._drop = _OURS | {id_field}
        self._drop_untraced = self._drop | {b"traceparent", b"tracestate"}  # these mean nothing without a valid parent
        self._written: dict[tuple[str, str, bytes, bytes], bytes] = {}
        self._last_client: object = None  # many requests have the client of the one before
        self._last_written = b""

    def block(self, exchange: Exchange) -> tuple[bytes, bytes] | None:
        """The same fields as `of` gives, as they are sent, where nobody edits them: the client's lines as it wrote them, and
        ours up to the value of the request's id. None where their making takes more than leaving some out, and for a
        WebSocket."""
        fields = exchange.unedited
        if fields is None or exchange.trusted or exchange.websocket:
            return None
        if exchange.http_version != "1.1":  # Via would say so
            return None
        drop = self._drop if exchange.traceparent else self._drop_untraced
        kept = fields.kept
        if kept is None or kept[0] is not drop:
            for name, value in fields.special:
                if name == b"via" or (name == b"connection" and value not in HARMLESS):
                    return None
            lines = [line.text for line in fields.lines if not line.name.is_in(drop)]
            if not fields.is_usual and wants_trailers(exchange):
                lines += map(b": ".join, _TRAILERS)
            lines.append(b"")
            kept = fields.kept = (drop, b"\r\n".join(lines))
        client = (exchange.peer, exchange.client, exchange.scheme, exchange.host)
        if client != self._last_client:
            self._last_written = self._written.get(client) or self._write(client)
            self._last_client = client
        return kept[1], self._last_written

    def _write(self, client: tuple[str, str, bytes, bytes]) -> bytes:
        """What is ours to say of this client, up to the value of the request's id."""
        fields = [*forwarded_fields(*client, None), _VIA, (self._id_field, b"")]
        written = b"\r\n".join(map(b": ".join, fields))
        if len(self._written) >= _MEMO:
            self._written.clear()
        self._written[client] = written
        return written

    def of(self, exchange: Exchange) -> Headers:
        """A new list, which policies may edit."""
        drop = self._drop if exchange.traceparent else self._drop_untraced
        special = exchange.special
        if exchange.is_plain and not (exchange.trusted or exchange.websocket):
            headers = [pair for pair in exchange.headers if pair[0] not in drop]
            headers += forwarded_fields(exchange.peer, exchange.client, exchange.scheme, exchange.host, None)
            headers.append(_VIA if exchange.http_version == "1.1" else (b"via", _via(exchange.http_version)))
        else:
            named = nominated_by(special)
            if named:
                drop = drop | named
            headers = [pair for pair in exchange.headers if pair[0] not in drop]
            if exchange.websocket:
                headers += _UPGRADE
            elif wants_trailers(exchange):
                headers += _TRAILERS
            prior = [pair for pair in special if pair[0] in FORWARDING] if exchange.trusted else None
            headers += forwarded_fields(exchange.peer, exchange.client, exchange.scheme, exchange.host, prior)
            headers.append((b"via", _joined_via(exchange.special_values(b"via"), _via(exchange.http_version))))
        if exchange.request_id:
            headers.append((self._id_field, exchange.request_id))
        return headers


def _via(version: str) -> bytes:
    return VIA if version == "1.1" else version.encode("ascii") + VIA[3:]


def _joined_via(received: list[bytes], ours: bytes) -> bytes:
    return b", ".join([*received, ours])


def wants_trailers(exchange: Exchange) -> bool:
    te = exchange.special_values(b"te")
    return bool(te) and (te[0] == b"trailers" or accepts_trailers(te))


def host_for(exchange: Exchange, target: AnyTarget, rule: bytes) -> bytes:
    if rule is PRESERVE or rule == PRESERVE:
        return exchange.host or target.address.authority
    if rule == UPSTREAM:
        return target.address.authority
    return rule


def ready_head(exchange: Exchange, target: bytes, block: tuple[bytes, bytes], length: int) -> bytes:
    """The head of a request as it is sent, with a block of `RequestFields`. length: of its body."""
    end = HEAD_END
    if length or exchange.method in BODY_METHODS:
        end = b"\r\ncontent-length: %d\r\n\r\n" % length
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b%b%b" % (
        exchange.method, target, exchange.host_sent, block[0], block[1], exchange.request_id, end,
    )  # fmt: skip


def framing(length: int) -> tuple[bytes, bytes]:
    """The field that says where a request's body ends; a known zero is said where a body is usual."""
    return (b"transfer-encoding", b"chunked") if length < 0 else (b"content-length", b"%d" % length)


def response_headers(head: AnswerHead) -> Headers:
    """The target's fields as they go to the client, before any policy amends them. A new list."""
    return answer_fields(head).copy()


def answer_fields(head: AnswerHead) -> Headers:
    """The same, not to be changed."""
    forwarded = head.forwarded
    if forwarded is None:
        forwarded = head.forwarded = _forwarded(head)
    return forwarded


def _forwarded(head: AnswerHead) -> Headers:
    bodiless = head.status in (204, 304)
    via = _VIA if head.minor else _VIA_1_0
    received: list[bytes] = []
    named: frozenset[bytes] = frozenset()
    for name, value in head.special:
        if name == b"connection":
            if value not in HARMLESS:
                named |= nominated(value)
        elif name == b"via":
            received.append(value)
    lines = head.lines
    if lines is None:
        drop = named | (_BODILESS_OURS if bodiless else NOT_PASSED_ON)
        headers = [pair for pair in head.headers if pair[0] not in drop]
    else:
        marks = ENDS_HERE | SAYS_LENGTH if bodiless else ENDS_HERE
        headers = [line.pair for line in lines if not line.name.marks & marks]
    headers.append((b"via", _joined_via(received, via[1])) if received else via)
    return headers


def end_to_end_trailers(trailers: Headers) -> Headers:
    return [pair for pair in end_to_end(trailers) if pair[0] not in _NOT_IN_TRAILERS]
