"""The load: wrk over keep-alive connections, and connections that only wait."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.processes import LOOPBACK, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.scenarios import Scenario

SCRIPT: Final = Path(__file__).with_name("wrk.lua")
CONNECTIONS: Final = 32
PATIENCE: Final = 20.0
AT_ONCE: Final = 200  # idle connections whose first request is under way at the same time


@dataclass(frozen=True)
class Load:
    """What wrk counted. Times are seconds; the percentiles are those of a closed loop, for comparison only."""

    requests: int
    seconds: float
    p50: float
    p99: float


def drive(port: int, scenario: Scenario, seconds: float, core: int) -> Load:
    """Ask as fast as answers come, on one thread. Raises Failure where one of them was not as it should be."""
    done = subprocess.run(
        [
            "taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency",
            "-s", str(SCRIPT), f"http://{LOOPBACK}:{port}/", "--",
            "varied" if scenario.varied else "same", scenario.path_before, str(scenario.routes), scenario.path_behind, scenario.accepts,
        ],
        capture_output=True, text=True, check=False, timeout=seconds + PATIENCE,
    )  # fmt: skip
    if done.returncode:
        raise Failure(f"wrk: {(done.stdout + done.stderr)[-300:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found.pop("bad") or not found["requests"]:
        raise Failure(f"not all requests were answered with 200: {done.stdout[-600:]}")
    return Load(**found)


def check(port: int, scenario: Scenario) -> None:
    """One request, whose answer has to be right. Raises Failure."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
    try:
        connection.request("GET", f"{scenario.path(scenario.routes - 1)}?page=1", headers={"Accept-Encoding": scenario.accepts})
        answer = connection.getresponse()
        body = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
    except (OSError, EOFError, zlib.error, http.client.HTTPException) as exc:
        raise Failure(f"no answer: {exc!r}") from None
    finally:
        connection.close()
    if answer.status != 200 or len(body) != scenario.size:
        raise Failure(f"answers {answer.status} with {len(body)} bytes, not 200 with {scenario.size}")
    for name, value in scenario.expects:
        if answer.headers.get(name) != value:
            raise Failure(f"{name} is {answer.headers.get(name)!r} and not {value!r}")


@contextlib.contextmanager
def idle(port: int, scenario: Scenario) -> Iterator[None]:
    """Connections that have had an answer each and ask nothing more until the block ends. Raises Failure."""
    request = f"GET {scenario.path(0)} HTTP/1.1\r\nHost: www.example.com\r\n\r\n".encode()
    with contextlib.ExitStack() as held:
        for at in range(0, scenario.idle, AT_ONCE):
            group = []
            for _ in range(min(AT_ONCE, scenario.idle - at)):
                sock = held.enter_context(socket.create_connection((LOOPBACK, port), PATIENCE))
                sock.sendall(request)
                group.append(sock)
            for sock in group:
                received = 0
                while received < scenario.size:
                    data = sock.recv(65536)
                    if not data:
                        raise Failure(f"closed one of {scenario.idle} idle connections")
                    received += len(data)
        yield
