"""The ASGI application: a Starlette app around the gateway, for `uvicorn gateway.app:app` and for mounting.

Stand-alone, the server's lifespan starts and stops everything. Mounted, Starlette does not run our lifespan: either the
host composes `app.lifespan` into its own, or the first request starts the gateway, under a lock and with a warning.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette

from gateway.admin.control import control_directory
from gateway.admin.fleet import Fleet
from gateway.admin.guard import Guard
from gateway.config import Config, ConfigError, load, split_listen
from gateway.errors import TargetError
from gateway.express import ExpressLane
from gateway.gateway import Gateway
from gateway.reload import Reloading
from gateway.server.listeners import bind
from gateway.snapshot import build_snapshot, server_settings

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    import httpx
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.server.settings import ServerSettings
    from gateway.upstream.tally import Tally

log = logging.getLogger("gateway")

ADMIN_BACKLOG: Final = 64
# Of the garbage collector. Requests leave no cycles, but a few dozen at once make more objects than the default takes for a reason to
# look for some; and it would go through all that is stored with every 70,000 objects more. The two younger generations are small:
# while a cache fills, each is gone through in a few milliseconds.
COLLECT_AT: Final = (2_000, 5, 1000)
MENDABLE: Final = (ConfigError, TargetError, OSError)  # a bad configuration, a local app that does not start, files and ports


class GatewayApp(Starlette):
    """`config` is read when the gateway starts, not when the app is made. Further middleware may be added as usual."""

    def __init__(self, config: Config | Path | str | None = None) -> None:
        super().__init__(lifespan=self.lifespan)
        self._config = config
        self._settings: tuple[Config, ServerSettings] | None = None
        self._gateway: Gateway | None = None
        self._fleet: Fleet | None = None
        self.lane = ExpressLane()  # for our own protocol class
        self._starting = asyncio.Lock()
        self._keeper: AsyncGenerator[None, None] | None = None

    @property
    def config(self) -> Config:
        """The configuration that is in force; first read from GATEWAY_CONFIG or ./routes.toml where none was given."""
        if self._gateway is not None:
            return self._gateway.snapshot.config
        if not isinstance(self._config, Config):
            self._config = load(self._config or os.environ.get("GATEWAY_CONFIG", "routes.toml"))
        return self._config

    @property
    def server_settings(self) -> ServerSettings:
        """What our own protocol class binds its connections by."""
        config = self.config
        if self._settings is None or self._settings[0] is not config:
            self._settings = config, server_settings(config)
        return self._settings[1]

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Run the gateway. A host that mounts this app enters this in its own lifespan."""
        gateway = await self._start()
        try:
            yield
        finally:
            await self._stop(gateway)

    async def _start(self) -> Gateway:
        config = self.config
        gateway = Gateway(lambda deadlines, draft: build_snapshot(config, deadlines, draft), self.tally())
        try:
            await gateway.start()
        except BaseException:
            await gateway.stop()  # the files that are open
            raise
        if config.source.file:
            gateway.reloading = Reloading(gateway, config.source.file)
            if config.server.watch:
                gateway.reloading.watch()
        self._gateway = gateway
        self._fleet = await self._open_admin(gateway)
        self.lane.gateway = None if self.user_middleware else gateway
        return gateway

    async def _stop(self, gateway: Gateway) -> None:
        fleet, self._fleet = self._fleet, None
        if fleet is not None:
            await fleet.stop()
        self._config, self._gateway = gateway.snapshot.config, None
        self.lane.gateway = None
        await gateway.stop()

    async def _open_admin(self, gateway: Gateway) -> Fleet:
        """The control socket, and the listener of `[admin]` where this process has it."""
        config = gateway.snapshot.config
        file, options = config.source.file, config.admin
        fleet = Fleet(gateway, control_directory(file) if file else None)
        await fleet.start(self.public_sockets())
        sock = self.admin_socket()
        if sock is not None and options.listen is not None:
            where = split_listen(options.listen)
            await fleet.open(sock, Guard(options.token, {where.host}, local=bool(where.path)))
        return fleet

    def admin_socket(self) -> socket.socket | None:
        """Under a server that is not ours, each process tries to have it."""
        listen = self.config.admin.listen
        if listen is None:
            return None
        try:
            return bind(listen, ADMIN_BACKLOG)
        except OSError as exc:
            log.warning("no admin listener in this process", extra={"reason": str(exc)})
            return None

    def tally(self) -> Tally | None:
        """What the workers of one gateway count together. Under a server that is not ours each process is by itself."""
        return None

    def public_sockets(self) -> Sequence[socket.socket]:
        """What a successor may take over."""
        return ()

    # ------------------------------------------------------------ asked by our own server

    @property
    def drain_timeout(self) -> float:
        return self.config.server.drain_timeout

    @property
    def follows_a_file(self) -> bool:
        return self._gateway is not None and self._gateway.reloading is not None

    def reload_soon(self) -> None:
        """Read the file again. The log says how that went."""
        if self._gateway is not None and self._gateway.reloading is not None:
            self._gateway.reloading.soon()

    async def wait_for_successor(self) -> None:
        """Who took our sockets over, but does not serve yet, has `drain_timeout` for that."""
        if self._fleet is not None:
            await self._fleet.wait_for_successor(self.drain_timeout)

    def drain(self) -> None:
        """No connection is accepted any more."""
        if self._fleet is not None:
            self._fleet.keep_sockets()
        if self._gateway is not None:
            self._gateway.drain()

    # ------------------------------------------------------------ the life of it

    async def _start_late(self) -> Gateway:
        """The host has not run our lifespan: start now, and stop when the event loop ends."""
        async with self._starting:
            if self._gateway is None:
                log.warning("the gateway's lifespan was not run; compose `app.lifespan` into the host's")
                self._keeper = self._keep()
                await anext(self._keeper)
        assert self._gateway is not None
        return self._gateway

    async def _keep(self) -> AsyncGenerator[None, None]:
        """Event loops close the async generators that are still open when they end; this one stops the gateway.

        All of them at once: so it must not itself hold another one, such as `lifespan`.
        """
        gateway = await self._start()
        try:
            yield
        finally:
            await self._stop(gateway)

    def client(self, upstream: str) -> httpx.AsyncClient:
        """Ask an upstream from code of your own: the client of one of its targets, chosen by its balancer.

        Paths are relative to the target. Do not close it. Raises KeyError for a name that is not configured.
        """
        if self._gateway is None:
            msg = "the gateway does not run"
            raise RuntimeError(msg)
        return self._gateway.snapshot.upstreams[upstream].client()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._gateway is not None and scope["type"] == "http" and not self.user_middleware:
            await self._gateway.serve_http(scope, receive, send)  # type: ignore[arg-type]
        else:
            await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """The gateway is the whole app: no router and no exception middleware of Starlette's in the way."""
        app: ASGIApp = self._dispatch
        for middleware in reversed(self.user_middleware):
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)
        return app

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._run_lifespan(scope, receive, send)
            return
        gateway = self._gateway or await self._start_late()
        if kind == "http":
            await gateway.serve_http(scope, receive, send)  # type: ignore[arg-type]
        elif kind == "websocket":
            await gateway.serve_websocket(scope, receive, send)  # type: ignore[arg-type]


    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette does, but what somebody can mend is told in words and not by a traceback."""

        async def tell(message: Message) -> None:
            fault = sys.exception()
            if message["type"] == "lifespan.startup.complete":
                self._take_over_process()
            if message["type"] == "lifespan.startup.failed" and isinstance(fault, MENDABLE):
                message = {**message, "message": f"the gateway cannot start:\n{fault}"}
            elif isinstance(fault, asyncio.CancelledError):  # a second Ctrl-C
                message = {**message, "message": ""}
            await send(message)

        with contextlib.suppress(*MENDABLE):  # told already
            await self.router.lifespan(scope, receive, tell)

    def _take_over_process(self) -> None:
        """It is the gateway's alone: the garbage collector is set for that, and SIGHUP reloads where it would end the process
        otherwise."""
        if threading.current_thread() is not threading.main_thread():
            return
        gc.set_threshold(*COLLECT_AT)
        if self.follows_a_file and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload_soon)


def create_app(config: Config | Path | str | None = None) -> GatewayApp:
    """The gateway as an ASGI app. config: a configuration, or the path of a `routes.toml`."""
    return GatewayApp(config)


app = create_app()
