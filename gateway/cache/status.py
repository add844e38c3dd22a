"""Cache-Status: how the cache dealt with a request (RFC 9211). Pure."""

from __future__ import annotations

from typing import Any, Final

from mypy_extensions import mypyc_attr

from gateway.rfc.cache_fields import CACHE_STATUS

NAME: Final = b"gateway"


class Forward:
    """Why a request went to the target (RFC 9211 section 2.2)."""

    BYPASS: Final = b"bypass"  # the cache was not to deal with it
    METHOD: Final = b"method"  # the method's semantics need it
    URI_MISS: Final = b"uri-miss"  # nothing is stored for the URL
    VARY_MISS: Final = b"vary-miss"  # something is, for other request fields
    MISS: Final = b"miss"  # what is stored could not be used
    REQUEST: Final = b"request"  # it could have been used, but the request asked for more
    STALE: Final = b"stale"
    PARTIAL: Final = b"partial"  # not all that was asked for is stored


@mypyc_attr(acyclic=True, free_list_len=1)
class Outcome:
    """hit: answered without the target. fwd: why not, as in `Forward`. fwd_status: the target's, where the client got another one.
    ttl: seconds of freshness left, negative where stale. collapsed: it shared somebody else's fetch. is_first: the target's
    answer is known to have no word of any cache."""

    __slots__ = ("collapsed", "detail", "fwd", "fwd_status", "hit", "is_first", "stored", "ttl")

    def __init__(self, fwd: bytes | None = None, *, ttl: int | None = None, detail: bytes = b"") -> None:
        self.hit = fwd is None
        self.fwd = fwd
        self.fwd_status = 0
        self.ttl = ttl
        self.stored = False
        self.collapsed = False
        self.is_first = False
        self.detail = detail

    @property
    def word(self) -> str:
        """For the log and the metrics: hit, stale, revalidated, miss, bypass or collapsed."""
        if self.collapsed:
            return "collapsed"
        if self.hit:
            return "stale" if self.ttl is not None and self.ttl < 0 else "hit"
        if self.fwd_status == NOT_MODIFIED:
            return "revalidated"
        if self.ttl is not None:
            return "stale"
        return "bypass" if self.fwd in PASSED else "miss"

    def field(self) -> Any:
        """A pair; of what is said most often, always the same one."""
        value = self.value()
        return _STORED_MISS_FIELD if value is _STORED_MISS else (CACHE_STATUS, value)

    def value(self) -> bytes:
        """Our member of the field."""
        if self.fwd is None:
            return NAME + b"; hit" if self.ttl is None else b"%b; hit; ttl=%d" % (NAME, self.ttl)
        if self.stored and self.ttl is None and not self.fwd_status and not self.collapsed and not self.detail:
            return _STORED_MISS if self.fwd == Forward.URI_MISS else b"%b; fwd=%b; stored" % (NAME, self.fwd)
        parts = [NAME, b"fwd=" + self.fwd]
        if self.fwd_status:
            parts.append(b"fwd-status=%d" % self.fwd_status)
        if self.ttl is not None:
            parts.append(b"ttl=%d" % self.ttl)
        if self.stored:
            parts.append(b"stored")
        if self.collapsed:
            parts.append(b"collapsed")
        if self.detail:
            parts.append(b"detail=" + self.detail)
        return b"; ".join(parts)


_STORED_MISS: Final = b"%b; fwd=%b; stored" % (NAME, Forward.URI_MISS)
_STORED_MISS_FIELD: Final[Any] = (CACHE_STATUS, _STORED_MISS)
NOT_MODIFIED: Final = 304
PASSED: Final = frozenset({Forward.BYPASS, Forward.METHOD})
WORDS: Final = ("hit", "stale", "revalidated", "miss", "bypass", "collapsed")
