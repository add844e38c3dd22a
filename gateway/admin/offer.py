"""What a successor may take over: our listening sockets.

A process that is told to stop goes on until the successor that took them serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SUCCESSORS: Final = 8  # that are waited for

log = logging.getLogger("gateway.server")


class Offer:
    """Gives our listening sockets to whoever can open the control directory: this user and root."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        self._listener: socket.socket | None = None
        self._starting: set[socket.socket] = set()  # successors hold their connection until they serve
        self._all_serve = asyncio.Event()
        self._all_serve.set()

    def start(self, listener: socket.socket) -> None:
        """listener: a Unix socket, listening and without waits. It is closed with this."""
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._give)

    async def wait(self, seconds: float) -> None:
        """Until those who took our sockets serve, or have given up; `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_serve.wait()

    def stop(self) -> None:
        for connection in list(self._starting):
            self._left(connection)
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
        connection.setblocking(False)
        try:
            socket.send_fds(connection, [b"."], [sock.fileno() for sock in self._sockets])
        except OSError:  # it has gone
            connection.close()
            return
        log.info("listening sockets handed over")
        if len(self._starting) >= MAX_SUCCESSORS:
            self._left(next(iter(self._starting)))
        self._starting.add(connection)
        self._all_serve.clear()
        asyncio.get_running_loop().add_reader(connection.fileno(), self._left, connection)

    def _left(self, connection: socket.socket) -> None:
        """It serves, or is no more."""
        asyncio.get_running_loop().remove_reader(connection.fileno())
        connection.close()
        self._starting.discard(connection)
        if not self._starting:
            self._all_serve.set()
