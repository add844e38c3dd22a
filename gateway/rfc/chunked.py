"""Decoding the chunked transfer coding, strictly (RFC 9112 section 7.1).

Sizes are plain hexadecimal digits, lines end with CRLF, extensions are dropped, trailer fields are kept apart from the
header. Extensions and trailers have a budget, since they cost the reader and carry nothing.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.rfc.lines import QUOTED, TOKEN, MalformedField, Pair, read_fields

LINE_LIMIT: Final = 4096  # bytes of one chunk-size line, extensions included
EXTENSION_BUDGET: Final = 65536  # bytes of extensions in one message
TRAILER_LIMIT: Final = 16384  # bytes of the trailer section

_EXTENSION: Final = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, QUOTED)
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:%b)*" % _EXTENSION).fullmatch

_SIZE_LINE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class BadChunk(ValueError):
    """The chunked coding is broken or over its budget."""


class ChunkedDecoder:
    """`feed` returns the payload in what was fed; `done` and `rest` tell where the message ended."""

    __slots__ = ("_buffer", "_extensions", "_left", "_state", "rest", "trailers")

    def __init__(self) -> None:
        self._state = _SIZE_LINE
        self._left = 0
        self._buffer = b""
        self._extensions = 0
        self.rest = b""
        self.trailers: list[Pair] = []

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def feed(self, data: bytes) -> bytes:
        """Raises BadChunk. Bytes after the message's end are in `rest`."""
        if self._state == _DATA and len(data) < self._left:  # inside one large chunk
            self._left -= len(data)
            return data
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        at = 0
        end = len(data)
        while True:
            state = self._state
            if state == _DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._state = _DATA_END
            elif state == _DATA_END:
                if end - at < 2:
                    if data[at:] not in (b"", b"\r"):
                        raise BadChunk("no CRLF after a chunk")
                    self._buffer = data[at:]
                    break
                if data[at : at + 2] != b"\r\n":
                    raise BadChunk("no CRLF after a chunk")
                at += 2
                self._state = _SIZE_LINE
            elif state == _SIZE_LINE:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._keep(data, at, LINE_LIMIT + len(b"\r"))
                    break
                self._start_chunk(data[at:line_end])
                at = line_end + 2
            elif state == _TRAILERS:
                self._read_trailers(data, at)
                break
            else:
                self.rest += data
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep(self, data: bytes, at: int, limit: int) -> None:
        self._buffer = data[at:]
        if len(self._buffer) > limit:
            raise BadChunk("a chunk line over its limit")
        if b"\n" in self._buffer and self._state == _SIZE_LINE:
            raise BadChunk("a bare LF in a chunk line")

    def _start_chunk(self, line: bytes) -> None:
        matched = _SIZE(line)
        if matched is None or len(line) > LINE_LIMIT:
            raise BadChunk(f"invalid chunk size {line[:40]!r}")
        self._extensions += len(line) - len(matched[1])
        if self._extensions > EXTENSION_BUDGET:
            raise BadChunk("chunk extensions over their budget")
        self._left = int(matched[1], 16)
        self._state = _DATA if self._left else _TRAILERS

    def _read_trailers(self, data: bytes, at: int) -> None:
        if data[at : at + 2] == b"\r\n":
            end = at
        else:
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                self._keep(data, at, TRAILER_LIMIT + len(b"\r\n\r"))
                return
            if end - at > TRAILER_LIMIT:
                raise BadChunk("trailers over their limit")
            try:
                self.trailers = read_fields(data[at:end].split(b"\r\n"))
            except MalformedField as exc:
                raise BadChunk(f"malformed trailer {exc}") from None
            end += 2
        self.rest = data[end + 2 :]
        self._state = _DONE
