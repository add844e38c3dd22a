"""Writes that wait until the event loop's turn is over, and then go out one behind the other.

Each write wakes who reads at the other end, and costs the more the longer that one has slept. Between two writes of one
turn lies the work for a request: time enough to fall asleep again. Written back to back they find it awake (decision 0053).
What is written in two steps meanwhile, such as a head and its body, leaves in one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

AT_ONCE: Final = 64  # outlets; when so many wait, a turn has lasted long enough for the first of them
COPIED: Final = 16384  # bytes; what is shorter is put behind what waits by copying it


class Turn:
    """The outlets of an event loop that wait for the end of its turn: for as long as the events take that it has found at
    once, or until `AT_ONCE` of them wait. Each is there for a connection's one request or answer."""

    __slots__ = ("_loop", "_outlets")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outlets: list[Outlet] = []

    def wait(self, outlet: Outlet) -> None:
        if not self._outlets:
            self._loop.call_soon(self._over)
        elif len(self._outlets) >= AT_ONCE:
            self._over()
            self._loop.call_soon(self._over)
        self._outlets.append(outlet)

    def _over(self) -> None:
        outlets, self._outlets = self._outlets, []
        for outlet in outlets:
            try:
                outlet.flush()
            except Exception as exc:  # as the loop does with a callback: the others must not wait for ever
                self._loop.call_exception_handler({"message": "writing failed", "exception": exc, "transport": outlet.raw})


class Outlet:
    """A connection's transport, by which alone it is written to. raw: the transport itself, for whoever takes it over. waits:
    something does; all that writes or closes sends it first, but `abort`, which drops it."""

    __slots__ = ("_long", "_short", "_turn", "raw", "waits")

    def __init__(self, transport: asyncio.Transport, turn: Turn) -> None:
        self.raw = transport
        self._turn = turn
        self.waits = False
        self._short = b""
        self._long = b""  # behind that

    def write_soon(self, data: bytes) -> None:
        """At the end of this turn, or with what is written before that."""
        if self._long:
            self.flush()
        if not self.waits:
            self.waits = True
            self._turn.wait(self)
        if len(data) >= COPIED:
            self._long = data
        else:
            self._short = self._short + data if self._short else data

    def flush(self) -> None:
        """Write what waits; nothing in the moment between the other side's leaving and our being told."""
        if self.waits:
            short, long = self._short, self._long
            self._forget()
            if self.raw.is_closing():
                return
            if not long:
                self.raw.write(short)
            elif short:
                self.raw.writelines((short, long))
            else:
                self.raw.write(long)

    def _forget(self) -> None:
        self.waits = False
        self._short = self._long = b""

    def write(self, data: bytes) -> None:
        if not self.waits:
            self.raw.write(data)
        elif self._long or len(data) >= COPIED:
            self.writelines((data,))
        else:
            short = self._short
            self._forget()
            self.raw.write(short + data)

    def writelines(self, pieces: Sequence[bytes]) -> None:
        if self.waits:
            pieces = [piece for piece in (self._short, self._long, *pieces) if piece]
            self._forget()
        self.raw.writelines(pieces)

    def write_eof(self) -> None:
        self.flush()
        self.raw.write_eof()

    def close(self) -> None:
        self.flush()
        self.raw.close()

    def abort(self) -> None:
        self._forget()
        self.raw.abort()

    def is_closing(self) -> bool:
        return self.raw.is_closing()

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not got yet."""
        return len(self._short) + len(self._long) + self.raw.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        return self.raw.can_write_eof()

    def pause_reading(self) -> None:
        self.raw.pause_reading()

    def resume_reading(self) -> None:
        self.raw.resume_reading()
