"""uvicorn's server with an end of our own: nothing that was sent to us is lost, and what never ends is told to.

From the signal on no connection is accepted, unless a successor has our sockets and does not serve yet. Exchanges go on,
for `drain_timeout` at most; idle connections wait a moment for a request that may be on its way, and each last answer
says `Connection: close`. WebSockets are closed with 1012 and event streams end, so that their clients come again,
elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.app import GatewayApp

LOOK_AGAIN: Final = 0.05  # seconds between two looks at what is still under way

log = logging.getLogger("gateway.server")


class Server(uvicorn.Server):
    """serving: called when connections are accepted. reload_wanted: a SIGHUP came before the event loop ran."""

    def __init__(self, config: uvicorn.Config, app: GatewayApp, serving: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._app = app
        self._serving = serving
        self.reload_wanted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._serving is not None:
            self._serving()
        if threading.current_thread() is not threading.main_thread():
            return
        if self._app.follows_a_file:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._app.reload_soon)
            if self.reload_wanted:
                self._app.reload_soon()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.server_state
        await self._app.wait_for_successor()
        log.info("draining", extra={"connections": len(state.connections), "within": self._app.drain_timeout})
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        self._app.drain()
        for connection in list(state.connections):
            connection.shutdown()
        await self._wait(self._app.drain_timeout)
        if state.connections or state.tasks:
            log.warning("drain_timeout is over", extra={"broken_off": max(len(state.connections), len(state.tasks))})
        for task in list(state.tasks):
            task.cancel()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _wait(self, seconds: float) -> None:
        """Until nothing is under way any more, nobody waits any longer, or somebody has no patience."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        state = self.server_state
        while (state.connections or state.tasks) and loop.time() < until and not self.force_exit:  # noqa: ASYNC110 - uvicorn's sets
            await asyncio.sleep(LOOK_AGAIN)
