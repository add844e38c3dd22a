"""Whether bytes hold only what they may, found by what is fast for bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container


def changing_all_but(allowed: Container[int]) -> bytes:
    """A table that leaves a text as it is if, and only if, all its bytes are allowed: `text.translate(table) == text`, which
    takes a fraction of what any pattern takes."""
    return bytes([byte if byte in allowed else (byte + 1) % 256 for byte in range(256)])


NUL: Final = 0
LF: Final = 10
CR: Final = 13


def has_break(text: bytes) -> bool:
    """CR, LF or NUL: a value would become a field, or a message, of its own."""
    return CR in text or LF in text or NUL in text  # a byte is found twenty times as fast as a text is translated
