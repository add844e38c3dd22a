"""Programs under measurement: each in a session of its own, pinned to its cores, its output in a file."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOOPBACK: Final = "127.0.0.1"
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
LOOK_AGAIN: Final = 0.02  # a port has no event to wait for


ROOT: Final = Path(__file__).parent.parent
_ON_INSTALLED: Final = "import runpy, sys; sys.path.append({root!r}); runpy.run_module({module!r}, run_name='__main__')"


def on_installed(module: str, *arguments: str) -> list[str]:
    """The command line of a module of ours over the gateway that is installed, which may be compiled, and not over the source in
    the working directory."""
    return [sys.executable, "-P", "-c", _ON_INSTALLED.format(root=str(ROOT), module=module), *arguments]


class Failure(Exception):
    """A program did not start, or did not do what its scenario asks of it."""


class Process:
    """A running program. `pid` is the root of its process tree."""

    def __init__(self, argv: Sequence[str], on: Sequence[int], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                ["taskset", "-c", ",".join(map(str, on)), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def wait_for(self, port: int) -> None:
        """Until something listens there. Raises Failure."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                raise Failure(f"ended with {self._popen.returncode}: {self.last_words()}")
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
                return
            time.sleep(LOOK_AGAIN)  # noqa: TID251 - no event loop runs here
        raise Failure(f"does not listen after {START_SECONDS:g} s: {self.last_words()}")

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-500:].strip()

    def stop(self) -> None:
        """Ask it to end, then make sure that nothing of its session is left."""
        self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


@contextlib.contextmanager
def running(
    argv: Sequence[str], port: int, on: Sequence[int], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A program from when it listens on `port` until the end of the block. Raises Failure."""
    process = Process(argv, on, log, environment or {})
    try:
        process.wait_for(port)
        yield process
    finally:
        process.stop()


def free_ports(count: int) -> list[int]:
    """Ports that nobody has; below the range that outgoing connections are given theirs from."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            if port not in found:
                found.append(port)
    return found
