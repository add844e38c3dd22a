"""Targets in a file that somebody else writes: looked at again and again, read when it is another one.

A file that is replaced by renaming is seen whole. One that is broken is told once, and its targets stay as they were.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.upstream.discovery.found import DiscoveryError, Found, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.discovery import Listed

    _Mark = tuple[int, int, int]  # inode, time of change in nanoseconds, size


class TargetsFile:
    """read: the targets in the file; raises ValueError for what is wrong with it. every: seconds between two looks."""

    def __init__(self, path: str, read: Callable[[], Sequence[Listed]], every: float) -> None:
        self._path = Path(path)
        self._read = read
        self._every = every
        self._mark: _Mark | None = None
        self._last: Found | DiscoveryError = DiscoveryError(f"{path} was not read")

    async def look_up(self) -> Found:
        await asyncio.to_thread(self._look)
        if isinstance(self._last, DiscoveryError):
            raise self._last
        return self._last

    def _look(self) -> None:
        """In a thread: disks can be slow. A fault counts as what the file says, until the file is another one."""
        try:
            found = self._path.stat()
            mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError as exc:
            self._mark = None
            self._last = DiscoveryError(f"{self._path} cannot be read: {exc.strerror}")
            return
        if mark == self._mark:
            return
        self._mark = mark
        try:
            specs = tuple(Spec(one.url, one.weight, one.priority, one.backup) for one in self._read())
        except (OSError, ValueError) as exc:
            self._last = DiscoveryError(str(exc))
        else:
            self._last = Found(specs, self._every)
