"""The listening sockets of `gateway run`: passed in by systemd, bound, or taken over from the gateway before us.

They are opened before any worker starts, and shared by all of them.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.admin.control import control_directory
from gateway.admin.handover import passed_in, taken_over
from gateway.server.listeners import bind, is_at

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from gateway.config import Config

BACKLOG: Final = 4096
ADMIN_BACKLOG: Final = 64

log = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Found:
    """Sockets that others opened. passed: by systemd, in place of `listen`. offered: by the gateway that serves the
    same file, for the addresses that are in use. predecessor: the connection to that one, which goes on while it is open."""

    passed: list[socket.socket] = field(default_factory=list)
    offered: list[socket.socket] = field(default_factory=list)
    predecessor: socket.socket | None = None

    def at(self, listen: str) -> socket.socket | None:
        for sock in self.offered:
            if is_at(sock, listen):
                self.offered.remove(sock)
                return sock
        return None

    def close(self) -> None:
        """What was not taken."""
        for sock in (*self.passed, *self.offered):
            sock.close()

    def serving(self) -> None:
        """Let the one before us end, where it was told to."""
        if self.predecessor is not None:
            self.predecessor.close()


def look_for_sockets(file: Path) -> Found:
    """To be asked first of all: the gateway before us may be stopped while we are still loading."""
    passed = passed_in(os.environ)
    if passed:
        return Found(passed)
    return Found([], *taken_over(control_directory(file).offers()))


@dataclass(frozen=True, slots=True)
class Listeners:
    """public: for requests. plain: redirects to HTTPS. admin: None where it is not configured, or not to be had."""

    public: list[socket.socket]
    plain: socket.socket | None = None
    admin: socket.socket | None = None

    def all(self) -> list[socket.socket]:
        return [sock for sock in (self.plain, *self.public, self.admin) if sock is not None]

    def close(self) -> None:
        for sock in self.all():
            sock.close()


def open_listeners(config: Config, found: Found) -> Listeners:
    """Raises OSError for an address that cannot be had."""
    opened: list[socket.socket] = []
    try:
        if found.passed:
            opened += found.passed
            found.passed.clear()
        else:
            opened += [_open(listen, found) for listen in config.server.listen]
        redirects = config.server.tls is not None and config.server.tls.redirect_http
        plain = opened.pop(0) if redirects else None
        return Listeners(opened, plain, _open_admin(config.admin.listen, found))
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    finally:
        found.close()


def _open(listen: str, found: Found, backlog: int = BACKLOG) -> socket.socket:
    try:
        return bind(listen, backlog)
    except OSError:
        sock = found.at(listen)
        if sock is None:
            raise
        log.info("listening socket taken over", extra={"address": listen})
        return sock


def _open_admin(listen: str | None, found: Found) -> socket.socket | None:
    if listen is not None:
        try:
            return _open(listen, found, ADMIN_BACKLOG)
        except OSError as exc:
            log.warning("no admin listener", extra={"reason": str(exc)})
    return None


def tell(config: Config, listeners: Listeners, *, targets: bool) -> None:
    """Log where we listen; targets: and where we forward to."""
    tls = config.server.tls
    urls = ", ".join([target.url for upstream in config.upstreams.values() for target in upstream.targets])
    facts = {"scheme": "http" if tls is None else "https", **({"forwards_to": urls} if targets else {})}
    if listeners.plain is not None:
        log.info("listening", extra={"address": show(listeners.plain), "scheme": "http", "redirects_to": "https"})
    for sock in listeners.public:
        log.info("listening", extra={"address": show(sock), **facts})


def show(sock: socket.socket) -> str:
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
