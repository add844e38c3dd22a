"""What a stored response becomes by a newer answer about it: 304 to a validation, HEAD, a further part. Pure
(RFC 9111 sections 3.2, 3.4, 4.3.4 and 4.3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.cache.answered import Answered
from gateway.cache.entry import Part
from gateway.cache.storable import NOT_STORED, Refusal, says_fresh, storable
from gateway.rfc.conditional import is_strong, opaque
from gateway.rfc.dates import format_date
from gateway.rfc.ranges import cut

if TYPE_CHECKING:
    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.cache.rules import Rules
    from gateway.exchange import Headers

# These describe the body that is stored, whatever the newer answer says (RFC 9111 section 3.2).
_OF_THE_BODY: Final = frozenset(
    {b"content-digest", b"content-encoding", b"content-length", b"content-md5", b"content-range", b"digest", b"repr-digest"}
)


def describes(entry: Entry, headers: Headers) -> bool:
    """Whether a 304 with these fields is about this entry: its validators are those of the entry, or it has none."""
    etag = next((value for name, value in headers if name == b"etag"), b"")
    if etag:
        if is_strong(etag) and is_strong(entry.etag):
            return etag == entry.etag
        return not entry.etag or opaque(etag) == opaque(entry.etag)
    last_modified = next((value for name, value in headers if name == b"last-modified"), b"")
    return not last_modified or not entry.last_modified or bool(entry.etag) or last_modified == entry.last_modified




def merged(stored: Headers, newer: Headers) -> Headers:
    """The stored fields with those of a newer answer in their place. A new list."""
    fields = [pair for pair in newer if pair[0] not in _OF_THE_BODY]
    replaced = {name for name, _ in fields}
    return [pair for pair in stored if pair[0] not in replaced] + fields


def updated(entry: Entry, ask: Ask, answered: Answered, rules: Rules) -> tuple[Entry, bool]:
    """The entry as a 304 (or a HEAD's 200) makes it, with its body, and whether it may stay stored as such.

    Where the newer answer forbids to store it, this request may still be answered with the result, and no other. Its cookies
    are taken over as those of a new response would be; otherwise they are `private_cookies`.
    """
    newer_fields = [pair for pair in answered.headers if pair[0] != b"set-cookie" or says_fresh(answered)]
    sent = [] if any(name == b"date" for name, _ in answered.headers) else [(b"date", format_date(answered.received_at))]
    whole = Answered(
        entry.status,
        merged(entry.headers, newer_fields + sent),
        entry.length,
        answered.asked_at,
        answered.received_at,
        answered.url,
    )
    made = storable(ask, whole, rules)
    if isinstance(made, Refusal):
        kept = [pair for pair in whole.headers if pair[0] not in NOT_STORED]
        newer = entry.copy(headers=kept, fresh_until=answered.received_at, never_stale=True)
    else:
        newer = made.copy(chunks=entry.chunks, length=entry.length, part=entry.part, vary=made.vary or entry.vary)
    newer.place = entry.place  # where the body is
    return newer, not isinstance(made, Refusal)


def private_cookies(answered: Answered) -> Headers:
    """What a validation sets for the one alone who asked: it does not say itself that it may be used again."""
    cookies = [pair for pair in answered.headers if pair[0] == b"set-cookie"]
    return [] if cookies and says_fresh(answered) else cookies


def head_agrees(entry: Entry, status: int, headers: Headers) -> bool:
    """Whether the answer to a HEAD is about the stored response, as far as validators and length tell."""
    if status != entry.status:
        return False
    for name, held in ((b"etag", entry.etag), (b"last-modified", entry.last_modified)):
        told = next((value for field, value in headers if field == name), None)
        if told is not None and told != held:
            return False
    length = next((value for field, value in headers if field == b"content-length"), None)
    total = entry.length if entry.part is None else entry.part.total
    return length is None or length == b"%d" % total


def joins(entry: Entry, other: Entry) -> bool:
    """Whether two parts may become one: the same representation by a strong validator, and no gap between them."""
    if entry.part is None or other.part is None or not is_strong(entry.etag) or entry.etag != other.etag:
        return False
    return (
        entry.part.total == other.part.total
        and other.part.first <= entry.part.last + 1
        and entry.part.first <= other.part.last + 1
    )


def joined(old: Entry, held: tuple[bytes, ...], new: Entry, body: tuple[bytes, ...]) -> tuple[Entry, tuple[bytes, ...]]:
    """Two parts that `joins` found to fit, as one: with the fields of the newer, and its bytes where both have them."""
    assert old.part is not None
    assert new.part is not None
    before = cut(held, 0, max(new.part.first - old.part.first, 0))
    after = cut(held, max(new.part.last + 1 - old.part.first, 0), old.length)
    first = min(old.part.first, new.part.first)
    last = max(old.part.last, new.part.last)
    part = None if (first, last) == (0, new.part.total - 1) else Part(first, last, new.part.total)
    return new.copy(headers=merged(old.headers, new.headers), part=part), (*before, *body, *after)
