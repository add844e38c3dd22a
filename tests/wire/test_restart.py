"""One process after another at the same address, under load: no request is lost."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.client import connected, get
from support.load import Load
from support.origin import origin, respond
from support.process import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.process import Running


def config(tmp_path: Path, url: str, listen: str, workers: int = 1, more: str = "") -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(
        f'[server]\nlisten = "{listen}"\nworkers = {workers}\n[access_log]\nformat = "off"\n[[routes]]\nupstream = "{url}"\n{more}'
    )
    return path


@pytest.mark.parametrize("workers", [1, 2])
def test_a_successor_takes_the_sockets_over_and_no_request_is_lost(tmp_path: Path, workers: int):
    port = free_port()
    with origin(respond(200, b"here")) as server:
        path = config(tmp_path, server.url, f"127.0.0.1:{port}", workers)
        with running("gateway", "run", "-c", path) as old:
            old.wait_for("Application startup complete", workers)
            with Load(port) as load:
                load.more()
                with running("gateway", "run", "-c", path) as new:
                    new.wait_for("listening socket taken over")
                    new.wait_for("Application startup complete", workers)
                    load.more()
                    assert old.stop() == 0
                    load.more(200)
                    load.end()
                    assert new.stop() == 0
    assert load.failures == []


def test_the_old_one_may_be_stopped_before_the_new_one_serves(tmp_path: Path):
    port = free_port()
    with origin(respond(200, b"here")) as server:
        path = config(tmp_path, server.url, f"127.0.0.1:{port}")
        with running("gateway", "run", "-c", path) as old:
            old.wait_for("Application startup complete")
            with running("gateway", "run", "-c", path) as new:
                old.wait_for("listening sockets handed over")
                assert old.stop() == 0
                assert get(port).body == b"here"  # it has waited in the queue
                assert new.stop() == 0


def test_another_file_does_not_take_over_what_is_not_its_own(tmp_path: Path):
    port = free_port()
    with origin(respond(200, b"here")) as server:
        path = config(tmp_path, server.url, f"127.0.0.1:{port}")
        other = tmp_path / "other.toml"
        other.write_text(path.read_text())
        with running("gateway", "run", "-c", path) as first:
            first.wait_for("Application startup complete")
            with running("gateway", "run", "-c", other) as second:
                assert second.ended() == 1
                assert "the address is in use; another process listens there" in second.output
            assert first.stop() == 0


def test_a_unix_socket_and_the_admin_listener_are_taken_over_too(tmp_path: Path):
    admin = f"127.0.0.1:{free_port()}"
    path = config(tmp_path, "http://127.0.0.1:1", f"unix:{tmp_path}/in.sock", more=f'[admin]\nlisten = "{admin}"\n')
    with running("gateway", "run", "-c", path) as old:
        old.wait_for("Application startup complete")
        with running("gateway", "run", "-c", path) as new:
            new.wait_for("Application startup complete")
            new.wait_for('"admin listener"')
            assert old.stop() == 0
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(f"{tmp_path}/in.sock")
            assert get(int(admin.rpartition(":")[2]), "/status", f"Host: {admin}").status == 200
            assert new.stop() == 0


# ---------------------------------------------------------------- systemd


PASSING = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def activated(sock: socket.socket, *command: str) -> Iterator[Running]:
    """A process that is passed a socket, as systemd does it."""
    gateway = os.path.join(os.path.dirname(sys.executable), command[0])
    fd = os.dup(sock.fileno())
    os.set_inheritable(fd, True)
    try:
        with running("python", "-c", PASSING, str(fd), gateway, *command[1:], pass_fds=[fd]) as process:
            yield process
    finally:
        os.close(fd)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_socket_of_systemd_takes_the_place_of_listen_and_keeps_what_comes_between_two_processes(tmp_path: Path, workers: int):
    with origin(respond(200, b"here")) as server, socket.create_server(("127.0.0.1", 0)) as passed:
        port = passed.getsockname()[1]
        path = config(tmp_path, server.url, "192.0.2.1:80", workers)
        with activated(passed, "gateway", "run", "-c", str(path)) as first:
            assert first.port() == port
            with connected(port) as client:
                assert client.get("/").body == b"here"
            first.wait_for("Application startup complete", workers)
            assert first.stop() == 0
        with connected(port) as client:
            client.request("/")
            with activated(passed, "gateway", "run", "-c", str(path)) as second:
                assert client.read().body == b"here"
                second.wait_for("Application startup complete", workers)
                assert second.stop() == 0
