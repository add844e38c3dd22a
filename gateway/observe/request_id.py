"""A name for every exchange: the id that a trusted proxy gave it, else a new one of 128 random bits as 32 hex digits.

Nothing in an id tells how many requests there are, and no two workers or hosts make the same one. The random bytes are
drawn for many ids at once, since a system call for each would cost more than all the rest.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange

_SANE: Final = re.compile(rb"[!#-%(-;=?-\[\]-_a-~]{1,128}")  # visible ASCII that no log or page has to escape
_DRAWN_AT_ONCE: Final = 128  # ids; a draw takes some 10 us
_DIGITS: Final = 32


class RequestIds:
    """field: the name of the header field that carries the id. random: so many bytes that nobody can guess."""

    __slots__ = ("_ids", "_random", "field")

    def __init__(self, field: str = "X-Request-ID", random: Callable[[int], bytes] = os.urandom) -> None:
        self.field = field.lower().encode("ascii")
        self._random = random
        self._ids: list[bytes] = []  # none before the first request, so that processes forked until then draw their own

    def assign(self, exchange: Exchange) -> None:
        """Writes `exchange.request_id`."""
        if exchange.trusted:
            given = exchange.header(self.field)
            if given is not None and _SANE.fullmatch(given):
                exchange.request_id = given
                return
        if not self._ids:
            self._draw()
        exchange.request_id = self._ids.pop()

    def _draw(self) -> None:
        digits = self._random(_DRAWN_AT_ONCE * _DIGITS // 2).hex().encode()
        self._ids = [digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)]
