"""Which responses are compressed, and how their head changes with it (RFC 9110 sections 8.4, 8.8.3, 12.5.3).

A response is compressed when its media type is listed, it is large enough or of unknown length, nothing forbids it
(`no-transform`, a range, a coding that is already there) and the client takes one of our codings. The encoded form is
another representation of the same resource: a strong ETag becomes weak, digests and byte ranges of the plain form go.
An event stream is never compressed, whatever is listed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.compress import CODINGS, KNOWN_CODINGS
from gateway.rfc.encoding import add_vary, is_coded, negotiate, weaken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.compress import Encoder
    from gateway.exchange import Exchange, Headers, ResponseHead

DEFAULT_TYPES: Final = (
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "image/svg+xml",
    "font/ttf",
    "font/otf",
)
DEFAULT_MIN_SIZE: Final = 1024

_EVENT_STREAM: Final = "text/event-stream"
_ACCEPT_ENCODING: Final = b"accept-encoding"
_MEDIA_RANGE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")
Verdict = TypeVar("Verdict")

_MEMO_ENTRIES: Final = 512  # of each memo; a full one is cleared
_MEMO_VALUE: Final = 256  # bytes; longer field values are not worth their place
_FIRST_FINAL: Final = 200
_PARTIAL: Final = 206
_NOT_MODIFIED: Final = 304
_BODILESS: Final = frozenset((204, 205, _NOT_MODIFIED))

# These describe the bytes of the plain form (RFC 9110 section 14.3, RFC 9530 sections 2 and 3; the others are their
# obsolete forerunners), so that they are wrong for the encoded one.
_OF_THE_PLAIN_FORM: Final = frozenset(
    (
        b"content-length",
        b"content-encoding",
        b"accept-ranges",
        b"content-digest",
        b"repr-digest",
        b"digest",
        b"content-md5",
    )
)


class Compression:
    """An `amend` policy that sets `head.transform` where the response is to be compressed.

    types, exclude: media types, `*` standing for any run of characters within a part. min_size: bytes; shorter bodies
    stay as they are. encodings: what is offered, the preferred one first; None is all that is installed. levels: by
    coding, each coding's default where it is not named. ValueError says which option is wrong and why.
    """

    __slots__ = ("_chosen", "_compressible", "_encodings", "_excluded", "_levels", "_listed", "_min_size")

    def __init__(
        self,
        *,
        types: Iterable[str] = DEFAULT_TYPES,
        exclude: Iterable[str] = (),
        min_size: int = DEFAULT_MIN_SIZE,
        encodings: Iterable[str] | None = None,
        levels: Mapping[str, int] | None = None,
    ) -> None:
        self._listed = _media_pattern(types)
        self._excluded = _media_pattern(exclude)
        if min_size < 0:
            msg = f"min_size is a number of bytes, not {min_size}"
            raise ValueError(msg)
        self._min_size = max(min_size, 1)  # an empty body is never compressed
        self._encodings = tuple(CODINGS) if encodings is None else _checked_encodings(encodings)
        self._levels = _checked_levels(levels or {}, self._encodings)
        self._compressible: dict[bytes, bool] = {}
        self._chosen: dict[bytes, bytes | None] = {}

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        """Changes the head's fields, `length` and `transform`; to HEAD the fields are those that GET would get."""
        status = head.status
        if status < _FIRST_FINAL or status in _BODILESS:
            if status == _NOT_MODIFIED:
                _match_validator(exchange, head.headers)
            return
        headers = head.headers
        media_type = head.header(b"content-type")
        if media_type is None or not self._is_compressible(media_type) or not _is_plain(headers):
            return
        add_vary(headers, _ACCEPT_ENCODING)
        if status == _PARTIAL or head.header(b"content-range") is not None or not self._is_large(exchange, head):
            return
        coding = self.choose(exchange)
        if coding is None:
            return
        headers[:] = encoded_form(headers, coding)
        head.length = None
        if exchange.method != b"HEAD":
            head.transform = CODINGS[coding].encoder(self._levels[coding])

    def _is_compressible(self, media_type: bytes) -> bool:
        verdict = self._compressible.get(media_type)
        if verdict is None:
            essence = media_type.partition(b";")[0].strip().lower().decode("latin-1")
            verdict = (
                essence != _EVENT_STREAM
                and self._listed.fullmatch(essence) is not None
                and self._excluded.fullmatch(essence) is None
            )
            _remember(self._compressible, media_type, verdict)
        return verdict

    def _is_large(self, exchange: Exchange, head: ResponseHead) -> bool:
        length = head.length
        if exchange.method == b"HEAD":
            # The length that counts is that of GET's body, and only this field tells it.
            stated = head.header(b"content-length")
            length = int(stated) if stated is not None and stated.isdigit() else None
        return length is None or length >= self._min_size

    def suits(self, status: int, headers: Headers, length: int) -> bool:
        """Whether a response with this head and so long a body is compressed, for clients that take it."""
        if status < _FIRST_FINAL or status in _BODILESS or status == _PARTIAL or length < self._min_size:
            return False
        types = [value for name, value in headers if name == b"content-type"]
        if not types or not self._is_compressible(types[0]) or not _is_plain(headers):
            return False
        return not any(name == b"content-range" for name, _ in headers)

    def encode(self, coding: bytes, body: bytes) -> bytes:
        """A whole body at once, at the level of the options; may run in another thread."""
        encoder: Encoder = CODINGS[coding].encoder(self._levels[coding])
        return encoder.whole(body)

    def choose(self, exchange: Exchange) -> bytes | None:
        """The coding that a client gets, where its answer is compressed at all."""
        accepted: bytes | None = None
        for name, value in exchange.headers:
            if name == _ACCEPT_ENCODING:
                accepted = value if accepted is None else accepted + b"," + value
            elif name == b"cache-control" and b"no-transform" in value.lower():
                return None
        if accepted is None:
            return None  # any coding would be allowed, but such clients can seldom decode one
        try:
            return self._chosen[accepted]
        except KeyError:
            coding = negotiate(accepted, self._encodings)
            _remember(self._chosen, accepted, coding)
            return coding


