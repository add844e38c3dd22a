"""Entries as bytes: versioned, checksummed, and read without trust. Pure.

Whatever another program, another version or a fault has left under our keys reads as None, which is a miss; nothing is
ever executed or guessed. A frame names the key it belongs to, and a piece of a body the write it came from, so that no
answer can be put together from two.

    frame    magic "GW", version, kind, 8 bytes that name the write, ... , CRC-32 of all before it
    entry    mark, numbers, the lengths of all strings, the strings, then the body if it lies here
    chunk    its index in the body, the bytes
    form     the length of its coding, the coding, the bytes
"""

from __future__ import annotations

import struct
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from gateway.cache.entry import MAX_TAGS, MAX_VARY, Entry, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cache.entry import Vary

VERSION: Final = 1
MAX_FIELDS: Final = 1000  # of a response; more than any target may send
MAX_CHUNKS: Final = 1 << 16  # of a body, and so 4 GiB; what says more is damaged
ID_LENGTH: Final = 8

_FRAME: Final = struct.Struct("!2sBB8s")
_NUMBERS: Final = struct.Struct("!QHQIB6dHBH")  # see _pack_numbers
_PART: Final = struct.Struct("!3Q")
_LENGTH: Final = struct.Struct("!I")
_SUM: Final = struct.Struct("!I")
_MAGIC: Final = b"GW"
_ENTRY, _CHUNK, _FORM = range(1, 4)
HEAD: Final = _FRAME.size + _NUMBERS.size
_NOTHING: Final = 0xFFFFFFFF  # the length of a value that is None
_ALWAYS_VALIDATE, _NEVER_STALE, _FOR_AUTHORIZED, _PARTIAL = 1, 2, 4, 8


class Stamp(NamedTuple):
    """Which write an entry is of. mark: what was known of purges when it began (`Store.mark`). chunks: in how many
    pieces its body lies elsewhere; 0 where it came with the entry."""

    write: bytes
    mark: int
    chunks: int


def encode_entry(key: bytes, entry: Entry, stamp: Stamp) -> bytes:
    """With its body where `stamp.chunks` is 0."""
    strings: list[bytes | None] = [key, entry.etag, entry.last_modified]
    for pair in (*entry.headers, *entry.vary):
        strings += pair
    strings += entry.tags
    lengths = [_NOTHING if text is None else len(text) for text in strings]
    parts = [
        _FRAME.pack(_MAGIC, VERSION, _ENTRY, stamp.write),
        _pack_numbers(entry, stamp),
        b"" if entry.part is None else _PART.pack(*entry.part),
        struct.pack(f"!{len(lengths)}I", *lengths),
        *(text for text in strings if text),
    ]
    if not stamp.chunks:
        parts += entry.chunks or ()
    return _summed(parts)


def decode_entry(data: bytes, key: bytes) -> tuple[Entry, Stamp] | None:
    """None for anything but an entry under this key. Its `chunks` are None where the body lies elsewhere."""
    if not _is_sound(data, _ENTRY):
        return None
    try:
        return _read_entry(data, key)
    except (struct.error, OverflowError):
        return None


def encode_chunk(write: bytes, index: int, body: bytes) -> bytes:
    return _summed([_FRAME.pack(_MAGIC, VERSION, _CHUNK, write), _LENGTH.pack(index), body])


def decode_chunk(data: bytes, write: bytes, index: int) -> bytes | None:
    """The bytes of one piece of this write's body."""
    start = _FRAME.size + _LENGTH.size
    if not _is_sound(data, _CHUNK) or len(data) <= start + _SUM.size or data[4:12] != write:
        return None
    if _LENGTH.unpack_from(data, _FRAME.size) != (index,):
        return None
    return data[start : -_SUM.size]


def encode_form(write: bytes, coding: bytes, body: bytes) -> bytes:
    return _summed([_FRAME.pack(_MAGIC, VERSION, _FORM, write), _LENGTH.pack(len(coding)), coding, body])


