"""What a route's cache may do, as its configuration says: values for the decisions. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.rfc.cache_fields import SURROGATE_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MAX_OBJECT: Final = 5 << 20  # bytes
DEFAULT_STALE_IF_ERROR: Final = 60.0  # seconds
DEFAULT_TAGS_HEADER: Final = SURROGATE_KEY
CACHEABLE_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST"})
TTL_STATUSES: Final = frozenset({200, 203, 204, 300, 301, 308})  # that `ttl` is for


class Rules:
    """Seconds and bytes.

    ttl: how long a response is fresh that does not say so itself. negative: the same for error statuses.
    stale_while_revalidate, stale_if_error: where the response has no such directive.
    max_object: longer bodies are not stored. methods: whose responses may be stored; stored: those of them
    that are, since a HEAD has no body.
    tags_header: the field that names an entry's tags, beside Cache-Tag. heed_requests: Cache-Control and Pragma of
    requests count. written: request fields whose values the target has from us, and not from the client.
    """

    __slots__ = (
        "heed_requests", "max_object", "negative", "stale_if_error", "stale_while_revalidate", "stored", "tags_header", "ttl",
        "written",
    )  # fmt: skip

    def __init__(
        self,
        *,
        ttl: float = 0.0,
        negative: Mapping[int, float] | None = None,
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = DEFAULT_STALE_IF_ERROR,
        max_object: int = DEFAULT_MAX_OBJECT,
        methods: frozenset[bytes] = CACHEABLE_METHODS,
        tags_header: bytes = DEFAULT_TAGS_HEADER,
        heed_requests: bool = True,
        written: frozenset[bytes] = frozenset(),
    ) -> None:
        self.ttl = ttl
        self.negative = negative or {}
        self.stale_while_revalidate = stale_while_revalidate
        self.stale_if_error = stale_if_error
        self.max_object = max_object
        self.stored = methods - {b"HEAD"}
        self.tags_header = tags_header
        self.heed_requests = heed_requests
        self.written = written

    def stated_ttl(self, status: int) -> float:
        """How long a response of this status is fresh by configuration alone; 0 where nothing is said about it."""
        return self.ttl if status in TTL_STATUSES else self.negative.get(status, 0.0)
