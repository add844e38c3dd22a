"""Stopping: what is in flight ends well, new connections are refused, and the exit code is 0."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

from support.client import connected
from support.origin import origin
from support.process import free_port, refuses, running
from support.websocket import opened, websocket_target

if TYPE_CHECKING:
    from pathlib import Path

    from websockets.sync.server import ServerConnection

    from support.origin import Visit
    from support.process import Running

PATIENCE = 20.0


async def wait_then_answer(visit: Visit) -> None:
    visit.server.event("asked").set()
    await visit.server.waited("answer")
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")


async def half_an_answer(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
    visit.server.event("asked").set()
    await visit.server.waited("answer")
    await visit.send(b"half")


def config(tmp_path: Path, url: str, workers: int = 1, drain: str = "20s") -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(
        f'[server]\nlisten = "127.0.0.1:0"\nworkers = {workers}\ndrain_timeout = "{drain}"\n'
        f'[access_log]\nformat = "off"\n[[routes]]\nupstream = "{url}"\n'
    )
    return path


def wait_until_refused(port: int) -> None:
    """New connections are refused before what is in flight has ended; each try takes its time by itself."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if refuses(port):
            return
        pause.wait(0.05)
    msg = "new connections are still taken"
    raise AssertionError(msg)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_in_flight_is_answered_and_idle_and_new_connections_are_closed(
    tmp_path: Path, workers: int
):
    with origin(wait_then_answer) as server, running("gateway", "run", "-c", config(tmp_path, server.url, workers)) as process:
        port = process.port()
        with connected(port) as client, connected(port) as idle:
            client.request("/")
            server.wait("asked")
            process.kill()
            assert idle.closed()
            wait_until_refused(port)
            server.event("answer").set()
            answer = client.read()
            assert answer.body == b"done"
            assert answer.get("connection") == b"close"
        assert process.ended() == 0
    assert "Traceback" not in process.output


def test_an_answer_that_has_begun_is_finished(tmp_path: Path):
    with origin(half_an_answer) as server, running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
        with connected(process.port()) as client:
            client.request("/")
            server.wait("asked")
            process.kill()
            wait_until_refused(process.port())
            server.event("answer").set()
            assert client.read().body == b"halfhalf"
        assert process.ended() == 0


def test_what_is_not_over_after_drain_timeout_is_broken_off(tmp_path: Path):
    with origin(half_an_answer) as server:
        with running("gateway", "run", "-c", config(tmp_path, server.url, drain="1s")) as process:
            with connected(process.port()) as client:
                client.request("/")
                server.wait("asked")
                process.kill()
                answer = client.read()
                assert answer.status == 200
                assert not answer.complete
            assert process.ended() == 0
    assert "Traceback" not in process.output


def test_a_websocket_lives_on_until_drain_timeout_and_ends_with_it(tmp_path: Path):
    ended = threading.Event()

    def serve(connection: ServerConnection) -> None:
        try:
            for message in connection:
                connection.send(message)
        finally:
            ended.set()

    with websocket_target(serve) as target:
        with running("gateway", "run", "-c", config(tmp_path, target.url, drain="2s")) as process:
            port = process.port()
            with opened(port) as client:
                client.send("before")
                assert client.recv(PATIENCE) == "before"
                process.kill()
                wait_until_refused(port)
                client.send("meanwhile")
                assert client.recv(PATIENCE) == "meanwhile"
                with pytest.raises(ConnectionClosed):
                    client.recv(PATIENCE)
            assert process.ended() == 0
        assert ended.wait(PATIENCE)
    assert "Traceback" not in process.output


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path):
    with origin(wait_then_answer) as server, running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
        with connected(process.port()) as client:
            client.request("/")
            server.wait("asked")
            process.kill(signal.SIGINT)
            process.wait_for("Waiting for connections to close")
            process.kill(signal.SIGINT)
            process.ended()
    assert "Traceback" not in process.output


def test_a_stop_while_the_gateway_starts_is_a_stop(tmp_path: Path):
    with origin() as server:
        process: Running
        with running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
            process.wait_for('"listening"')
            assert process.stop() == 0
    assert "Traceback" not in process.output


def test_proxy_stops_as_run_does():
    port = free_port()
    with origin(wait_then_answer) as server:
        with running("gateway", "proxy", server.url, "--from", f"127.0.0.1:{port}") as process:
            process.wait_for('"listening"')
            with connected(port) as client:
                client.request("/")
                server.wait("asked")
                process.kill(signal.SIGINT)
                wait_until_refused(port)
                server.event("answer").set()
                assert client.read().body == b"done"
            assert process.ended() == 0
    assert refuses(port)
