"""Listening sockets from a process to its successor: no connection is refused in between.

A gateway that finds its address taken asks the processes that serve the same file for the socket itself (SCM_RIGHTS).
Both then accept from the same queue, and when the old one stops, what waits there is the new one's. systemd hands
sockets to a process in another way: as open files, counted by LISTEN_FDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping, Sequence
    from pathlib import Path

FIRST_PASSED: Final = 3  # the number of the first file that systemd passes (sd_listen_fds)
MAX_SOCKETS: Final = 64  # that one process hands over
PATIENCE: Final = 1.0  # seconds for a process to hand its sockets over

log = logging.getLogger("gateway.server")


class Handover:
    """Gives our listening sockets to whoever can open the control directory: this user and root."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        self._listener: socket.socket | None = None

    def start(self, listener: socket.socket) -> None:
        """listener: a Unix socket, listening and without waits. It is closed with this."""
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._give)

    def stop(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def _give(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            connection.setblocking(False)
            with contextlib.suppress(OSError):  # it has gone
                socket.send_fds(connection, [b"."], [sock.fileno() for sock in self._sockets])
                log.info("listening sockets handed over")


def taken_over(offers: Iterable[Path]) -> list[socket.socket]:
    """The sockets of the first process that hands them over."""
    for offer in offers:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(PATIENCE)
            asking.connect(str(offer))
            _, fds, _, _ = socket.recv_fds(asking, 1, MAX_SOCKETS)
            if fds:
                return [_listening(fd) for fd in fds]
    return []


def passed_in(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd opened for this process; its variables are taken away, as they are not for children."""
    count, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_listening(fd) for fd in range(FIRST_PASSED, FIRST_PASSED + int(count))]


def _listening(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    sock.set_inheritable(True)
    return sock
