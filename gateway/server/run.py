"""`gateway run`: uvicorn by its API, with our protocol class, our TLS contexts and the listeners of `[server]`.

Sockets are bound here, before any worker starts, and handed to all of them. A worker is uvicorn's; everything that it
is told goes by import strings and the environment, since workers are spawned and not forked.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.app import GatewayApp
from gateway.config import Config, load
from gateway.server.listeners import bind
from gateway.server.tls import ServerTlsOptions, server_context

if TYPE_CHECKING:
    import ssl

CONFIG_VARIABLE: Final = "GATEWAY_CONFIG"
BACKLOG: Final = 4096

log = logging.getLogger("gateway")


def worker_app() -> GatewayApp:
    """The app of a worker: as `gateway.app:app`, with the listeners that only a server of ours opens."""
    return GatewayApp(side_listeners=True)


def uvicorn_config(config: Config) -> uvicorn.Config:
    server = config.server
    return uvicorn.Config(
        "gateway.server.run:worker_app",
        factory=True,
        http="gateway.server.protocol:GatewayProtocol",  # type: ignore[arg-type]
        ws_max_size=16 * 1024 * 1024,
        workers=server.workers,
        backlog=BACKLOG,
        proxy_headers=False,  # the client is resolved in one place, ours
        server_header=False,
        access_log=False,
        lifespan="on",
        log_config=None,
        timeout_graceful_shutdown=int(server.drain_timeout) or 1,
        ssl_context_factory=tls_context if server.tls is not None else None,
    )


def tls_context(_config: uvicorn.Config, _default: object) -> ssl.SSLContext:
    """The server's TLS context, made again in every worker from the configuration that it reads."""
    tls = load(os.environ[CONFIG_VARIABLE]).server.tls
    assert tls is not None
    return server_context(tls)


def run(path: Path) -> int:
    """Serve until a signal stops us; the exit code. The configuration has been checked by the caller."""
    config = load(path)
    os.environ[CONFIG_VARIABLE] = str(path)
    configure_logging()
    settings = uvicorn_config(config)
    sockets = [bind(listen, BACKLOG) for listen in config.server.listen]
    for sock in sockets:
        log.info("listening", extra={"address": sock.getsockname()})
    if config.server.workers > 1:
        Multiprocess(settings, sockets).run()
        return 0
    server = uvicorn.Server(settings)
    server.run(sockets)
    return 0 if server.started else 3