def decode_form(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The write it is of, the coding and the coded body."""
    start = _FRAME.size + _LENGTH.size
    if not _is_sound(data, _FORM) or len(data) < start + _SUM.size:
        return None
    end = start + _LENGTH.unpack_from(data, _FRAME.size)[0]
    if end > len(data) - _SUM.size:
        return None
    return data[4:12], data[start:end], data[end : -_SUM.size]


def place_of(data: bytes) -> tuple[bytes, int]:
    """Which write an entry's frame is of, and in how many pieces its body lies elsewhere; from its first HEAD bytes, and
    without a look at the rest."""
    if len(data) < HEAD or data[:4] != bytes((*_MAGIC, VERSION, _ENTRY)):
        return b"", 0
    chunks: int = _NUMBERS.unpack_from(data[: HEAD], _FRAME.size)[3]
    return data[4:12], chunks if chunks <= MAX_CHUNKS else 0


# ---------------------------------------------------------------- inside


def _summed(parts: Sequence[bytes]) -> bytes:
    data = b"".join(parts)
    return data + _SUM.pack(crc32(data))


def _is_sound(data: bytes, kind: int) -> bool:
    if len(data) < _FRAME.size + _SUM.size or data[:4] != bytes((*_MAGIC, VERSION, kind)):
        return False
    return data[-_SUM.size :] == _SUM.pack(crc32(memoryview(data)[: -_SUM.size]))


def _pack_numbers(entry: Entry, stamp: Stamp) -> bytes:
    flags = (
        _ALWAYS_VALIDATE * entry.always_validate
        | _NEVER_STALE * entry.never_stale
        | _FOR_AUTHORIZED * entry.for_authorized
        | _PARTIAL * (entry.part is not None)
    )
    return _NUMBERS.pack(
        stamp.mark, entry.status, entry.length, stamp.chunks, flags,
        entry.born_at, entry.stored_at, entry.fresh_until, entry.kept_until,
        entry.stale_while_revalidate, entry.stale_if_error,
        len(entry.headers), len(entry.vary), len(entry.tags),
    )  # fmt: skip


def _read_entry(data: bytes, key: bytes) -> tuple[Entry, Stamp] | None:
    """One pass over the strings; a hit in Redis is decoded by it."""
    mark, status, length, chunks, flags, *times, headers, vary, tags = _NUMBERS.unpack_from(data, _FRAME.size)
    if chunks > MAX_CHUNKS or headers > MAX_FIELDS or vary > MAX_VARY or tags > MAX_TAGS or not isfinite(sum(times)):
        return None
    position = _FRAME.size + _NUMBERS.size
    part = None
    if flags & _PARTIAL:
        part = Part(*_PART.unpack_from(data, position))
        position += _PART.size
    count = 3 + 2 * headers + 2 * vary + tags
    lengths = struct.unpack_from(f"!{count}I", data, position)
    position += 4 * count
    strings: list[bytes] = []
    for size in lengths:
        end = position if size == _NOTHING else position + size
        strings.append(data[position:end])
        position = end
    body = data[position : -_SUM.size]
    if len(body) != (0 if chunks else length) or position > len(data) - _SUM.size or strings[0] != key:
        return None
    last = 3 + 2 * headers
    varies: Vary = ()
    if vary:
        values = [None if size == _NOTHING else text for text, size in zip(strings, lengths, strict=True)]
        varies = tuple(zip(strings[last : count - tags : 2], values[last + 1 : count - tags : 2], strict=True))
    if _NOTHING in lengths[:last] + lengths[last : count - tags : 2] + lengths[count - tags :]:
        return None  # only the value of a field that is varied on can be missing
    entry = Entry(
        status,
        list(zip(strings[3:last:2], strings[4:last:2], strict=True)),
        chunks=None if chunks else (body,) if body else (),
        length=length,
        part=part,
        vary=varies,
        tags=tuple(strings[count - tags :]),
        etag=strings[1],
        last_modified=strings[2],
        born_at=times[0],
        stored_at=times[1],
        fresh_until=times[2],
        kept_until=times[3],
        stale_while_revalidate=times[4],
        stale_if_error=times[5],
        always_validate=bool(flags & _ALWAYS_VALIDATE),
        never_stale=bool(flags & _NEVER_STALE),
        for_authorized=bool(flags & _FOR_AUTHORIZED),
    )
    return entry, Stamp(data[4:12], mark, chunks)
