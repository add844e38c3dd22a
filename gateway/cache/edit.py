"""How a client's request becomes the cache's own: without the client's conditions, with those of what is stored. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.rfc.conditional import CONDITIONS, is_strong

if TYPE_CHECKING:
    from gateway.cache.entry import Entry
    from gateway.cache.key import KeyRule
    from gateway.exchange import Exchange, Headers

_THE_CLIENTS: Final = CONDITIONS | {b"range"}


class FetchEdit:
    """validate: the entry to ask about. complete: the incomplete entry whose rest is wanted. keep_range: the client's own
    Range and If-Range go along. plain: the answer is wanted without a content coding."""

    __slots__ = ("_added", "_drop", "_keys", "_plain")

    def __init__(
        self, keys: KeyRule, *, validate: Entry | None = None, complete: Entry | None = None, keep_range: bool = False,
        plain: bool = False,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._plain = plain
        self._drop = _THE_CLIENTS - {b"range", b"if-range"} if keep_range else _THE_CLIENTS
        if plain:
            self._drop |= {b"accept-encoding"}
        self._added: Headers = []
        if validate is not None:
            self._added = conditions(validate)
        elif complete is not None and (wanted := missing(complete)) is not None:
            self._added = [(b"range", wanted), (b"if-range", complete.etag)]

    def target(self, target: bytes) -> bytes:
        return self._keys.target(target)

    def keeps(self, exchange: Exchange) -> bool:
        """It is known that `headers` would change nothing about this one's: the client's conditions are among what concerns
        caches."""
        fields = exchange.unedited
        return fields is not None and not (fields.asks or self._plain or self._added)

    def headers(self, headers: Headers) -> Headers:
        return [pair for pair in headers if pair[0] not in self._drop] + self._added


def conditions(entry: Entry) -> Headers:
    """The fields that ask whether a stored response is still right (RFC 9111 section 4.3.1)."""
    fields = []
    if entry.etag:
        fields.append((b"if-none-match", entry.etag))
    if entry.last_modified:
        fields.append((b"if-modified-since", entry.last_modified))
    return fields


def missing(entry: Entry) -> bytes | None:
    """The Range of what an incomplete entry does not have; None where that is not one range, or could not be joined to what
    is there, which takes a strong validator (RFC 9111 section 3.4)."""
    part = entry.part
    if part is None or entry.chunks is None or not is_strong(entry.etag):
        return None
    if part.first == 0:
        return b"bytes=%d-" % (part.last + 1)
    return b"bytes=0-%d" % (part.first - 1) if part.last + 1 == part.total else None
