"""The content codings that we can write (RFC 9110 section 8.4.1): gzip, zstd (RFC 8878) and br (RFC 7932).

An `Encoder` takes one body, either whole or chunk by chunk. Chunks are flushed, so that the client can decode all that
was sent so far: a streaming answer is never held back. gzip is always there, through isal where it is installed;
zstd and br are there when their package is. Which responses are encoded is decided in `gateway.policies.compression`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from isal import isal_zlib
except ImportError:
    isal_zlib = None  # type: ignore[assignment]  # gzip falls back to zlib

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]  # the standard library's is tried next

try:
    from compression import zstd as standard_zstd  # type: ignore[import-not-found,unused-ignore]  # Python 3.14
except ImportError:
    standard_zstd = None

try:
    import brotli  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    brotli = None

_GZIP_WRAPPER = 31  # zlib's `wbits`: a 32 KiB window in a gzip container
_ISAL_LEVELS = (0, 0, 1, 1, 2, 2, 2, 3, 3, 3)  # zlib's levels 0..9 by like speed and ratio
_STREAM_WINDOW = 19  # log2: 512 KiB of history for each streaming body, which bounds its memory; RFC 9659 allows 23


class BodyTransform:
    """Turns a response body into another, chunk by chunk (compression)."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """What can be sent now for this chunk, flushed: never held back for more input."""
        raise NotImplementedError

    def finish(self) -> bytes:
        """The rest, once after the last chunk."""
        raise NotImplementedError


class Encoder(BodyTransform):
    """One body's encoder: call `whole` once, or else `feed` for each chunk and then `finish` once."""

    __slots__ = ("_level", "_stream")

    def __init__(self, level: int) -> None:
        self._level = level
        self._stream: Any = None  # the library's object, made for the first chunk: a whole body needs none

    def feed(self, data: bytes) -> bytes:
        if not data:
            return b""
        if self._stream is None:
            self._stream = self._open()
        return self._flushed(data)

    def finish(self) -> bytes:
        if self._stream is None:
            self._stream = self._open()
        return self._stream.flush()  # type: ignore[no-any-return]

    def whole(self, data: bytes) -> bytes:
        """A complete body at once, without the cost of flushes."""
        raise NotImplementedError

    def _open(self) -> Any:
        raise NotImplementedError

    def _flushed(self, data: bytes) -> bytes:
        raise NotImplementedError


class GzipEncoder(Encoder):
    """gzip by zlib; level 1..9."""

    __slots__ = ()

    def whole(self, data: bytes) -> bytes:
        return zlib.compress(data, self._level, _GZIP_WRAPPER)

    def _open(self) -> Any:
        return zlib.compressobj(self._level, zlib.DEFLATED, _GZIP_WRAPPER)

    def _flushed(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)  # type: ignore[no-any-return]


class IsalGzipEncoder(GzipEncoder):
    """gzip by isal, some four times as fast as zlib at a like ratio; takes zlib's levels."""

    __slots__ = ()

    def whole(self, data: bytes) -> bytes:
        return isal_zlib.compress(data, _ISAL_LEVELS[self._level], _GZIP_WRAPPER)

    def _open(self) -> Any:
        return isal_zlib.compressobj(_ISAL_LEVELS[self._level], zlib.DEFLATED, _GZIP_WRAPPER)


class ZstdEncoder(Encoder):
    """zstd by the zstandard package; level 1..19, whose windows stay within RFC 9659's 8 MiB."""

    __slots__ = ()

    def whole(self, data: bytes) -> bytes:
        return zstandard.ZstdCompressor(level=self._level).compress(data)

    def _open(self) -> Any:
        # A compressor serves one stream at a time and no second thread, so that none is shared.
        parameters = zstandard.ZstdCompressionParameters.from_level(self._level, window_log=_STREAM_WINDOW)
        return zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def _flushed(self, data: bytes) -> bytes:
        stream = self._stream
        return stream.compress(data) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # type: ignore[no-any-return]


class StandardZstdEncoder(Encoder):
    """zstd by the standard library, from Python 3.14 on; level 1..19."""

    __slots__ = ()

    def whole(self, data: bytes) -> bytes:
        return standard_zstd.compress(data, self._level)  # type: ignore[no-any-return,unused-ignore]

    def _open(self) -> Any:
        name = standard_zstd.CompressionParameter
        options = {name.compression_level: self._level, name.window_log: _STREAM_WINDOW}
        return standard_zstd.ZstdCompressor(options=options)

    def _flushed(self, data: bytes) -> bytes:
        return self._stream.compress(data, self._stream.FLUSH_BLOCK)  # type: ignore[no-any-return]


class BrotliEncoder(Encoder):
    """br by the brotli package; level 0..11, its `quality`."""

    __slots__ = ()

    def finish(self) -> bytes:
        if self._stream is None:
            self._stream = self._open()
        return self._stream.finish()  # type: ignore[no-any-return]

    def whole(self, data: bytes) -> bytes:
        return brotli.compress(data, quality=self._level, lgwin=_STREAM_WINDOW)  # type: ignore[no-any-return]

    def _open(self) -> Any:
        return brotli.Compressor(quality=self._level, lgwin=_STREAM_WINDOW)

    def _flushed(self, data: bytes) -> bytes:
        return self._stream.process(data) + self._stream.flush()  # type: ignore[no-any-return]


class Coding(NamedTuple):
    """A content coding: how to encode with it at a level, which levels there are, and which one is ours."""

    encoder: Callable[[int], Encoder]
    levels: range
    default_level: int


def _installed() -> dict[bytes, Coding]:
    codings: dict[bytes, Coding] = {}
    if zstandard is not None:
        codings[b"zstd"] = Coding(ZstdEncoder, range(1, 20), 3)
    elif standard_zstd is not None:
        codings[b"zstd"] = Coding(StandardZstdEncoder, range(1, 20), 3)
    if brotli is not None:
        codings[b"br"] = Coding(BrotliEncoder, range(12), 4)
    codings[b"gzip"] = Coding(GzipEncoder if isal_zlib is None else IsalGzipEncoder, range(1, 10), 5)
    return codings


KNOWN_CODINGS = (b"zstd", b"br", b"gzip")  # in our order of preference
CODINGS = _installed()  # the ones that this process can write, in the same order
