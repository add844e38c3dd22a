"""Commands out, replies in, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.redis.resp import MAX_BULK, MAX_DEPTH, MAX_LINE, ErrorReply, NotResp, Reply, ReplyReader, command

LINES = st.binary(max_size=40).map(lambda data: data.replace(b"\r", b".").replace(b"\n", b"."))
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=200), lambda inner: st.lists(inner, max_size=4), max_leaves=12
)


def written(value: object) -> bytes:
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    assert isinstance(value, list)
    return b"*%d\r\n" % len(value) + b"".join(map(written, value))


def depth(value: object) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def read(data: bytes, *cuts: int) -> list[Reply]:
    reader = ReplyReader()
    ends = [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    replies, start = [], 0
    for end in ends:
        replies += reader.feed(data[start:end])
        start = end
    return replies


@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12))
def test_replies_are_the_same_however_they_are_cut(values: list[object], cuts: list[int]):
    values = [value for value in values if depth(value) <= MAX_DEPTH]
    assert read(b"".join(map(written, values)), *cuts) == values


@given(LINES)
def test_a_status_is_its_line(line: bytes):
    assert read(b"+" + line + b"\r\n") == [line]


def test_an_error_is_a_value_with_a_code():
    (reply,) = read(b"-MOVED 7 127.0.0.1:7001\r\n")
    assert isinstance(reply, ErrorReply)
    assert (reply.code, reply.text) == (b"MOVED", b"MOVED 7 127.0.0.1:7001")
    assert repr(reply) == "ErrorReply(b'MOVED 7 127.0.0.1:7001')"


def test_a_null_array_is_nothing():
    assert read(b"*-1\r\n*0\r\n") == [None, []]


def test_a_large_string_in_small_pieces_is_whole():
    body = bytes(range(256)) * 4096
    data = written([body, 7])
    reader = ReplyReader()
    replies = [reply for start in range(0, len(data), 1000) for reply in reader.feed(data[start : start + 1000])]
    assert replies == [[body, 7]]


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", b"$3\r\nabcd\r\n", b"$x\r\n", b":1e5\r\n", b":\r\n", b"$-2\r\n", b"$%d\r\n" % (MAX_BULK + 1),
     b"*1\r\n" * (MAX_DEPTH + 1), b"+" * (MAX_LINE + 2), b"\r\n", b"*99999999\r\n", b":" + b"9" * 50 + b"\r\n"],
)  # fmt: skip
def test_what_is_not_redis_is_found_out(data: bytes):
    with pytest.raises(NotResp):
        read(data)


def test_a_string_without_its_end_is_found_out_in_pieces_too():
    reader = ReplyReader()
    assert reader.feed(b"$3\r\nab") == []
    with pytest.raises(NotResp):
        reader.feed(b"cdef")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_garbage_raises_nothing_else(data: bytes, cuts: list[int]):
    try:
        read(data, *cuts)
    except NotResp:
        return


@given(st.lists(st.binary(max_size=50) | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6))
def test_a_command_is_an_array_of_strings(arguments: list[bytes | int]):
    assert read(command(*arguments)) == [[part if isinstance(part, bytes) else b"%d" % part for part in arguments]]
