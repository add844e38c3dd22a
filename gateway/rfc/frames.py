"""Where the frames of a WebSocket end, without reading what is in them (RFC 6455 section 5.2).

A tunnel that is to say something itself, its close, may do so only between two frames.
"""

from __future__ import annotations

from typing import Final

CLOSE: Final = 8  # the opcode
SERVICE_RESTART: Final = 1012  # IANA's registry of close codes


class Frames:
    """One direction of a WebSocket. left: bytes of the frame under way that are still to come, as far as its head is
    whole. closing: a close frame has passed, and nothing may follow it."""

    __slots__ = ("_head", "closing", "left")

    def __init__(self) -> None:
        self.left = 0
        self.closing = False
        self._head = b""  # a frame's head that is not whole

    @property
    def is_between(self) -> bool:
        return not self.left and not self._head

    def feed(self, data: bytes) -> None:
        """These bytes have passed."""
        size = len(data)
        position = self.left
        if self._head:
            data = self._head + data
            size = len(data)
            self._head = b""
        while position < size:
            length = frame_length(data, position)
            if not length:
                self._head = data[position:]
                self.left = 0
                return
            if data[position] & 15 == CLOSE:
                self.closing = True
            position += length
        self.left = position - size

    def rest_of_frame(self, data: bytes) -> int:
        """How many of the bytes to come belong to the frame under way, all of them at most."""
        if not self._head:
            return min(self.left, len(data))
        length = frame_length(self._head + data, 0)
        return min(length - len(self._head), len(data)) if length else len(data)


def frame_length(data: bytes, start: int) -> int:
    """Bytes of the frame that starts there, with its head; 0 where that is not whole."""
    size = len(data) - start
    if size < 2:
        return 0
    second = data[start + 1]
    length = second & 127
    head = 2
    if length > 125:
        head = 4 if length == 126 else 10
        if size < head:
            return 0
        length = int.from_bytes(data[start + 2 : start + head], "big")
    return head + length + (4 if second & 128 else 0)


def close_frame(code: int, mask: bytes = b"") -> bytes:
    """mask: four bytes, for what a client sends."""
    payload = code.to_bytes(2, "big")
    if not mask:
        return bytes((128 | CLOSE, len(payload))) + payload
    masked = bytes([byte ^ mask[index % 4] for index, byte in enumerate(payload)])
    return bytes((128 | CLOSE, 128 | len(payload))) + mask + masked
