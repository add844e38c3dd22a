"""The admin API over real sockets: who may give orders, what is said, and that all processes hear it."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gateway.admin.control import control_directory
from support.client import Answer, Client, connected
from support.process import free_port, running
from support.serving import forwarding, gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "2b7e151628aed2a6"


@pytest.fixture
def listen() -> str:
    return f"127.0.0.1:{free_port()}"


def ask(listen: str, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> tuple[Answer, dict[str, Any]]:
    with connected(int(listen.rpartition(":")[2])) as client:
        answer = client.get(target, f"Host: {listen}", *fields, method=method, body=body)
        assert client.closed()
    return answer, json.loads(answer.body)


@pytest.fixture
def config(tmp_path: Path, listen: str) -> Iterator[Path]:
    path = tmp_path / "routes.toml"
    path.write_text(
        f'[server]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "{listen}"\n[access_log]\nformat = "off"\n'
        '[[routes]]\nupstream = "http://127.0.0.1:1"\n'
    )
    return path


def test_without_admin_listen_nothing_listens_but_the_gateway():
    with gateway(forwarding("http://127.0.0.1:1")) as front:
        assert front.app._fleet._listeners == []


def test_status_tells_of_upstreams_and_targets(listen: str):
    options = forwarding("http://127.0.0.1:1", "http://127.0.0.1:2", admin={"listen": listen})
    with gateway(options):
        answer, said = ask(listen, "/status")
    assert answer.status == 200
    assert answer.get("content-type") == b"application/json"
    assert answer.get("cache-control") == b"no-store"
    assert said["ok"] is True
    [process] = said["processes"]
    assert process["pid"] == os.getpid()
    assert [target["name"] for target in process["upstreams"]["origin"]["targets"]] == ["127.0.0.1:1", "127.0.0.1:2"]


def test_the_token_is_needed_where_it_is_set(listen: str):
    with gateway(forwarding("http://127.0.0.1:1", admin={"listen": listen, "token": TOKEN})):
        answer, said = ask(listen, "/status")
        assert answer.status == 401
        assert answer.get("www-authenticate") == b'Bearer realm="gateway"'
        assert "processes" not in said
        assert ask(listen, "/status", f"Authorization: Bearer {TOKEN}")[0].status == 200


@pytest.mark.parametrize(
    ("request_line", "fields", "status"),
    [
        ("GET /nothing", [], 404),
        ("DELETE /status", [], 405),
        ("GET /status", ["Origin: http://evil.example"], 403),
        ("GET /status", ["Host: evil.example"], 421),
        ("GET /status", ["Transfer-Encoding: chunked"], 411),
        ("GET /status", ["Content-Length: 65537", "Content-Type: application/json"], 413),
        ("GET /status", ["Content-Length: 2", "Content-Type: text/plain"], 415),
        ("GET /status", ["X: " + "x" * 20000], 431),
        ("GET  /status", [], 400),
    ],
)
def test_what_is_not_followed_says_why(listen: str, request_line: str, fields: list[str], status: int):
    with gateway(forwarding("http://127.0.0.1:1", admin={"listen": listen})):
        if not any(field.startswith("Host") for field in fields):
            fields = [f"Host: {listen}", *fields]
        if "Transfer-Encoding: chunked" in fields:
            fields.append("Content-Type: application/json")
        with connected(int(listen.rpartition(":")[2])) as client:
            client.send("\r\n".join([f"{request_line} HTTP/1.1", *fields, "", ""]).encode())
            answer = client.read()
        assert answer.status == status
        assert json.loads(answer.body)["error"]


def test_a_second_gateway_with_the_same_admin_address_serves_all_the_same(config: Path, tmp_path: Path):
    other = tmp_path / "other.toml"
    other.write_text(config.read_text())
    with running("gateway", "run", "-c", config) as first:
        first.wait_for('"admin listener"')
        with running("gateway", "run", "-c", other) as second:
            second.wait_for("no admin listener")
            with connected(second.port()) as client:
                assert client.get("/-/healthz").status == 200
            assert (first.stop(), second.stop()) == (0, 0)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_workers_are_asked_whichever_has_the_listener(config: Path, listen: str, workers: str):
    with running("gateway", "run", "-c", config, env={"GATEWAY__SERVER__WORKERS": workers}) as process:
        process.wait_for('"admin listener"')
        process.wait_for("Application startup complete", int(workers))
        answer, said = ask(listen, "/status")
        pids = [one["pid"] for one in said["processes"]]
        assert answer.status == 200
        assert len(set(pids)) == int(workers)
        assert sorted(control_directory(config).sockets()) == sorted(pids)
        process.stop()
    assert not control_directory(config).path.exists()


def test_the_control_socket_speaks_for_its_process_alone(config: Path):
    with running("gateway", "run", "-c", config) as process:
        process.wait_for("Application startup complete")
        [(pid, path)] = control_directory(config).sockets().items()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            said = json.loads(Client(sock).get("/status").body)
        assert pid == said["pid"] == process.process.pid


def test_a_process_that_died_is_left_out(config: Path, listen: str):
    directory = control_directory(config)
    with running("gateway", "run", "-c", config) as process:
        process.wait_for('"admin listener"')
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(directory.path / "1.sock"))
        dead.close()
        _, said = ask(listen, "/status")
        assert [one["pid"] for one in said["processes"]] == [process.process.pid]
        (directory.path / "1.sock").unlink()


def test_without_a_private_place_for_control_sockets_it_serves_all_the_same(config: Path, listen: str, tmp_path: Path):
    (tmp_path / f"gateway-{os.getuid()}").mkdir(mode=0o755)
    with running("gateway", "run", "-c", config, env={"TMPDIR": str(tmp_path)}) as process:
        process.wait_for("no control socket")
        process.wait_for('"admin listener"')
        assert ask(listen, "/status")[0].status == 200
        assert process.stop() == 0
