"""May this entry answer this request now? Pure (RFC 9111 sections 4 and 5.2.1, RFC 5861)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.rfc.encoding import is_coded
from gateway.rfc.ranges import UNSATISFIABLE, parse_range, resolve
from gateway.rfc.vary import selects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cache.ask import Ask
    from gateway.cache.entry import Entry
    from gateway.rfc.ranges import Span

ERROR_STATUSES: Final = frozenset({500, 502, 503, 504})  # that `stale-if-error` is for (RFC 5861 section 4)


class Verdict(Enum):
    """What to do with an entry that a request selects."""

    USE = "use"  # fresh, or stale to a degree that the request accepts
    USE_AND_VALIDATE = "use-and-validate"  # stale, within `stale-while-revalidate`
    VALIDATE = "validate"  # stale, or to be validated whenever it is used
    ASKED_TO_VALIDATE = "asked-to-validate"  # fresh, but the request wants it to be looked at again
    PASS = "pass"  # noqa: S105 - not for this request at all


# Found without looking into the enumeration, which is dear, as is a set of its members.
USE: Final = Verdict.USE
USE_AND_VALIDATE: Final = Verdict.USE_AND_VALIDATE
VALIDATE: Final = Verdict.VALIDATE
ASKED_TO_VALIDATE: Final = Verdict.ASKED_TO_VALIDATE
PASS: Final = Verdict.PASS


def select(entries: Sequence[Entry], ask: Ask) -> Entry | None:
    """The first of the variants, which come newest first, that the request's fields select."""
    for entry in entries:
        vary = entry.vary
        if not vary or selects(vary, ask.selecting(coded=is_coded(entry.headers)), _language(entry)):
            return entry
    return None


def _language(entry: Entry) -> bytes:
    languages = [value for name, value in entry.headers if name == b"content-language"]
    return languages[0] if len(languages) == 1 else b""


def reuse(entry: Entry, ask: Ask, now: float) -> Verdict:
    """entry: one that `select` gave."""
    fresh_for = entry.fresh_until - now
    if not ask.concerns:
        if fresh_for > 0 and not entry.always_validate:
            return USE
    elif ask.is_authorized and not entry.for_authorized:
        return PASS
    elif entry.always_validate:
        return VALIDATE
    elif ask.directives.names:
        return _as_asked(entry, ask, now)
    elif fresh_for > 0:
        return USE
    return _stale(entry, -fresh_for)


def _as_asked(entry: Entry, ask: Ask, now: float) -> Verdict:
    """RFC 9111 section 5.2.1; seconds that are invalid are as good as none at all."""
    directives = ask.directives
    if directives.no_store:
        return PASS
    if b"no-cache" in directives:
        return ASKED_TO_VALIDATE
    max_age = directives.seconds.get(b"max-age")
    fresh_for = entry.fresh_until - now
    if max_age is not None and now - entry.born_at > max_age:
        return ASKED_TO_VALIDATE if fresh_for > 0 else VALIDATE
    if fresh_for > 0:
        return USE if fresh_for >= directives.seconds.get(b"min-fresh", 0) else ASKED_TO_VALIDATE
    if not entry.never_stale and -fresh_for <= directives.seconds.get(b"max-stale", -1):
        return USE
    return VALIDATE if max_age is not None else _stale(entry, -fresh_for)


def _stale(entry: Entry, stale_for: float) -> Verdict:
    if entry.never_stale or stale_for > entry.stale_while_revalidate or not entry.stale_while_revalidate:
        return VALIDATE
    return USE_AND_VALIDATE


def may_bridge(entry: Entry, ask: Ask, now: float) -> bool:
    """Whether it may be used because the target failed, although it should have been validated (RFC 9111 section 4.2.4,
    RFC 5861 section 4)."""
    if entry.never_stale or (ask.is_authorized and not entry.for_authorized) or not ask.directives.names.isdisjoint(_STRICT):
        return False
    window = max(entry.stale_if_error, ask.directives.seconds.get(b"stale-if-error", 0))
    return now - entry.fresh_until <= window


_STRICT: Final = frozenset({b"no-cache", b"no-store"})


def held_span(entry: Entry, ask: Ask) -> Span | None:
    """Where in `entry.chunks` lie the bytes that the request wants; None where the entry does not have them all.

    UNSATISFIABLE where the representation has none of the bytes that are asked for. Only for a GET without If-Range, or
    one whose If-Range applies, the Range counts.
    """
    asked = ask.asked_range
    wanted = parse_range(asked) if asked is not None and entry.status == 200 else None
    part = entry.part
    if part is None:
        return (0, entry.length) if wanted is None else resolve(wanted, entry.length)
    span = (0, part.total) if wanted is None else resolve(wanted, part.total)
    if span == UNSATISFIABLE:
        return span
    if span[0] < part.first or span[1] > part.last + 1:
        return None
    return span[0] - part.first, span[1] - part.first
