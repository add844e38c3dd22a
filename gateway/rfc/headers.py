"""Which header fields end at a proxy (RFC 9110 section 7.6.1): pure."""

from __future__ import annotations

from typing import Final

Pair = tuple[bytes, bytes]

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate", b"proxy-authentication-info",
        b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
# A sender cannot take these away by naming them in Connection: they frame or address the message.
_NOT_NOMINATED: Final = frozenset({b"content-length", b"host"})
_HARMLESS: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"upgrade", b"Upgrade"})


def end_to_end(headers: list[Pair], drop: frozenset[bytes] = HOP_BY_HOP) -> list[Pair]:
    """The fields that go on, in a new list: without those in `drop` (which holds HOP_BY_HOP) and those that Connection
    names."""
    for name, value in headers:
        if name == b"connection" and value not in _HARMLESS:
            drop = drop | nominated(value)
    return [pair for pair in headers if pair[0] not in drop]


def nominated(value: bytes) -> frozenset[bytes]:
    """The field names that one Connection line names."""
    names = frozenset(option.strip(b" \t") for option in value.lower().split(b","))
    return names - _NOT_NOMINATED


def accepts_trailers(te: list[bytes]) -> bool:
    """TE says that its sender keeps trailer fields (RFC 9110 section 10.1.4)."""
    return any(
        member.partition(b";")[0].strip(b" \t").lower() == b"trailers" for value in te for member in value.split(b",")
    )
