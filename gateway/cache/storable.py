"""May this response be stored, and what does its entry say? Pure (RFC 9111 sections 3 and 4.2, RFC 5861, RFC 9213).

Everything that later decides about reuse is worked out here, once.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.cache.answered import control_of
from gateway.cache.entry import MAX_VARY, Entry, Part
from gateway.cache.purge import origin_of
from gateway.cache.rules import DEFAULT_TAGS_HEADER
from gateway.cache.tags import tags_of
from gateway.rfc.cache_fields import CHOSEN, COOKIE, DATED, GROUPED, NOT_KEPT, TAGGED, names_of
from gateway.rfc.dates import format_date
from gateway.rfc.encoding import is_coded
from gateway.rfc.forwarded import CLIENTS
from gateway.rfc.freshness import HEURISTIC_STATUSES, explicit_lifetime, heuristic_lifetime
from gateway.rfc.headers import is_event_stream
from gateway.rfc.ranges import parse_content_range
from gateway.rfc.vary import normalised, vary_names

if TYPE_CHECKING:
    from gateway.cache.answered import Answered, Control
    from gateway.cache.ask import Ask
    from gateway.cache.entry import Vary
    from gateway.cache.rules import Rules
    from gateway.exchange import Headers
    from gateway.rfc.cache_control import Directives

MAX_REQUEST: Final = 8192  # bytes of a request's fields; what a larger one is answered may be about its size
KEPT_FOR_VALIDATION: Final = 3600.0  # seconds that a response with a validator is kept after all other use for it
_UNDERSTOOD: Final = frozenset(
    {200, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414,
     415, 416, 417, 421, 422, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505}
)  # fmt: skip
NOT_STORED: Final = names_of(NOT_KEPT)
_NOT_STORED_OF_PARTS: Final = NOT_STORED | {b"content-length", b"content-range"}
_CHOSEN_BY: Final = names_of(CHOSEN)


class Refusal(Enum):
    """Why a response is not stored; the words go into Cache-Status as its `detail`."""

    METHOD = "method"  # no responses to this method are stored
    REQUEST = "request"  # the request forbids it, or is too odd for its answer to be given to others
    STATUS = "status"  # not final, or not one that a cache can keep
    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZED = "authorization"  # the request had credentials, and the response does not allow it all the same
    VARY = "vary"  # on everything, on who the client is, or on too much
    FRESHNESS = "freshness"  # nothing says how long it may be used
    COOKIE = "set-cookie"  # it sets a cookie, and does not say itself that it may be used again
    SIZE = "size"
    TAGS = "tags"  # more than an entry may have
    STREAM = "event-stream"  # it never ends, or was ended by us
    RANGE = "range"  # a part that does not fit its description, or that nobody asked for
    END = "end"  # it ends with its TLS connection, and nobody can tell whether that was all

    @property
    def lasts(self) -> bool:
        """The next response is likely to be refused as well, whoever asks."""
        return self in _LASTING


_LASTING: Final = frozenset(
    {
        Refusal.NO_STORE, Refusal.PRIVATE, Refusal.VARY, Refusal.FRESHNESS, Refusal.COOKIE, Refusal.SIZE, Refusal.STREAM, Refusal.TAGS,
        Refusal.END,
    }
)  # fmt: skip


def storable(ask: Ask, answered: Answered, rules: Rules) -> Entry | Refusal:
    """The entry for a response, without its body; or why it is not stored."""
    control = control_of(answered)
    refusal = _refused_request(ask, rules) or _refused_response(ask, answered, control.directives, rules)
    if refusal is not None:
        return refusal
    part = _part(answered)
    if isinstance(part, Refusal):
        return part
    vary = vary_of(ask, answered.headers, rules.written) if answered.kinds & CHOSEN else ()
    if vary is None:
        return Refusal.VARY
    may_have_tags = answered.kinds & (TAGGED | GROUPED) or rules.tags_header != DEFAULT_TAGS_HEADER
    tags = tags_of(answered.headers, rules.tags_header, answered.url) if may_have_tags else ()
    if tags is None:
        return Refusal.TAGS
    lifetime = _lifetime(ask, answered, control, rules, part)
    if isinstance(lifetime, Refusal):
        return lifetime
    return _entry(answered, rules, control.directives, lifetime, part=part, vary=vary, tags=tags)


def _refused_request(ask: Ask, rules: Rules) -> Refusal | None:
    if ask.method not in rules.stored:
        return Refusal.METHOD
    if ask.directives.no_store or ask.size > MAX_REQUEST:
        return Refusal.REQUEST
    return None


def _refused_response(ask: Ask, answered: Answered, directives: Directives, rules: Rules) -> Refusal | None:
    status = answered.status
    must_understand = directives.must_understand  # where we do, it outweighs no-store (RFC 9111 section 5.2.2.3)
    refusal = None
    if status < 200 or status in (304, 416) or (must_understand and status not in _UNDERSTOOD):
        refusal = Refusal.STATUS
    elif directives.no_store and not must_understand:
        refusal = Refusal.NO_STORE
    elif directives.is_private:
        refusal = Refusal.PRIVATE
    elif ask.is_authorized and not directives.for_authorized:
        refusal = Refusal.AUTHORIZED
    elif answered.length is not None and answered.length > rules.max_object:
        refusal = Refusal.SIZE
    elif answered.length is None and is_event_stream(answered.headers):
        refusal = Refusal.STREAM
    return refusal


def _part(answered: Answered) -> Part | Refusal | None:
    """What of the representation a 206 has, which may be all of it; None for a whole response."""
    if answered.status != 206:
        return None
    values = [value for name, value in answered.headers if name == b"content-range"]
    found = parse_content_range(values[0]) if len(values) == 1 else None
    if found is None or answered.length != found[1] - found[0]:
        return Refusal.RANGE
    return Part(found[0], found[1] - 1, found[2])


def vary_of(ask: Ask, headers: Headers, written: frozenset[bytes]) -> Vary | None:
    """The request's fields that selected the response; None where they are not known or too many.

    A response in a content coding was chosen by Accept-Encoding, whether it says so or not. written: the fields that the
    target has from us, and of which the request's own say nothing; those that name the client always are.
    """
    chosen_by = [pair for pair in headers if pair[0] in _CHOSEN_BY]
    names = vary_names([value for name, value in chosen_by if name == b"vary"])
    if names is None or len(names) > MAX_VARY or not CLIENTS.isdisjoint(names) or not written.isdisjoint(names):
        return None
    coded = is_coded(chosen_by)
    if coded and b"accept-encoding" not in names:
        names = tuple(sorted((*names, b"accept-encoding")))
    selecting = ask.selecting(coded=coded)
    return tuple((name, normalised(name, selecting)) for name in names)


def _lifetime(ask: Ask, answered: Answered, control: Control, rules: Rules, part: Part | None) -> float | Refusal:
    """Seconds of freshness, from the making of the response on."""
    headers, directives = answered.headers, control.directives
    stated = explicit_lifetime(directives, headers, answered.received_at, targeted=control.targeted)
    if ask.method == b"POST" and (stated is None or not _is_about(answered)):
        return Refusal.METHOD  # RFC 9110 section 9.3.3
    if answered.kinds & COOKIE and (not stated or directives.always_validate):
        return Refusal.COOKIE  # the next client would get it by a validation that says nothing of cookies
    if stated is not None:
        return stated
    if directives.always_validate:
        return 0.0
    configured = rules.stated_ttl(200 if part is not None else answered.status)
    return configured or _guessed(ask, answered, directives) or Refusal.FRESHNESS


def says_fresh(answered: Answered) -> bool:
    """Whether a response says itself that it may be used again for a while."""
    control = control_of(answered)
    stated = explicit_lifetime(control.directives, answered.headers, answered.received_at, targeted=control.targeted)
    return bool(stated) and not control.directives.always_validate


def _guessed(ask: Ask, answered: Answered, directives: Directives) -> float:
    """Heuristic freshness; none for what may have been made for one client."""
    may_guess = answered.status in HEURISTIC_STATUSES or b"public" in directives
    if not may_guess or any(name == b"cookie" for name, _ in ask.headers):
        return 0.0
    return heuristic_lifetime(answered.headers, answered.received_at)


def _is_about(answered: Answered) -> bool:
    """Content-Location says that the body is what a GET of this URL would give."""
    locations = [value for name, value in answered.headers if name == b"content-location"]
    if len(locations) != 1:
        return False
    location, url = locations[0], answered.url
    return location == (url[len(origin_of(url)) :] if location[:1] == b"/" and location[:2] != b"//" else url)


def _entry(
    answered: Answered, rules: Rules, directives: Directives, lifetime: float, *, part: Part | None, vary: Vary,
    tags: tuple[bytes, ...],
) -> Entry | Refusal:  # fmt: skip
    received_at = answered.received_at
    kept = _kept_fields(answered, directives, part)
    etag, last_modified = answered.etag, answered.last_modified
    if directives.fields:  # which may name these
        etag = next((value for name, value in kept if name == b"etag"), b"")
        last_modified = next((value for name, value in kept if name == b"last-modified"), b"")
    always_validate, never_stale = directives.always_validate, directives.never_stale
    born = answered.born_at
    while_revalidate, if_error = directives.while_revalidate, directives.if_error
    if while_revalidate is None:
        while_revalidate = rules.stale_while_revalidate
    if if_error is None:
        if_error = rules.stale_if_error
    fresh_until = born + lifetime
    is_fresh = fresh_until > received_at and not always_validate
    can_validate = bool(etag or last_modified)
    if not is_fresh and not can_validate and not (while_revalidate and not never_stale):
        return Refusal.FRESHNESS
    useful = max(fresh_until, received_at) + (0.0 if never_stale else max(while_revalidate, if_error))
    return Entry(
        200 if part is not None else answered.status,
        kept,
        born_at=born,
        stored_at=received_at,
        fresh_until=fresh_until,
        kept_until=useful + (KEPT_FOR_VALIDATION if can_validate else 0.0),
        part=None if part is not None and part.is_all else part,
        vary=vary,
        tags=tags,
        etag=etag,
        last_modified=last_modified,
        stale_while_revalidate=0.0 if never_stale else while_revalidate,
        stale_if_error=0.0 if never_stale else if_error,
        always_validate=always_validate,
        never_stale=never_stale,
        for_authorized=directives.for_authorized,
        fields_size=answered.size,
    )


def _kept_fields(answered: Answered, directives: Directives, part: Part | None) -> Headers:
    """What is stored of the fields: not those that `no-cache` or `private` are restricted to, and with a Date (RFC 9110
    section 6.6.1). A part has those of the whole that it belongs to."""
    kinds = answered.kinds
    if part is None and not directives.fields and not kinds & NOT_KEPT:
        kept = answered.headers
        if kinds & DATED and answered.is_lasting:
            return kept
        kept = kept.copy()
    else:
        without = NOT_STORED if part is None else _NOT_STORED_OF_PARTS
        for name in (b"no-cache", b"private"):
            without |= directives.fields.get(name, frozenset())
        kept = [pair for pair in answered.headers if pair[0] not in without]
    if not kinds & DATED or (directives.fields and not any(name == b"date" for name, _ in kept)):
        kept.append((b"date", format_date(answered.received_at)))
    return kept
