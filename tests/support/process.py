"""Programs as people start them: in a process of their own, stopped by a signal, judged by output and exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATIENCE = 20.0
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parent.parent.parent
_ADDRESS = re.compile(r'"address": "[^"]*?:(\d+)"')
_UVICORN = re.compile(r"running on https?://[^\s:]+:(\d+)")


class Running:
    """A process whose output is read as it comes. lines: standard output and error, joined."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str, count: int = 1) -> str:
        """The first line that holds `text`, of the last one of `count`; waits until it is printed."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._more:
            self._more.wait_for(lambda: len(found()) >= count or self._ended, PATIENCE)
            assert len(found()) >= count, f"{text!r} was not printed, but:\n{self.output}"
            return found()[count - 1]

    def port(self, number: int = 1) -> int:
        """Of the listener that was told as the first, the second ..."""
        matched = _ADDRESS.search(self.wait_for('"listening"', number))
        assert matched is not None
        return int(matched[1])

    def uvicorn_port(self) -> int:
        """Where a plain uvicorn says that it listens."""
        matched = _UVICORN.search(self.wait_for("running on http"))
        assert matched is not None
        return int(matched[1])

    def events(self) -> list[str]:
        """The messages that were logged as JSON."""
        return [json.loads(line)["message"] for line in self.lines if line.startswith("{")]

    def kill(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.kill(number)
        return self.ended()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()
        self.process.stdout.close()


@contextmanager
def running(
    *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, pass_fds: Sequence[int] = ()
) -> Iterator[Running]:
    """`gateway` and other programs of this environment by their bare names. Killed at the end if it still runs."""
    program, *arguments = map(str, command)
    process = subprocess.Popen(
        [str(BIN / program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=_environment(env),
        cwd=cwd,
        pass_fds=pass_fds,
        start_new_session=True,  # a Ctrl-C in the terminal is not for it
    )
    started = Running(process)
    try:
        yield started
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        started.ended()


def finished(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run it to its end: exit code, standard output, standard error."""
    program, *arguments = map(str, command)
    done = subprocess.run(
        [str(BIN / program), *arguments], capture_output=True, text=True, env=_environment(env), cwd=cwd,
        timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWAY", "COV_", "COVERAGE"))}
    source = [] if os.environ.get("GATEWAY_TEST_INSTALLED") else [str(ROOT)]
    return {**ours, "PYTHONPATH": os.pathsep.join([*source, str(ROOT / "tests")]), "PYTHONUNBUFFERED": "1", **(more or {})}


def free_port() -> int:
    """A port that nobody listens on, for what must know its port before it runs."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def refuses(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
            return False
    except (ConnectionRefusedError, ConnectionResetError):
        return True
