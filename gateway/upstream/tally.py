"""Requests in flight at each target in all workers of a gateway, in memory that they share.

Each worker writes a column of its own and reads all of them, so there is no lock in the way of a request; two that begin in
the same moment may both be let in. Only the row of a target is found under one, once.
"""

from __future__ import annotations

import ctypes
import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext
    from multiprocessing.synchronize import Lock

    Numbers = ctypes.Array[ctypes.c_uint64]

ROWS: Final = 4096  # targets, as long as the parent lives; those that find no row are bounded in each worker by itself
PATIENCE: Final = 0.1  # seconds to wait for the lock, which one that was killed may hold for ever
WIDTH: Final = ctypes.sizeof(ctypes.c_uint64)

log = logging.getLogger("gateway.health")


class Sheet(NamedTuple):
    """What the parent of workers makes and gives to each. keys: of the rows, 0 where one is free. counts: a column of ROWS
    for each worker."""

    keys: Numbers
    counts: Numbers
    lock: Lock


def make_sheet(context: SpawnContext, workers: int) -> Sheet:
    return Sheet(context.RawArray(ctypes.c_uint64, ROWS), context.RawArray(ctypes.c_uint64, ROWS * workers), context.Lock())


def forget(sheet: Sheet, place: int) -> None:
    """The worker of this place is dead: nothing of it is in flight."""
    ctypes.memset(ctypes.addressof(sheet.counts) + place * ROWS * WIDTH, 0, ROWS * WIDTH)


class Tally:
    """The sheet as one worker sees it. place: which of them it is, from 0."""

    __slots__ = ("_place", "_sheet", "_warned")

    def __init__(self, sheet: Sheet, place: int) -> None:
        self._sheet = sheet
        self._place = place
        self._warned = False

    def row(self, name: str) -> Row | None:
        """The row of the target of that name, the same in all workers. None where there are no more."""
        keys, counts, lock = self._sheet
        key = int.from_bytes(sha256(name.encode()).digest()[:8]) | 1
        if lock.acquire(timeout=PATIENCE):
            try:
                for step in range(ROWS):
                    at = (key + step) % ROWS
                    if keys[at] == 0:
                        keys[at] = key
                    if keys[at] == key:
                        return Row(counts, self._place * ROWS + at, range(at, len(counts), ROWS))
            finally:
                lock.release()
        if not self._warned:
            self._warned = True
            log.warning("max_requests of a target is not shared among workers", extra={"targets": ROWS})
        return None


class Row:
    """Of one target. own: where this worker counts; all: where any of them does."""

    __slots__ = ("_all", "_counts", "_own")

    def __init__(self, counts: Numbers, own: int, everywhere: range) -> None:
        self._counts = counts
        self._own = own
        self._all = everywhere

    def set(self, in_flight: int) -> None:
        """So many are in flight in this worker."""
        self._counts[self._own] = in_flight

    def total(self) -> int:
        """In flight in all workers."""
        counts = self._counts
        return sum([counts[at] for at in self._all])
