"""The chunked coding, strictly, and however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.chunked import EXTENSION_BUDGET, LINE_LIMIT, TRAILER_LIMIT, BadChunk, ChunkedDecoder

Outcome = tuple[bytes, bool, bytes, list[tuple[bytes, bytes]]] | None


def decoded(*pieces: bytes) -> Outcome:
    """payload, done, rest and trailers; None where it was refused."""
    decoder = ChunkedDecoder()
    payload = b""
    try:
        for piece in pieces:
            payload += decoder.feed(piece)
    except BadChunk:
        return None
    return payload, decoder.done, decoder.rest, decoder.trailers


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b' ;a="b\\" c;"', b"\t; a = b ;c", b';a="\xff"'])
MESSAGES = st.builds(
    lambda chunks, extension, trailers, rest: b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    + b"0%b\r\n" % extension
    + trailers
    + b"\r\n"
    + rest,
    CHUNKS,
    EXTENSIONS,
    st.sampled_from([b"", b"a: b\r\n", b"A:b\r\nc:\r\n", b"a b: c\r\n", b" a: b\r\n", b"a: b\n\r\n", b"a\r\n"]),
    st.binary(max_size=10),
)
PLACES = st.lists(st.integers(0, 250), max_size=12)


def mutated(message: bytes, at: int, replacement: bytes, width: int) -> bytes:
    at %= len(message)
    return message[:at] + replacement + message[at + width :]


MUTATED = st.builds(
    mutated,
    MESSAGES,
    st.integers(0, 500),
    st.sampled_from([b"\r", b"\n", b"\r\n", b"0", b"x", b" ", b";", b"-1", b"f" * 16, b""]),
    st.integers(0, 3),
)


@given(CHUNKS, EXTENSIONS, st.binary(max_size=8), PLACES)
def test_what_was_encoded_comes_out_again(chunks: list[bytes], extension: bytes, rest: bytes, places: list[int]):
    message = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    message += b"00%b\r\nX-A: 1\r\n\r\n" % extension
    assert decoded(*cut(message + rest, places)) == (b"".join(chunks), True, rest, [(b"x-a", b"1")])


@given(MESSAGES | MUTATED, PLACES)
def test_how_the_bytes_arrive_makes_no_difference(message: bytes, places: list[int]):
    whole = decoded(message)
    assert decoded(*cut(message, places)) == whole
    assert decoded(*(message[at : at + 1] for at in range(len(message)))) == whole


@given(MUTATED | st.binary(max_size=60), PLACES)
def test_no_more_comes_out_than_was_fed(message: bytes, places: list[int]):
    decoder = ChunkedDecoder()
    fed = returned = 0
    try:
        for piece in cut(message, places):
            fed += len(piece)
            returned += len(decoder.feed(piece))
            assert returned + len(decoder.rest) <= fed
    except BadChunk:
        return
    if decoder.done:
        assert message.endswith(decoder.rest)
        assert returned + len(b"0\r\n\r\n") + len(decoder.rest) <= fed


@pytest.mark.parametrize(
    "line",
    [b"", b"0x5", b"+5", b"-5", b" 5", b"5 ", b"5\t", b"5_0", b"g", b"5 5", b"5,5", b"\xd9\xa5", b"0" * 16, b"f" * 16, b"5;\x00", b"5;\x7f", b"5;a\rb", b"5\r"],
)  # fmt: skip
def test_a_size_is_plain_hexadecimal_digits(line: bytes):
    assert decoded(line + b"\r\nhello\r\n0\r\n\r\n") is None


@pytest.mark.parametrize(
    "message",
    [b"5\nhello\n0\n\n", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n0\r\na: b\n\r\n", b"5\n"],
)  # fmt: skip
def test_lines_end_with_crlf_and_nothing_else(message: bytes):
    assert decoded(message, b"\r\n\r\n") is None


@pytest.mark.parametrize("extension", [b";", b"; ", b";a;", b";a=", b";=b", b';a="', b';a="b"c', b";a b", b";\xff", b";a=b,c", b" ", b";a "])
def test_a_malformed_extension_is_refused(extension: bytes):
    assert decoded(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n") is None


@pytest.mark.parametrize("behind", [b"X", b"\n", b"\rX", b"XX", b"\r\r"])
def test_a_chunk_is_as_long_as_it_says(behind: bytes):
    assert decoded(b"5\r\nhello", behind + b"\r\n0\r\n\r\n") is None
    assert decoded(b"5\r\nhello" + behind + b"\r\n0\r\n\r\n") is None


def test_a_body_is_not_done_before_its_last_byte():
    message = b"5\r\nhello\r\n0\r\na: b\r\n\r\n"
    for end in range(len(message)):
        outcome = decoded(message[:end])
        assert outcome is not None
        assert not outcome[1]


def test_a_large_chunk_is_handed_on_without_a_copy():
    decoder = ChunkedDecoder()
    decoder.feed(b"ffff\r\n")
    data = b"x" * 1000
    assert decoder.feed(data) is data


def test_what_comes_behind_the_end_is_kept_apart():
    decoder = ChunkedDecoder()
    assert decoder.feed(b"0\r\n\r\nGET") == b""
    assert decoder.feed(b" / HTTP/1.1\r\n\r\n") == b""
    assert decoder.rest == b"GET / HTTP/1.1\r\n\r\n"
    assert decoder.trailers == []


def test_a_line_has_a_limit_on_every_way_to_it():
    longest = b"1;" + b"x" * (LINE_LIMIT - 2)
    end = b"\r\na\r\n0\r\n\r\n"
    assert decoded(longest + end) == decoded(longest, end) == decoded(longest + b"\r", end[1:]) == (b"a", True, b"", [])
    assert decoded(longest + b"x" + end) is None
    assert decoded(longest + b"x", end) is None
    assert decoded(longest + b"xx") is None  # not waited for


def test_trailers_have_a_limit_on_every_way_to_it():
    longest = b"a:" + b"x" * (TRAILER_LIMIT - 2)
    for cut_at in range(4):
        end = b"\r\n\r\n"
        outcome = decoded(b"0\r\n" + longest + end[:cut_at], end[cut_at:])
        assert outcome is not None
        assert outcome[1]
        assert decoded(b"0\r\n" + longest + b"x" + end[:cut_at], end[cut_at:]) is None
    assert decoded(b"0\r\n" + b"x" * (TRAILER_LIMIT + 4)) is None


def test_extensions_have_a_budget_for_the_whole_message():
    chunk = b"1;" + b"x" * 1023 + b"\r\na\r\n"
    fitting = EXTENSION_BUDGET // 1024
    assert decoded(chunk * fitting + b"0\r\n\r\n") == (b"a" * fitting, True, b"", [])
    assert decoded(chunk * (fitting + 1)) is None


def test_trailers_are_read_as_strictly_as_a_head():
    for line in (b"a b: c", b" a: b", b"a", b": b", b"a: \x00", b"a\t: b"):
        assert decoded(b"0\r\n" + line + b"\r\n\r\n") is None
