"""Stopping: what is in flight ends well, new connections are refused, and the exit code is 0."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

from gateway.admin.control import control_directory
from support.client import connected
from support.origin import origin
from support.process import free_port, refuses, running
from support.websocket import CLOSE, accept, frame, handshake, opened, websocket_target

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


def test_a_websocket_is_closed_with_1012_on_both_sides_at_once(tmp_path: Path):
    codes: list[int | None] = []
    ended = threading.Event()

    def serve(connection: ServerConnection) -> None:
        try:
            for message in connection:
                connection.send(message)
        finally:
            codes.append(connection.close_code)
            ended.set()

    with websocket_target(serve) as target:
        with running("gateway", "run", "-c", config(tmp_path, target.url)) as process:
            with opened(process.port()) as client:
                client.send("before")
                assert client.recv(PATIENCE) == "before"
                process.kill()
                with pytest.raises(ConnectionClosed) as caught:
                    client.recv(PATIENCE)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1012
            assert process.ended() == 0
        assert ended.wait(PATIENCE)
        assert codes == [1012]
    assert "Traceback" not in process.output


def test_a_frame_under_way_reaches_its_side_whole_before_the_close(tmp_path: Path):
    async def target(visit: Visit) -> None:
        whole = frame(b"hello")
        await accept(visit, whole[:4])
        await visit.server.waited("go on")
        await visit.send(whole[4:] + frame(b"too late"))
        seen.append(await visit.reader.readexactly(15 + 8))
        await visit.send(frame(b"\x03\xf4", CLOSE))
        await visit.closed()

    seen: list[bytes] = []
    with origin(target) as server, running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
        with connected(process.port()) as client:
            client.send(handshake())
            assert client.read_head().status == 101
            assert client.read_some(4) == frame(b"hello")[:4]
            begun = frame(b"from here", masked=True)
            client.send(begun[:6])
            process.kill()
            wait_until_refused(process.port())
            client.send(begun[6:])
            server.event("go on").set()
            assert client.read_some(7) == frame(b"hello")[4:] + b"\x88\x02\x03\xf4"
            client.send(frame(b"\x03\xf4", CLOSE, masked=True))
            assert client.closed()
        assert process.ended() == 0
    assert seen[0].startswith(begun[:15])
    assert seen[0][15:17] == b"\x88\x82"  # a close frame, masked


async def events_without_end(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    await visit.send(b"9\r\ndata: 1\n\n\r\n")
    await visit.server.waited("never")


def test_an_event_stream_ends_well_formed_at_once(tmp_path: Path):
    with origin(events_without_end) as server, running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
        with connected(process.port()) as client:
            client.request("/")
            client.read_head()
            assert client.read_chunk() == b"data: 1\n\n"
            process.kill()
            assert client.read_chunk() == b""
            assert client.closed()
        assert process.ended() == 0
    assert "broken_off" not in process.output


def test_a_request_that_comes_on_an_idle_connection_is_answered_as_its_last(tmp_path: Path):
    with origin() as server, running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
        with connected(process.port()) as client:
            assert client.get("/").status == 200
            process.kill()
            wait_until_refused(process.port())
            answer = client.get("/late")
            assert answer.status == 200
            assert answer.get("connection") == b"close"
            assert client.closed()
        assert process.ended() == 0


def test_pipelined_requests_are_all_answered_and_the_last_says_close(tmp_path: Path):
    with origin(wait_then_answer) as server, running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
        with connected(process.port()) as client:
            client.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait("asked")
            process.kill()
            wait_until_refused(process.port())
            server.event("answer").set()
            first, second = client.read(), client.read()
            assert (first.body, first.get("connection")) == (b"done", None)
            assert (second.body, second.get("connection")) == (b"done", b"close")
            assert client.closed()
        assert process.ended() == 0


def test_a_worker_that_dies_is_replaced_and_one_without_parent_stops(tmp_path: Path):
    with origin() as server, running("gateway", "run", "-c", config(tmp_path, server.url, 2)) as process:
        port = process.port()
        process.wait_for("Application startup complete", 2)
        first = min(control_directory(tmp_path / "routes.toml").sockets())
        os.kill(first, signal.SIGKILL)
        process.wait_for("worker died")
        process.wait_for("Application startup complete", 3)
        with connected(port) as client:
            assert client.get("/").status == 200
        process.kill(signal.SIGKILL)
        process.wait_for("the parent process is gone", 2)
        wait_until_refused(port)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path):
    with origin(wait_then_answer) as server, running("gateway", "run", "-c", config(tmp_path, server.url)) as process:
        with connected(process.port()) as client:
            client.request("/")
            server.wait("asked")
            process.kill(signal.SIGINT)
            process.wait_for('"draining"')
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
