"""Listening sockets: bound before any worker starts, and shared by all of them."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Listen", "bind", "is_at", "parse_listen"]

SOCKET_MODE: Final = 0o660  # of a Unix socket: its owner and group may connect
UNIX_PATH_LIMIT: Final = 107  # bytes: `sun_path` of Linux, less its final NUL
PATIENCE: Final = 1.0  # seconds to find out whether somebody listens on a Unix socket

_LISTEN = re.compile(
    r"(?P<host>[^\[\]:/\s]*|\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]):(?P<port>[0-9]{1,5})", re.ASCII
).fullmatch


@dataclass(frozen=True, slots=True)
class Listen:
    """path: of a Unix socket, else None. host: "" for every address, IPv4 and IPv6; no brackets around IPv6."""

    host: str
    port: int
    path: str | None = None


def parse_listen(text: str) -> Listen:
    """`host:port`, `:port`, `[::1]:port` or `unix:/path`. Raises ValueError with the forms that are understood."""
    if text.startswith("unix:"):
        path = text[5:]
        if not path or "\0" in path:
            raise ValueError(f"{text!r}: a Unix socket needs a path, as in unix:/run/gateway.sock")
        if len(os.fsencode(path)) > UNIX_PATH_LIMIT:
            raise ValueError(f"{text!r}: the path of a Unix socket is at most {UNIX_PATH_LIMIT} bytes long")
        return Listen("", 0, path)
    matched = _LISTEN(text)
    if matched is None:
        raise ValueError(f"{text!r} is no address to listen on: write host:port, :port, [::1]:port or unix:/path")
    port = int(matched["port"])
    if port > 65535:
        raise ValueError(f"{text!r}: ports end at 65535")
    return Listen(matched["v6"] or matched["host"], port)


def bind(listen: str, backlog: int) -> socket.socket:
    """A listening socket: non-blocking, and inherited by workers.

    Every address means IPv4 and IPv6 in one socket where the system can do that. A host name is resolved once, IPv4
    first. Raises ValueError for a text that is no address, and OSError whose text is the whole sentence to show.
    """
    where = parse_listen(listen)
    try:
        sock = _bind_unix(where.path) if where.path is not None else _bind_tcp(where)
        try:
            sock.listen(backlog)
            sock.setblocking(False)
            sock.set_inheritable(True)
        except OSError:
            sock.close()
            raise
    except OSError as exc:
        raise OSError(f"{listen}: {_sentence(exc)}") from exc
    return sock


def is_at(sock: socket.socket, listen: str) -> bool:
    """Whether a socket that somebody else bound is the one that `bind` would make."""
    where = parse_listen(listen)
    name = sock.getsockname()
    if where.path is not None:
        return sock.family == socket.AF_UNIX and name == where.path
    if sock.family == socket.AF_UNIX or not where.port:
        return False
    with suppress(OSError):
        family, address = _resolve(where)
        return sock.family == family and name[:2] == address[:2]
    return False


def _bind_tcp(where: Listen) -> socket.socket:
    family, address = _resolve(where)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let another process take the port over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            both = where.host in ("", "::") and socket.has_dualstack_ipv6()
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both))
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _resolve(where: Listen) -> tuple[int, tuple[Any, ...]]:
    if not where.host:
        if socket.has_dualstack_ipv6():
            return socket.AF_INET6, ("::", where.port)
        return socket.AF_INET, ("0.0.0.0", where.port)  # noqa: S104  # asked for
    found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, address


def _bind_unix(path: str) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, SOCKET_MODE)  # nobody can connect before `listen`
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Take away a socket that a dead process left behind, and nothing else."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except TimeoutError:
            pass  # its queue is full: somebody listens
    raise OSError(errno.EADDRINUSE, "in use")


def _sentence(exc: OSError) -> str:
    if isinstance(exc, socket.gaierror):
        return f"the name does not resolve ({exc.strerror})"
    if exc.errno == errno.EADDRINUSE:
        return "the address is in use; another process listens there"
    if exc.errno in (errno.EACCES, errno.EPERM):
        return "permission denied (ports below 1024 need root or CAP_NET_BIND_SERVICE, a Unix socket its directory)"
    if exc.errno == errno.EADDRNOTAVAIL:
        return "no interface of this machine has this address"
    return (exc.strerror or str(exc)).lower()
