"""Where the access log's lines go: standard output, or a file. None of them ever waits for its reader."""

from __future__ import annotations

import os
import select
import stat
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class Output(Protocol):
    """Where lines go."""

    def write(self, lines: bytes, patience: float) -> int:
        """How many bytes were taken, within `patience` seconds. Raises OSError where that can never be."""

    def close(self) -> None: ...


class Stream:
    """A file descriptor that is open already, such as that of standard output.

    A pipe is shared with other workers, and keeps a write in one piece only up to PIPE_BUF bytes: it gets whole lines
    up to that size, and only while it has room.
    """

    __slots__ = ("_fd", "_is_file", "_poll")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, lines: bytes, patience: float) -> int:
        if self._is_file:
            return os.write(self._fd, lines)
        taken = 0
        until = time.monotonic() + patience
        try:
            while taken < len(lines) and self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                end = taken + select.PIPE_BUF
                if end < len(lines):
                    end = lines.rfind(b"\n", taken, end) + 1 or end
                taken += os.write(self._fd, lines[taken:end])
        except BlockingIOError:  # somebody else was quicker, on a descriptor that does not wait
            return taken
        return taken

    def close(self) -> None:
        """The descriptor is not ours."""


class LogFile:
    """Appends to a file, and to a new one of that name when the old one was moved away (logrotate)."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._fd = -1
        self._fd = self._open()

    def write(self, lines: bytes, _patience: float) -> int:
        if self._was_moved():
            opened = self._open()
            os.close(self._fd)
            self._fd = opened
        return os.write(self._fd, lines)

    def close(self) -> None:
        """Later writes are errors, and never go to another file that has got the same number."""
        fd, self._fd = self._fd, -1
        os.close(fd)

    def __del__(self) -> None:
        """A log that another configuration has no more lives as long as the exchanges that began with it."""
        if self._fd >= 0:
            os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _was_moved(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(found, os.fstat(self._fd))
