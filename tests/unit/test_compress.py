"""Every coding gives back what was put in, however the body was cut, and holds nothing back."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import compress
from gateway.compress import CODINGS, KNOWN_CODINGS, Encoder, GzipEncoder

CHUNKS = st.lists(
    st.binary(max_size=2000) | st.binary(min_size=1, max_size=3).map(lambda part: part * 3000), max_size=8
)


class Decoder:
    """An incremental decoder by the reference library of each coding."""

    def __init__(self, coding: bytes) -> None:
        if coding == b"gzip":
            self._stream = zlib.decompressobj(31)
        elif coding == b"zstd":
            self._stream = pytest.importorskip("zstandard").ZstdDecompressor().decompressobj()
        else:
            self._stream = pytest.importorskip("brotli").Decompressor()
        self._coding = coding

    def feed(self, data: bytes) -> bytes:
        return self._stream.process(data) if self._coding == b"br" else self._stream.decompress(data)

    @property
    def complete(self) -> bool:
        return bool(self._stream.is_finished() if self._coding == b"br" else self._stream.eof)


def every_encoder() -> list[tuple[bytes, type[Encoder] | object, int]]:
    codings = [
        (name, coding.encoder, level) for name, coding in CODINGS.items() for level in coding.levels if level < 12
    ]
    return [*codings, *((b"gzip", GzipEncoder, level) for level in (1, 5, 9))]


BY_DEFAULT_LEVEL = [
    *((name, coding.encoder, coding.default_level) for name, coding in CODINGS.items()),
    (b"gzip", GzipEncoder, 6),
]


@pytest.mark.parametrize(("name", "encoder", "level"), BY_DEFAULT_LEVEL)
@settings(deadline=None, max_examples=60)
@given(chunks=CHUNKS)
def test_each_chunk_can_be_decoded_as_soon_as_it_was_fed(name, encoder, level, chunks):
    encoding, decoder = encoder(level), Decoder(name)
    for chunk in chunks:
        data = encoding.feed(chunk)
        assert (decoder.feed(data) if data else b"") == chunk
    assert decoder.feed(encoding.finish()) == b""
    assert decoder.complete


@pytest.mark.parametrize(("name", "encoder", "level"), BY_DEFAULT_LEVEL)
@settings(deadline=None, max_examples=60)
@given(body=st.binary(max_size=5000) | st.binary(min_size=1, max_size=5).map(lambda part: part * 9000))
def test_a_whole_body_decodes_to_itself(name, encoder, level, body):
    decoder = Decoder(name)
    assert decoder.feed(encoder(level).whole(body)) == body
    assert decoder.complete


@pytest.mark.parametrize(("name", "encoder", "level"), every_encoder())
def test_every_level_that_is_offered_works_in_both_ways(name, encoder, level):
    body = b"the same words again and again, " * 200
    whole, streaming, decoder = encoder(level).whole(body), encoder(level), Decoder(name)
    assert Decoder(name).feed(whole) == body
    assert decoder.feed(streaming.feed(body) + streaming.finish()) == body
    assert len(whole) < len(body) // 10


@pytest.mark.parametrize("name", CODINGS)
def test_an_empty_chunk_costs_no_bytes(name):
    encoder = CODINGS[name].encoder(CODINGS[name].default_level)
    encoder.feed(b"first")
    assert encoder.feed(b"") == b""


@pytest.mark.parametrize("name", CODINGS)
def test_streams_that_run_at_the_same_time_do_not_mix(name):
    coding = CODINGS[name]
    encoders = [coding.encoder(coding.default_level) for _ in range(3)]
    decoders = [Decoder(name) for _ in range(3)]
    for turn in range(5):
        for number, (encoder, decoder) in enumerate(zip(encoders, decoders, strict=True)):
            chunk = b"stream %d turn %d;" % (number, turn)
            assert decoder.feed(encoder.feed(chunk)) == chunk


@pytest.mark.parametrize("name", CODINGS)
def test_a_long_stream_keeps_nothing_of_what_it_has_passed_on(name):
    coding = CODINGS[name]
    encoder = coding.encoder(coding.default_level)
    chunk = bytes(range(256)) * 256
    encoder.feed(chunk)
    tracemalloc.start()
    try:
        for _ in range(100):
            encoder.feed(chunk)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 256 * 1024


def test_gzip_needs_no_package():
    assert b"gzip" in CODINGS
    assert list(CODINGS) == [name for name in KNOWN_CODINGS if name in CODINGS]


def test_the_default_levels_are_levels():
    assert all(coding.default_level in coding.levels for coding in CODINGS.values())


@pytest.mark.skipif(compress.standard_zstd is None, reason="the standard library has zstd from Python 3.14 on")
def test_the_standard_librarys_zstd_flushes_each_chunk_too():
    encoder, decoder = compress.StandardZstdEncoder(3), compress.standard_zstd.ZstdDecompressor()
    assert decoder.decompress(encoder.feed(b"first")) == b"first"
    assert decoder.decompress(encoder.feed(b"second")) == b"second"
    assert decoder.decompress(encoder.finish()) == b""
    assert compress.standard_zstd.decompress(compress.StandardZstdEncoder(3).whole(b"whole")) == b"whole"
