"""`gateway run`: uvicorn by its API, with our protocol class, our TLS contexts and the listeners of `[server]`.

One process serves by itself; several are the parent's workers (`workers.py`), which get the sockets from it and read
the configuration by themselves, since they are spawned and not forked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from gateway.app import GatewayApp
from gateway.config import Config
from gateway.observe.logs import configure_logging
from gateway.server.descriptors import raise_file_limit
from gateway.server.opening import BACKLOG, Found, Listeners, open_listeners, tell
from gateway.server.redirect import serve_redirect
from gateway.server.serving import Server
from gateway.server.workers import FAILED, RELOAD, SERVING, Workers
from gateway.upstream.tally import Tally, forget, make_sheet

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from gateway.upstream.tally import Sheet

CONFIG_VARIABLE: Final = "GATEWAY_CONFIG"
ENDING: Final = (signal.SIGTERM, signal.SIGINT)
RELOADING: Final = (signal.SIGHUP,)

log = logging.getLogger("gateway")


class ServedApp(GatewayApp):
    """The app of `gateway run`, which knows its sockets: with the plain listener that redirects to HTTPS beside it."""

    def __init__(
        self, config: Config | Path, listeners: Listeners, parent: Connection | None = None, tally: Tally | None = None
    ) -> None:
        """parent, tally: the pipe of a worker, and what it counts together with the others."""
        super().__init__(config)
        self._listeners = listeners
        self._parent = parent
        self._tally = tally

    def admin_socket(self) -> socket.socket | None:
        return self._listeners.admin

    def tally(self) -> Tally | None:
        return self._tally

    def public_sockets(self) -> list[socket.socket]:
        return self._listeners.all()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        async with super().lifespan(app):
            with self._listening_to_parent():
                if self._listeners.plain is None:
                    yield
                    return
                port = self.config.server.https_port
                assert port is not None
                redirect = await serve_redirect(self._listeners.plain, self.server_settings, port)
                try:
                    yield
                finally:
                    redirect.close()
                    await redirect.wait_closed()

    @contextlib.contextmanager
    def _listening_to_parent(self) -> Iterator[None]:
        if self._parent is None:
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._parent.fileno(), self._hear)
        self._parent.send_bytes(SERVING)
        try:
            yield
        finally:
            loop.remove_reader(self._parent.fileno())

    def _hear(self) -> None:
        """An order of the parent's, or its end, which is ours too."""
        assert self._parent is not None
        try:
            if self._parent.recv_bytes() == RELOAD:
                self.reload_soon()
        except (EOFError, OSError):
            log.warning("the parent process is gone")
            asyncio.get_running_loop().remove_reader(self._parent.fileno())
            signal.raise_signal(signal.SIGTERM)


def run(config: Config, path: Path | None, found: Found | None = None) -> int:
    """Serve until a signal stops us; the exit code. path: the file of the configuration, None where it has none.
    found: sockets that others opened.

    Raises OSError for an address that cannot be had, and ValueError for a certificate that cannot be used.
    """
    configure_logging()
    raise_file_limit()
    found = found or Found()
    if path is not None:
        os.environ[CONFIG_VARIABLE] = str(path)
    if config.server.tls is not None:
        ContextFactory(config)(None, None)  # a file at fault is told here, once, and not by every worker
    sys.path.insert(0, os.getcwd())  # where local apps are looked for first, as by `uvicorn`
    if config.server.workers > 1 and path is not None:
        return run_workers(config, path, found)
    waiting = Waiting()
    with handling(waiting.take, *ENDING, *(RELOADING if path is not None else ())):
        listeners = open_listeners(config, found)
        try:
            tell(config, listeners, targets=path is None)
            app = ServedApp(config, listeners)
            server = Server(uvicorn_config(config, app), app, found.serving)
            waiting.hand_to(server)
            server.run(listeners.public)
            return 0 if server.started else FAILED
        finally:
            listeners.close()


def run_workers(config: Config, path: Path, found: Found) -> int:
    spawning = multiprocessing.get_context("spawn")

    sheet = make_sheet(spawning, config.server.workers)

    def start(place: int, pipe: Connection) -> SpawnProcess:
        process = spawning.Process(target=work, args=(path, listeners, sheet, place, pipe))
        process.start()
        return process

    workers = Workers(config.server.workers, start, lambda place: forget(sheet, place))
    with handling(workers.signalled, *ENDING, *RELOADING):
        listeners = open_listeners(config, found)
        try:
            tell(config, listeners, targets=False)
            return workers.run(found.serving, listeners.close)
        finally:
            listeners.close()


def work(path: Path, listeners: Listeners, sheet: Sheet, place: int, parent: Connection) -> None:
    """A worker process. place: which of them, from 0."""
    waiting = Waiting()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent's, who passes it on
    with handling(waiting.take, *ENDING):
        configure_logging()
        app = ServedApp(path, listeners, parent, Tally(sheet, place))
        server = Server(uvicorn_config(app.config, app), app)
        waiting.hand_to(server)
        server.run(listeners.public)
    sys.exit(0 if server.started else FAILED)


def uvicorn_config(config: Config, app: GatewayApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="gateway.server.protocol:GatewayProtocol",
        ws_max_size=16 * 1024 * 1024,
        backlog=BACKLOG,
        proxy_headers=False,  # the client is resolved in one place, ours
        server_header=False,
        access_log=False,
        lifespan="on",
        log_config=None,
        ssl_context_factory=None if config.server.tls is None else ContextFactory(config),
    )


class ContextFactory:
    """Makes the server's TLS context from a configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __call__(self, _settings: object, _default: object) -> ssl.SSLContext:
        from gateway.server.tls import ServerTlsOptions, server_context  # noqa: PLC0415  # plain HTTP needs no cryptography

        tls = self._config.server.tls
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


class Waiting:
    """Takes the signals that come before uvicorn listens to them, and the one that stopped it: it raises that once more
    when all is done, and the exit code is to be 0 all the same.

    Nothing is raised here: an exception in the midst of an import can be lost. The server stops once it has started.
    """

    def __init__(self) -> None:
        self._signals: list[int] = []
        self._server: Server | None = None

    def hand_to(self, server: Server) -> None:
        self._server = server
        for number in self._signals:
            self.take(number, None)

    def take(self, number: int, _frame: object) -> None:
        if self._server is None:
            self._signals.append(number)
        elif number == signal.SIGHUP:
            self._server.reload_wanted = True
        else:
            self._server.should_exit = True


@contextlib.contextmanager
def handling(handler: Callable[[int, object], None], *numbers: int) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)
