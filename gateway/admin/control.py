"""Where the processes that serve one file find each other: a private directory with a socket for each of them.

The directory is named after the file, so `gateway reload -c FILE` needs no address and no token: who may open the
sockets is who runs the gateway, and root. A socket is named after its process, and is gone with it. What is to outlive
all of them lies beside: which targets were drained.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

PREFIX: Final = "gateway-"  # of a user's directory: gateway-1000
COMMANDS: Final = ".sock"
OFFERS: Final = ".take"  # whoever connects is given the listening sockets
DRAINED: Final = "drained.json"
BACKLOG: Final = 16
PATH_LIMIT: Final = 107  # bytes: `sun_path` of Linux, less its final NUL


class ControlDirectory:
    """path: it need not exist yet, and goes with the last process, unless targets are drained."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def bind(self, suffix: str = COMMANDS) -> socket.socket:
        """This process's own socket, listening. Raises OSError where the directory is not private, or not to be had."""
        for directory in (self.path.parent, self.path):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o700)
            _ask_for_private(directory)
        name = self.path / f"{os.getpid()}{suffix}"
        if len(os.fsencode(name)) > PATH_LIMIT:
            raise OSError(f"{name}: the path of a Unix socket is at most {PATH_LIMIT} bytes long")
        name.unlink(missing_ok=True)  # of a process that died, whose number is ours now
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(str(name))
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        return sock

    def release(self, *suffixes: str) -> None:
        """This process's sockets are no more; all of them if none is named."""
        for suffix in suffixes or (COMMANDS, OFFERS):
            with contextlib.suppress(OSError):
                (self.path / f"{os.getpid()}{suffix}").unlink(missing_ok=True)
        self._bury_dead()
        with contextlib.suppress(OSError):  # others are there, or drained targets
            self.path.rmdir()

    def _bury_dead(self) -> None:
        """Take away what processes left that died without a word."""
        for path in self.sockets().values():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
                probe.setblocking(False)
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    for left in (path, path.with_suffix(OFFERS)):
                        left.unlink(missing_ok=True)

    def changed_at(self) -> int:
        """Nanoseconds since the epoch when a socket came or went; 0 where there are none."""
        try:
            return self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def sockets(self) -> dict[int, Path]:
        """Where processes take orders, by process id. Some may have died."""
        return self._all(COMMANDS)

    def offers(self) -> list[Path]:
        """Where processes hand over their listening sockets."""
        return list(self._all(OFFERS).values())

    def drained(self) -> list[str]:
        """The targets that were taken out by hand and not in again, also by processes that are no more."""
        try:
            found = json.loads((self.path / DRAINED).read_bytes())
        except (OSError, ValueError):
            return []
        return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []

    def keep_drained(self, names: list[str]) -> None:
        """Raises OSError."""
        if not names:
            (self.path / DRAINED).unlink(missing_ok=True)
            return
        new = self.path / f"{os.getpid()}.new"
        new.write_text(json.dumps(names))
        new.replace(self.path / DRAINED)

    def _all(self, suffix: str) -> dict[int, Path]:
        found = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in self.path.glob(f"*{suffix}"):
                if entry.stem.isdecimal():
                    found[int(entry.stem)] = entry
        return dict(sorted(found.items()))


def control_directory(file: str | Path) -> ControlDirectory:
    """That of the processes of this user that serve the file."""
    return ControlDirectory(_base() / f"{PREFIX}{os.getuid()}" / _name(file))


def control_directories(file: str | Path) -> list[ControlDirectory]:
    """All that may hold the processes that serve the file: for root, those of every user."""
    if os.getuid():
        return [control_directory(file)]
    name = _name(file)
    return [ControlDirectory(user / name) for user in sorted(_base().glob(f"{PREFIX}*")) if (user / name).is_dir()]


def _base() -> Path:
    return Path(tempfile.gettempdir())


def _name(file: str | Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(file))).hexdigest()[:16]


def _ask_for_private(directory: Path) -> None:
    """Somebody else may have made it, and would then get the orders."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{directory} is not a directory of this user alone")
