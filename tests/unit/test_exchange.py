"""An exchange and its twin."""

from __future__ import annotations

from typing import Any

from gateway.exchange import Exchange

OUTCOME = {
    "attempt_at", "attempts", "bytes_in", "bytes_out", "cache", "ended_at", "error", "first_byte_at", "goes_alone", "host_sent", "missed",
    "reused", "status", "target",
}  # fmt: skip
GIVEN = {"fields", "headers", "http_version", "is_plain", "method", "mount", "path", "peer", "peer_port", "query", "scheme", "special", "started_at"}


def slots() -> set[str]:
    return set(Exchange.__slots__)


def test_a_twin_has_all_that_was_decided_and_nothing_of_the_outcome():
    marks: dict[str, Any] = {name: object() for name in slots() - GIVEN}
    exchange = Exchange(b"GET", b"/", None, [(b"host", b"a")], scheme=b"https", peer="10.0.0.1", peer_port=5, started_at=7.0)
    fresh = Exchange(b"GET", b"/", None, [(b"host", b"a")])
    for name, mark in marks.items():
        setattr(exchange, name, mark)
    twin = exchange.twin()
    for name in GIVEN:
        assert getattr(twin, name) == getattr(exchange, name), name
    for name in slots() - GIVEN - OUTCOME:
        assert getattr(twin, name) is marks[name], name
    for name in OUTCOME - {"attempt_at"}:
        assert getattr(twin, name) == getattr(fresh, name), name
