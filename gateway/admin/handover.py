"""Listening sockets of others: of the gateway before us, or of systemd; no connection is refused in between.

A gateway asks the processes that serve the same file for their sockets themselves (SCM_RIGHTS), and takes them where
its address is in use. Both then accept from the same queue, and when the old one stops, what waits there is the new
one's. systemd hands sockets to a process in another way: as open files, counted by LISTEN_FDS.

This is the first thing that `gateway run` does, and so imports next to nothing.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping
    from pathlib import Path

FIRST_PASSED: Final = 3  # the number of the first file that systemd passes (sd_listen_fds)
MAX_SOCKETS: Final = 64  # that one process hands over
PATIENCE: Final = 1.0  # seconds for a process to hand its sockets over

def taken_over(offers: Iterable[Path]) -> tuple[list[socket.socket], socket.socket | None]:
    """The sockets of the first process that hands them over, and the connection to it: it waits with its end until that
    is closed."""
    for offer in offers:
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            asking.settimeout(PATIENCE)
            asking.connect(str(offer))
            _, fds, _, _ = socket.recv_fds(asking, 1, MAX_SOCKETS)
        except OSError:
            fds = []
        if fds:
            return [_listening(fd) for fd in fds], asking
        asking.close()
    return [], None


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
