"""How long a response is fresh, and how old it is (RFC 9111 sections 4.2, 5.1 and 5.3). Pure.

Times are Unix seconds. What is invalid is never taken for fresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.rfc.cache_control import INVALID, MAX_AGE, delta_seconds
from gateway.rfc.dates import parse_date

if TYPE_CHECKING:
    from gateway.rfc.cache_control import Directives

Pair = tuple[bytes, bytes]

HEURISTIC_SHARE: Final = 0.1  # of the time since the last modification (RFC 9111 section 4.2.2)
HEURISTIC_LIMIT: Final = 86400.0  # seconds
HEURISTIC_STATUSES: Final = frozenset(
    {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}
)  # RFC 9110 section 15.1; 206 is kept as a part of a 200


def explicit_lifetime(directives: Directives, headers: list[Pair], received_at: float, *, targeted: bool) -> float | None:
    """Seconds that a shared cache may take it for fresh, from its making on; None where the response does not say.

    targeted: the directives are those of a targeted field, so that Expires does not count (RFC 9213 section 2.2).
    """
    if directives.lifetime is not None:
        return directives.lifetime
    if targeted:
        return None
    expires = [value for name, value in headers if name == b"expires"]
    if not expires:
        return None
    until = parse_date(expires[0], received_at) if len(expires) == 1 else None
    if until is None:
        return 0.0
    return min(max(until - date_of(headers, received_at), 0.0), float(MAX_AGE))


def heuristic_lifetime(headers: list[Pair], received_at: float) -> float:
    """A share of the time that it had not been modified, where Last-Modified says so; else nothing."""
    for name, value in headers:
        if name == b"last-modified":
            modified = parse_date(value, received_at)
            if modified is None:
                return 0.0
            unchanged = date_of(headers, received_at) - modified
            return min(max(unchanged * HEURISTIC_SHARE, 0.0), HEURISTIC_LIMIT)
    return 0.0


def age_in(value: bytes) -> int:
    """Seconds of an Age: its first member counts, and what is no number counts for nothing (RFC 9111 section 5.1)."""
    seconds = delta_seconds(value.partition(b",")[0].strip(b" \t"))
    return 0 if seconds == INVALID else seconds


def date_of(headers: list[Pair], received_at: float) -> float:
    """When the response was sent: by Date, or else when it was received."""
    for name, value in headers:
        if name == b"date":
            stated = parse_date(value, received_at)
            return received_at if stated is None else stated
    return received_at
