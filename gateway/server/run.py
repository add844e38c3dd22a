"""`gateway run`: uvicorn by its API, with our protocol class, our TLS contexts and the listeners of `[server]`.

Sockets are bound here, before any worker starts, and handed to all of them. A worker is uvicorn's; everything that it
is told goes by import strings and the environment, since workers are spawned and not forked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.app import GatewayApp
from gateway.config import Config, load
from gateway.observe.logs import configure_logging
from gateway.server.listeners import bind
from gateway.server.redirect import serve_redirect

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Iterator

CONFIG_VARIABLE: Final = "GATEWAY_CONFIG"
BACKLOG: Final = 4096
FAILED: Final = 3  # the exit code of a server that could not start, as uvicorn's

log = logging.getLogger("gateway")


class ServedApp(GatewayApp):
    """The app of `gateway run`: with the plain listener that redirects to HTTPS beside it."""

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        async with super().lifespan(app):
            server = self.config.server
            if server.tls is None or not server.tls.redirect_http:
                yield
                return
            sock = bind(server.listen[0], BACKLOG, shared=True)
            assert server.https_port is not None
            redirect = await serve_redirect(sock, self.server_settings, server.https_port)
            try:
                yield
            finally:
                redirect.close()
                await redirect.wait_closed()


def worker_app() -> GatewayApp:
    """The app of a worker process, which reads the configuration by itself."""
    configure_logging()
    return ServedApp()


def run(config: Config, path: Path | None) -> int:
    """Serve until a signal stops us; the exit code. path: the file of the configuration, None where it has none.

    Raises OSError for an address that cannot be had, and ValueError for a certificate that cannot be used.
    """
    configure_logging()
    if path is not None:
        os.environ[CONFIG_VARIABLE] = str(path)
    if config.server.tls is not None:
        ContextFactory(config)(None, None)  # a file at fault is told here, once, and not by every worker
    sys.path.insert(0, os.getcwd())  # where local apps are looked for first, as by `uvicorn`
    settings = uvicorn_config(config, None if path is not None else ServedApp(config))
    server = uvicorn.Server(settings)
    with stopped_by_signals(server):
        plain, sockets = bind_all(config, tell_targets=path is None)
        try:
            if config.server.workers > 1 and path is not None:
                return run_workers(settings, sockets, server)
            server.run(sockets)
            return 0 if server.started else FAILED
        finally:
            for sock in (*plain, *sockets):
                sock.close()


def run_workers(settings: uvicorn.Config, sockets: list[socket.socket], before: uvicorn.Server) -> int:
    """before: it took the signals until now."""
    workers = Workers(settings, sockets)
    if before.should_exit:
        workers.should_exit.set()
    workers.run()
    return FAILED if any(process.exitcode == FAILED for process in workers.processes) else 0


class Workers(Multiprocess):
    """uvicorn's supervisor. When all stop, its own copies of the sockets close too: a connection that no worker takes
    any more would wait in their queue and not be refused."""

    def terminate_all(self) -> None:
        for sock in self.sockets:
            sock.close()
        super().terminate_all()


def uvicorn_config(config: Config, app: GatewayApp | None) -> uvicorn.Config:
    """app: None for the one that every worker makes."""
    server = config.server
    return uvicorn.Config(
        app or "gateway.server.run:worker_app",
        factory=app is None,
        http="gateway.server.protocol:GatewayProtocol",
        ws_max_size=16 * 1024 * 1024,
        workers=server.workers if app is None else 1,
        backlog=BACKLOG,
        proxy_headers=False,  # the client is resolved in one place, ours
        server_header=False,
        access_log=False,
        lifespan="on",
        log_config=None,
        timeout_graceful_shutdown=max(1, round(server.drain_timeout)),
        ssl_context_factory=None if server.tls is None else ContextFactory(config if app is not None else None),
    )


class ContextFactory:
    """Makes the server's TLS context; in a worker, from the configuration that the worker reads. It can be pickled."""

    def __init__(self, config: Config | None) -> None:
        self._config = config

    def __call__(self, _settings: object, _default: object) -> ssl.SSLContext:
        from gateway.server.tls import ServerTlsOptions, server_context  # noqa: PLC0415  # plain HTTP needs no cryptography

        config = self._config or load(os.environ[CONFIG_VARIABLE])
        tls = config.server.tls
        assert tls is not None
        pairs = [(tls.cert, tls.key), *((more.cert, more.key) for more in tls.certificates)]
        return server_context(
            ServerTlsOptions(
                certificates=tuple((str(cert), str(key)) for cert, key in pairs),
                min_version=tls.min_version,
                ciphers=tls.ciphers,
                client_ca=None if tls.client_ca is None else str(tls.client_ca),
                client_auth=tls.clients_verified or "required",
            )
        )


def bind_all(config: Config, *, tell_targets: bool = False) -> tuple[list[socket.socket], list[socket.socket]]:
    """The listener for redirects, if any, and the others. The first is only held: each worker binds its own beside it,
    as uvicorn would speak TLS on every socket that it is given."""
    server = config.server
    listens = list(server.listen)
    plain: list[socket.socket] = []
    scheme = "http" if server.tls is None else "https"
    if server.tls is not None and server.tls.redirect_http:
        plain.append(bind(listens.pop(0), 0, shared=True))
        log.info("listening", extra={"address": show(plain[0]), "scheme": "http", "redirects_to": "https"})
    sockets = [bind(listen, BACKLOG) for listen in listens]
    targets = ", ".join([target.url for upstream in config.upstreams.values() for target in upstream.targets])
    facts = {"scheme": scheme, **({"forwards_to": targets} if tell_targets else {})}
    for sock in sockets:
        log.info("listening", extra={"address": show(sock), **facts})
    return plain, sockets


def show(sock: socket.socket) -> str:
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


@contextlib.contextmanager
def stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Take the signals that come before uvicorn listens to them, and the one that stopped it: it raises that once more
    when all is done, and the exit code is to be 0 all the same.

    Nothing is raised here: an exception in the midst of an import can be lost. The server stops once it has started.
    """

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
