"""`gateway run` with several processes: a parent that starts them, restarts those that die, and passes orders on.

Workers are spawned, not forked, and read the configuration by themselves; the listening sockets are bound once, by the
parent, and handed to all of them. Each has a pipe to the parent: a worker says when it serves, the parent when to
reload; and a worker whose parent is gone stops as if it had been told to.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

RELOAD: Final = b"reload"
SERVING: Final = b"serving"
FAILED: Final = 3  # the exit code of a server that could not start, as uvicorn's
PAUSE: Final = 1.0  # seconds before the place of a worker that died is filled again

log = logging.getLogger("gateway.server")


class Worker:
    """process: None while the place is empty, from when it died until `again_at`."""

    __slots__ = ("again_at", "pipe", "process")

    def __init__(self, process: SpawnProcess, pipe: Connection) -> None:
        self.process: SpawnProcess | None = process
        self.pipe = pipe
        self.again_at = 0.0


class Workers:
    """start: makes the process of a place, from 0, with the end of the pipe that is its own. died: told of its place."""

    def __init__(
        self, count: int, start: Callable[[int, Connection], SpawnProcess], died: Callable[[int], None]
    ) -> None:
        self._start = start
        self._died = died
        self._served = False  # one of them, once
        self._serving: Callable[[], None]
        self._failed = False
        self._signals: list[int] = []
        self._bell, self._rope = socket.socketpair()
        for end in (self._bell, self._rope):
            end.setblocking(False)
        self._count = count
        self._workers: list[Worker] = []

    def signalled(self, number: int, _frame: object) -> None:
        """The handler of SIGTERM, SIGINT and SIGHUP."""
        self._signals.append(number)

    def run(self, serving: Callable[[], None], release: Callable[[], None]) -> int:
        """Until a signal stops all, or they cannot start; the exit code. serving: called when the first one serves.
        release: closes our copies of the sockets, in whose queues connections would wait that no worker takes any more.
        """
        self._serving = serving
        before = signal.set_wakeup_fd(self._rope.fileno(), warn_on_full_buffer=False)
        try:
            self._workers = [self._fill(place) for place in range(self._count)]
            while not self._failed and not self._told_to_stop():
                self._watch()
            release()
            self._end()
        finally:
            signal.set_wakeup_fd(before)
            self._bell.close()
            self._rope.close()
        return FAILED if self._failed else 0

    def _fill(self, place: int) -> Worker:
        ours, theirs = multiprocessing.Pipe()
        process = self._start(place, theirs)
        theirs.close()
        return Worker(process, ours)

    def _told_to_stop(self) -> bool:
        numbers, self._signals[:] = list(self._signals), []
        if signal.SIGHUP in numbers:
            for worker in self._workers:
                self._say(worker, RELOAD)
        return signal.SIGTERM in numbers or signal.SIGINT in numbers

    def _watch(self) -> None:
        """Until something happens: a signal, a word of a worker, the death of one, the time to replace it."""
        alive = [worker for worker in self._workers if worker.process is not None]
        times = [worker.again_at for worker in self._workers if worker.process is None]
        patience = max(0.0, min(times) - time.monotonic()) if times else None
        ready = wait([self._bell, *(worker.pipe for worker in alive)], patience)
        if self._bell in ready:
            self._bell.recv(4096)
        for place, worker in enumerate(self._workers):
            if worker.process is not None and worker.pipe in ready:
                self._hear(place, worker)
        for place, worker in enumerate(self._workers):
            if worker.process is None and time.monotonic() >= worker.again_at:
                self._workers[place] = self._fill(place)

    def _hear(self, place: int, worker: Worker) -> None:
        try:
            if worker.pipe.recv_bytes() == SERVING and not self._served:
                self._served = True
                self._serving()
        except (EOFError, OSError):
            self._bury(worker)
            self._died(place)

    def _bury(self, worker: Worker) -> None:
        """One that could not start while none has served yet ends all: the others would fail in the same way."""
        assert worker.process is not None
        worker.process.join()
        code, pid = worker.process.exitcode, worker.process.pid
        worker.pipe.close()
        worker.process = None
        worker.again_at = time.monotonic() + PAUSE
        if code == FAILED and not self._served:
            self._failed = True
        else:
            log.error("worker died", extra={"pid": pid, "exit_code": code})

    def _end(self) -> None:
        """Ask all to stop, and wait for them; another SIGINT is passed on, which makes them hurry."""
        alive = [worker.process for worker in self._workers if worker.process is not None]
        for process in alive:
            _send(process, signal.SIGTERM)
        while alive:
            ready = wait([self._bell, *(process.sentinel for process in alive)])
            if self._bell in ready:
                self._bell.recv(4096)
            if signal.SIGINT in self._signals:
                self._signals.clear()
                for process in alive:
                    _send(process, signal.SIGINT)
            alive = [process for process in alive if process.exitcode is None]

    def _say(self, worker: Worker, word: bytes) -> None:
        if worker.process is not None:
            try:
                worker.pipe.send_bytes(word)
            except OSError:
                log.debug("worker is gone", extra={"pid": worker.process.pid})


def _send(process: SpawnProcess, number: int) -> None:
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, number)
