"""The ASGI application: a Starlette app around the gateway, for `uvicorn gateway.app:app` and for mounting.

Stand-alone, the server's lifespan starts and stops everything. Mounted, Starlette does not run our lifespan: either the
host composes `app.lifespan` into its own, or the first request starts the gateway, under a lock and with a warning.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette

from gateway.admin.control import control_directory
from gateway.admin.fleet import Fleet
from gateway.admin.guard import Guard
from gateway.config import Config, ConfigError, load, split_listen
from gateway.errors import TargetError
from gateway.gateway import Gateway
from gateway.server.listeners import bind
from gateway.snapshot import build_snapshot, server_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import httpx
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.server.settings import ServerSettings

log = logging.getLogger("gateway")

ADMIN_BACKLOG: Final = 64
MENDABLE: Final = (ConfigError, TargetError, OSError)  # a bad configuration, a local app that does not start, files and ports


class GatewayApp(Starlette):
    """`config` is read when the gateway starts, not when the app is made. Further middleware may be added as usual."""

    def __init__(self, config: Config | Path | str | None = None) -> None:
        super().__init__(lifespan=self.lifespan)
        self._config = config
        self._gateway: Gateway | None = None
        self._fleet: Fleet | None = None
        self._starting = asyncio.Lock()
        self._keeper: AsyncGenerator[None, None] | None = None

    @property
    def config(self) -> Config:
        """The configuration; read once, from GATEWAY_CONFIG or ./routes.toml where none was given."""
        if not isinstance(self._config, Config):
            self._config = load(self._config or os.environ.get("GATEWAY_CONFIG", "routes.toml"))
        return self._config

    @property
    def server_settings(self) -> ServerSettings:
        """What our own protocol class binds its connections by."""
        return server_settings(self.config)

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Run the gateway. A host that mounts this app enters this in its own lifespan."""
        gateway = await self._start()
        try:
            yield
        finally:
            await self._stop(gateway)

    async def _start(self) -> Gateway:
        gateway = Gateway(lambda deadlines: build_snapshot(self.config, deadlines))
        try:
            await gateway.start()
        except BaseException:
            await gateway.stop()  # what did start, and the files that are open
            raise
        self._gateway = gateway
        self._fleet = await self._open_admin(gateway)
        return gateway

    async def _stop(self, gateway: Gateway) -> None:
        self._gateway = None
        if self._fleet is not None:
            await self._fleet.stop()
        await gateway.stop()

    async def _open_admin(self, gateway: Gateway) -> Fleet:
        """The control socket, and the listener of `[admin]` where no other process has it."""
        file, options = self.config.source.file, self.config.admin
        fleet = Fleet(gateway, control_directory(file) if file else None)
        await fleet.start()
        if options.listen is not None:
            try:
                sock = bind(options.listen, ADMIN_BACKLOG)
            except OSError as exc:
                log.warning("no admin listener in this process", extra={"reason": str(exc)})
            else:
                log.info("admin listener", extra={"address": options.listen})
                where = split_listen(options.listen)
                await fleet.open(sock, Guard(options.token, {where.host}, local=bool(where.path)))
        return fleet

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
            if message["type"] == "lifespan.startup.failed" and isinstance(fault, MENDABLE):
                message = {**message, "message": f"the gateway cannot start:\n{fault}"}
            elif isinstance(fault, asyncio.CancelledError):  # a second Ctrl-C
                message = {**message, "message": ""}
            await send(message)

        with contextlib.suppress(*MENDABLE):  # told already
            await self.router.lifespan(scope, receive, tell)


def create_app(config: Config | Path | str | None = None) -> GatewayApp:
    """The gateway as an ASGI app. config: a configuration, or the path of a `routes.toml`."""
    return GatewayApp(config)


app = create_app()
