"""`make run`: the sample services and the gateway start together, answer, and end together."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from samples.run import SERVICES, is_free

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PATIENCE = 45.0  # seconds, for five processes of Python


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


@pytest.fixture
def started(port: int) -> Iterator[subprocess.Popen[str]]:
    if not all_free():
        pytest.skip("the samples run already")
    process = subprocess.Popen(
        [sys.executable, "-m", "samples.run"],
        cwd=ROOT,
        env={**os.environ, "GATEWAY_LISTEN": f"127.0.0.1:{port}", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C stops everything" in line:
                break
        else:
            pytest.fail("it ended before it was up")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def children(process: subprocess.Popen[str]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in listed.split()]


def all_free() -> bool:
    return all(is_free(service.port) for service in SERVICES)


def test_the_samples_are_served_and_all_of_it_ends_on_a_signal(started: subprocess.Popen[str], port: int):
    answers = [json.loads(get(port, "/api/who")[1])["served_by"] for _ in range(6)]
    assert sorted(answers) == ["api-1"] * 4 + ["api-2"] * 2
    assert get(port, "/products/teapot")[0] == 200
    assert get(port, "/users/7")[0] == 200
    assert get(port, "/internal/report")[0] == 403
    assert get(port, "/old-shop/teapot")[0] == 308
    assert get(port, "/closed") == (503, b"Back soon.\n")

    started.send_signal(signal.SIGINT)
    assert started.wait(PATIENCE) == 0
    assert all_free()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_all_of_it_ends_when_one_dies(started: subprocess.Popen[str]):
    os.kill(children(started)[0], signal.SIGKILL)
    assert started.wait(PATIENCE) == 1
    assert all_free()
