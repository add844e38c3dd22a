"""An entry: one stored response, with all that decides about its reuse worked out when it was stored (RFC 9111).

Nothing is parsed when an entry is looked up: directives have become times and switches here. Times are Unix seconds, so
that an entry means the same in every process and on every machine; sizes are bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.exchange import Headers

Vary = tuple[tuple[bytes, bytes | None], ...]

MAX_VARIANTS: Final = 64  # entries under one key; the oldest goes when another comes
MAX_VARY: Final = 16  # request fields that one response may vary on; with more it is not stored
MAX_TAGS: Final = 256  # of one entry; with more it is not stored, since a purge would miss it
MAX_TAG: Final = 1024  # bytes of one tag
OVERHEAD: Final = 1024  # bytes that an entry is taken to need beside its fields and its body
FIELD_OVERHEAD: Final = 160  # the same for a field: its pair and two values, as objects

# What a copy takes over: all but what belongs to the process that serves an entry, and to the store that keeps it.
_COPIED: Final = (
    "status", "headers", "born_at", "stored_at", "fresh_until", "kept_until", "chunks", "length", "part", "vary", "tags", "etag",
    "last_modified", "stale_while_revalidate", "stale_if_error", "always_validate", "never_stale", "for_authorized",
)  # fmt: skip


_NO_FORMS: Final[dict[bytes, bytes]] = {}  # of entries without any, of which there may be very many


class Part(NamedTuple):
    """What an incomplete entry holds of the whole representation: bytes `first` to `last` of `total`, counted from 0
    as in Content-Range (RFC 9110 section 14.4)."""

    first: int
    last: int
    total: int

    @property
    def is_all(self) -> bool:
        return self.first == 0 and self.last + 1 == self.total


@mypyc_attr(acyclic=True, free_list_len=1)
class Entry:
    """One variant under a key. Only `fresh_until`, `forms`, `memo` and `place` ever change; all else belongs to the stored response.

    status, headers: as they came, end-to-end fields only, without Age, Cache-Status and Connection's like, in a list that may be
        that of a target's answer and of other entries too, and is never changed; a partial response is kept with the status 200
        and the fields of the whole, and with its `part`.
    chunks: the body in pieces, none of them empty; None where it lies in the store and is read by `Store.body`.
    length: of the body that is held.
    part: None for a whole representation.
    vary: the request fields that selected this response, names lowercase and sorted, with the normalised value that the
        request had, or None where it had none.
    tags: what purges by tag name; no tag holds a space but those of Cache-Groups, which belong to an origin.
    etag, last_modified: the validators as received; empty where there is none.
    born_at: when it was made, as far as Date and Age tell; `now - born_at` is its age (RFC 9111 section 4.2.3).
    stored_at: when it was received, or last validated. fresh_until: when it becomes stale.
    stale_while_revalidate, stale_if_error: seconds after `fresh_until` in which that is allowed (RFC 5861).
    kept_until: after that it is of no use; a store may drop it then. It is not before `fresh_until`.
    always_validate: never used without asking (no-cache). never_stale: not used stale, whatever happens
        (must-revalidate, proxy-revalidate, s-maxage, no-cache). for_authorized: may answer a request with Authorization.
    fields_size: bytes of `headers`, about; -1 where nobody has counted them.
    forms: the body in content codings, by coding, not changed in place; added later through `Store.add_form`, and only to a
        whole one.
    memo: what the process that serves it has worked out about it; neither stored nor copied.
    place: where the store that gave it keeps it. The store's own; neither stored nor copied.
    """

    __slots__ = (
        "_bare_size", "_body", "_fields_size", "_pieces",
        "always_validate", "born_at", "etag", "for_authorized", "forms", "fresh_until", "headers", "kept_until",
        "last_modified", "length", "memo", "never_stale", "part", "place", "stale_if_error", "stale_while_revalidate",
        "status", "stored_at", "tags", "vary",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        headers: Headers,
        *,
        born_at: float,
        stored_at: float,
        fresh_until: float,
        kept_until: float,
        chunks: tuple[bytes, ...] | None = (),
        length: int = 0,
        part: Part | None = None,
        vary: Vary = (),
        tags: tuple[bytes, ...] = (),
        etag: bytes = b"",
        last_modified: bytes = b"",
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = 0.0,
        always_validate: bool = False,
        never_stale: bool = False,
        for_authorized: bool = False,
        forms: Mapping[bytes, bytes] | None = None,
        fields_size: int = -1,
    ) -> None:
        # Compiled, this is the order in memory: all that is let go of when an entry goes lies together.
        self.headers = headers
        self.vary = vary
        self.tags = tags
        self.etag = etag
        self.last_modified = last_modified
        self.part = part
        self.forms: dict[bytes, bytes] = dict(forms) if forms else _NO_FORMS
        self.memo: object = None
        self.place: object = None
        self._body = b""
        self._pieces = chunks
        self.length = length
        self.status = status
        self._fields_size = fields_size
        self._bare_size = 0  # 0: not yet counted
        self.born_at = born_at
        self.stored_at = stored_at
        self.fresh_until = fresh_until
        self.kept_until = kept_until
        self.stale_while_revalidate = stale_while_revalidate
        self.stale_if_error = stale_if_error
        self.always_validate = always_validate
        self.never_stale = never_stale
        self.for_authorized = for_authorized

    @property
    def chunks(self) -> tuple[bytes, ...] | None:
        return (self._body,) if self._body else self._pieces

    def hold(self, body: bytes) -> None:
        """Take this body, before anybody has seen the entry."""
        self._body = body
        self._pieces = ()
        self.length = len(body)

    def add_form(self, coding: bytes, body: bytes) -> None:
        self.forms = {**self.forms, coding: body}

    def with_body(self, chunks: Iterable[bytes]) -> Entry:
        """The same response with this body, which a writer has gathered. A new entry, without forms."""
        held = tuple(chunks)
        return Entry(
            self.status, self.headers, born_at=self.born_at, stored_at=self.stored_at, fresh_until=self.fresh_until,
            kept_until=self.kept_until, chunks=held, length=sum(map(len, held)), part=self.part, vary=self.vary, tags=self.tags,
            etag=self.etag, last_modified=self.last_modified, stale_while_revalidate=self.stale_while_revalidate,
            stale_if_error=self.stale_if_error, always_validate=self.always_validate, never_stale=self.never_stale,
            for_authorized=self.for_authorized, fields_size=self._fields_size,
        )  # fmt: skip

    def copy(self, **changes: object) -> Entry:
        """A new entry with some fields changed, without forms, memo and place."""
        fields = {name: getattr(self, name) for name in _COPIED}
        return Entry(**{**fields, **changes})

    @property
    def size(self) -> int:
        """What it costs to hold it in memory, about; forms included."""
        if not self._bare_size:
            size = OVERHEAD + FIELD_OVERHEAD * (len(self.headers) + len(self.vary) + len(self.tags))
            if self._fields_size < 0:
                self._fields_size = sum(len(name) + len(value) for name, value in self.headers)
            size += self._fields_size
            if self._body or self._pieces is not None:
                size += self.length
            for tag in self.tags:
                size += len(tag)
            for name, selecting in self.vary:
                size += len(name) + len(selecting or b"")
            self._bare_size = size
        return self._bare_size + sum(map(len, self.forms.values())) if self.forms else self._bare_size