def _is_plain(headers: Headers) -> bool:
    """True where the body is not encoded yet and nobody forbids to transform it."""
    for name, value in headers:
        if name == b"cache-control" and b"no-transform" in value.lower():
            return False
    return not is_coded(headers)


def encoded_form(headers: Headers, coding: bytes) -> Headers:
    """The fields of the encoded representation, by those of the plain one. A new list."""
    encoded = [
        (name, weaken(value) if name == b"etag" else value) for name, value in headers if name not in _OF_THE_PLAIN_FORM
    ]
    encoded.append((b"content-encoding", coding))
    return encoded


def _match_validator(exchange: Exchange, headers: Headers) -> None:
    """A 304 names the validator of the representation that the client holds (RFC 9110 section 15.4.5).

    Where the client holds our encoded form, it asked with a weak ETag, and the target answered with its strong one.
    """
    for index, (name, value) in enumerate(headers):
        if name == b"etag":
            weak = weaken(value)
            if weak != value and any(weak in held for held in exchange.header_values(b"if-none-match")):
                headers[index] = (name, weak)
                add_vary(headers, _ACCEPT_ENCODING)
            return


def _remember(memo: dict[bytes, Verdict], value: bytes, verdict: Verdict) -> None:
    if len(value) > _MEMO_VALUE:
        return
    if len(memo) >= _MEMO_ENTRIES:
        memo.clear()
    memo[value] = verdict


# ---------------------------------------------------------------- options, checked once


def _media_pattern(types: Iterable[str]) -> re.Pattern[str]:
    """One pattern for all media ranges; `*` stays within its part of the type."""
    alternatives = []
    for media_range in types:
        lowered = media_range.strip().lower()
        if not _MEDIA_RANGE.fullmatch(lowered):
            msg = f'"{media_range}" is not a media type such as "text/html" or "text/*"'
            raise ValueError(msg)
        if lowered == _EVENT_STREAM:
            msg = f'"{media_range}" cannot be named here: an event stream is never compressed'
            raise ValueError(msg)
        alternatives.append(re.escape(lowered).replace(r"\*", "[^/]*"))
    return re.compile("|".join(alternatives) or r"(?!)")


def _checked_encodings(encodings: Iterable[str]) -> tuple[bytes, ...]:
    checked: list[bytes] = []
    for name in encodings:
        coding = name.encode()
        if coding not in KNOWN_CODINGS:
            known = ", ".join(known.decode() for known in KNOWN_CODINGS)
            msg = f'"{name}" is not a content coding that the gateway can write; choose from {known}'
            raise ValueError(msg)
        if coding not in CODINGS:
            msg = f'"{name}" needs a package that is not installed: pip install "gateway[compression]"'
            raise ValueError(msg)
        checked.append(coding)
    if not checked:
        msg = "encodings is empty: name at least one, or leave it out"
        raise ValueError(msg)
    return tuple(checked)


def _checked_levels(levels: Mapping[str, int], encodings: tuple[bytes, ...]) -> dict[bytes, int]:
    checked = {coding: CODINGS[coding].default_level for coding in encodings}
    for name, level in levels.items():
        coding = name.encode()
        if coding not in checked:
            msg = f'a level is given for "{name}", which is not among the encodings'
            raise ValueError(msg)
        allowed = CODINGS[coding].levels
        if level not in allowed:
            msg = f"{name} has the levels {allowed.start} to {allowed.stop - 1}, not {level}"
            raise ValueError(msg)
        checked[coding] = level
    return checked
