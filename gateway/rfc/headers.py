"""Which header fields end at a proxy (RFC 9110 section 7.6.1): pure."""

from __future__ import annotations

from typing import Final

from gateway.rfc.forwarded import FORWARDING

Pair = tuple[bytes, bytes]

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate", b"proxy-authentication-info",
        b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
# The request fields that the gateway itself acts on, as it must or may; all others it only carries.
SPECIAL: Final = HOP_BY_HOP | FORWARDING | {
    b"content-length", b"expect", b"host", b"traceparent", b"tracestate", b"via",
}  # fmt: skip
NOT_PASSED_ON: Final = HOP_BY_HOP | {b"via"}  # of an answer's fields; Via is written anew
# A sender cannot take these away by naming them in Connection: they frame or address the message.
_NOT_NOMINATED: Final = frozenset({b"content-length", b"host"})
# Values of Connection that name no field that is not gone already.
HARMLESS: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"upgrade", b"Upgrade", b"TE", b"te"})


def end_to_end(headers: list[Pair], drop: frozenset[bytes] = HOP_BY_HOP) -> list[Pair]:
    """The fields that go on, in a new list: without those in `drop` (which holds HOP_BY_HOP) and those that Connection
    names."""
    drop = drop | nominated_by(headers)
    return [pair for pair in headers if pair[0] not in drop]


def nominated_by(headers: list[Pair]) -> frozenset[bytes]:
    """The names of the fields that the Connection lines among these name."""
    names: frozenset[bytes] = frozenset()
    for name, value in headers:
        if name == b"connection" and value not in HARMLESS:
            names |= nominated(value)
    return names


def nominated(value: bytes) -> frozenset[bytes]:
    """The field names that one Connection line names."""
    names = frozenset(option.strip(b" \t") for option in value.lower().split(b","))
    return names - _NOT_NOMINATED


def accepts_trailers(te: list[bytes]) -> bool:
    """TE says that its sender keeps trailer fields (RFC 9110 section 10.1.4)."""
    return any(
        member.partition(b";")[0].strip(b" \t").lower() == b"trailers" for value in te for member in value.split(b",")
    )


def is_event_stream(headers: list[Pair]) -> bool:
    """The fields of a response are those of server-sent events, which end only when one side gives up."""
    return any(name == b"content-type" and value[:17].lower() == b"text/event-stream" for name, value in headers)
