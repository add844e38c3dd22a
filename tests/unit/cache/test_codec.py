"""What was stored comes back as it was, and what was not stored by us comes back as nothing."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cache.codec import (
    HEAD,
    MAX_CHUNKS,
    Stamp,
    decode_chunk,
    decode_entry,
    decode_form,
    encode_chunk,
    encode_entry,
    encode_form,
    place_of,
)
from gateway.cache.entry import MAX_TAGS, MAX_VARY, Entry, Part

TIMES = st.floats(0, 4e9)
NAMES = st.binary(min_size=1, max_size=12)
PARTS = st.none() | st.builds(Part, st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**40))
BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=4).map(tuple)
ENTRIES = st.builds(
    lambda chunks, **fields: Entry(chunks=chunks, length=sum(map(len, chunks)), **fields),
    chunks=BODIES,
    status=st.integers(200, 599),
    headers=st.lists(st.tuples(NAMES, st.binary(max_size=30)), max_size=6),
    born_at=TIMES,
    stored_at=TIMES,
    fresh_until=TIMES,
    kept_until=TIMES,
    part=PARTS,
    vary=st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=8)), max_size=4).map(tuple),
    tags=st.lists(NAMES, max_size=4).map(tuple),
    etag=st.binary(max_size=8),
    last_modified=st.binary(max_size=8),
    stale_while_revalidate=TIMES,
    stale_if_error=TIMES,
    always_validate=st.booleans(),
    never_stale=st.booleans(),
    for_authorized=st.booleans(),
)
WRITES = st.binary(min_size=8, max_size=8)
KEYS = st.binary(max_size=40)
STAMPS = st.builds(Stamp, WRITES, st.integers(0, 2**53), st.just(0) | st.integers(1, MAX_CHUNKS))
SAMPLE = Entry(
    200, [(b"content-type", b"text/plain"), (b"x", b"")], born_at=1.0, stored_at=2.0, fresh_until=3.0, kept_until=4.0,
    chunks=(b"ab", b"c"), length=3, vary=((b"accept", None), (b"cookie", b"a=1")), tags=(b"t",), etag=b'"1"',
)  # fmt: skip
WRITE = b"12345678"
slowly = settings(suppress_health_check=[HealthCheck.too_slow])  # entries have many fields to be drawn


OWN = {"_bare_size", "_body", "_fields_size", "_pieces", "memo", "place"}  # of the process that holds an entry


def told(entry: Entry) -> dict[str, object]:
    fields = {name: getattr(entry, name) for name in Entry.__slots__ if name not in OWN}
    return {**fields, "body": b"".join(entry.chunks or ()) if entry.chunks is not None else None}


@slowly
@given(KEYS, ENTRIES, STAMPS)
def test_an_entry_comes_back_as_it_was(key: bytes, entry: Entry, stamp: Stamp):
    found = decode_entry(encode_entry(key, entry, stamp), key)
    assert found is not None
    expected = {**told(entry), "body": None} if stamp.chunks else told(entry)
    assert (told(found[0]), found[1]) == (expected, stamp)


@slowly
@given(KEYS, ENTRIES, STAMPS, KEYS)
def test_an_entry_is_nothing_under_another_key(key: bytes, entry: Entry, stamp: Stamp, other: bytes):
    data = encode_entry(key, entry, stamp)
    assert (decode_entry(data, other) is not None) == (key == other)


@slowly
@given(ENTRIES, STAMPS, st.data())
def test_one_changed_byte_makes_it_nothing(entry: Entry, stamp: Stamp, draw: st.DataObject):
    data = bytearray(encode_entry(b"k", entry, stamp))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    assert decode_entry(bytes(data), b"k") is None


@slowly
@given(ENTRIES, STAMPS, st.data())
def test_a_part_of_it_is_nothing(entry: Entry, stamp: Stamp, draw: st.DataObject):
    data = encode_entry(b"k", entry, stamp)
    assert decode_entry(data[: draw.draw(st.integers(0, len(data) - 1))], b"k") is None


@given(st.binary(max_size=400))
def test_foreign_data_is_nothing(data: bytes):
    assert decode_entry(data, b"k") is None
    assert decode_chunk(data, WRITE, 0) is None
    assert decode_form(data) is None


@given(st.binary(max_size=300), st.integers(0, 255))
def test_foreign_data_with_a_right_sum_raises_nothing(data: bytes, kind: int):
    """As if somebody had tried to look like us."""
    framed = b"GW\x01" + bytes([kind % 5]) + WRITE + data
    framed += struct.pack("!I", crc32(framed))
    decode_form(framed)
    decode_chunk(framed, WRITE, 0)
    decode_entry(framed, b"")


@slowly
@given(ENTRIES, STAMPS, st.data())
def test_a_changed_number_with_a_right_sum_raises_nothing_and_makes_no_longer_body(
    entry: Entry, stamp: Stamp, draw: st.DataObject
):
    data = bytearray(encode_entry(b"k", entry, stamp)[:-4])
    data[draw.draw(st.integers(4, len(data) - 1))] = draw.draw(st.integers(0, 255))
    found = decode_entry(bytes(data) + struct.pack("!I", crc32(data)), b"k")
    if found is not None and found[0].chunks is not None:
        assert sum(map(len, found[0].chunks)) == found[0].length


@pytest.mark.parametrize("field", [{"headers": [(b"a", b"b")] * 1001}, {"vary": ((b"a", b"b"),) * (MAX_VARY + 1)},
                                   {"tags": (b"a",) * (MAX_TAGS + 1)}, {"born_at": float("inf")}, {"kept_until": float("nan")},
                                   {"headers": [(None, b"b")]}, {"vary": ((None, b"b"),)}, {"tags": (None,)}, {"etag": None}])  # fmt: skip
def test_what_no_entry_has_is_nothing(field: dict[str, object]):
    assert decode_entry(encode_entry(b"k", SAMPLE, Stamp(WRITE, 1, 0)), b"k") is not None
    assert decode_entry(encode_entry(b"k", SAMPLE.copy(**field), Stamp(WRITE, 1, 0)), b"k") is None


@given(WRITES, st.integers(0, 2**31), st.binary(min_size=1, max_size=100))
def test_a_chunk_belongs_to_its_write_and_place(write: bytes, index: int, body: bytes):
    data = encode_chunk(write, index, body)
    assert decode_chunk(data, write, index) == body
    assert decode_chunk(data, write, index + 1) is None
    assert decode_chunk(data, bytes(8) if write != bytes(8) else WRITE, index) is None
    assert decode_form(data) is None
    assert decode_entry(data, b"") is None


def test_an_empty_chunk_is_nothing():
    assert decode_chunk(encode_chunk(WRITE, 0, b""), WRITE, 0) is None


@given(WRITES, NAMES, st.binary(max_size=100))
def test_a_form_names_its_write_and_coding(write: bytes, coding: bytes, body: bytes):
    data = encode_form(write, coding, body)
    assert decode_form(data) == (write, coding, body)


def test_a_form_that_ends_in_its_coding_is_nothing():
    data = b"GW\x01\x03" + WRITE + struct.pack("!I", 9) + b"gzip"
    assert decode_form(data + struct.pack("!I", crc32(data))) is None


@slowly
@given(ENTRIES, STAMPS)
def test_the_head_of_an_entry_tells_its_write_and_its_chunks(entry: Entry, stamp: Stamp):
    data = encode_entry(b"k", entry, stamp)
    assert place_of(data[:HEAD]) == place_of(data) == (stamp.write, stamp.chunks)


def test_a_number_of_pieces_that_no_body_has_is_not_believed():
    data = encode_entry(b"k", SAMPLE, Stamp(WRITE, 1, MAX_CHUNKS + 1))
    assert place_of(data) == (WRITE, 0)
    assert decode_entry(data, b"k") is None


@given(st.binary(max_size=200))
def test_foreign_data_is_nowhere(data: bytes):
    assert place_of(data) == (b"", 0)
