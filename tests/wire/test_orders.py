"""`gateway status`, `reload`, `drain` and `enable`, as people call them, to a gateway that runs."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.admin.control import control_directory
from support.client import connected, get
from support.origin import origin, respond
from support.process import finished, running
from support.serving import forwarding, gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.origin import Visit
    from support.process import Running

OK, BAD = 0, 1


def put(path: Path, *targets: str, workers: int = 1) -> Path:
    urls = ", ".join(f'"{target}"' for target in targets)
    path.write_text(
        f'[server]\nlisten = "127.0.0.1:0"\nworkers = {workers}\n[access_log]\nformat = "off"\n'
        f'[upstreams.api]\ntargets = [{urls}]\n[[routes]]\nname = "all"\nupstream = "api"\n'
    )
    return path


@contextmanager
def serving(path: Path, workers: int = 1) -> Iterator[Running]:
    with running("gateway", "run", "-c", path) as process:
        process.wait_for("Application startup complete", workers)
        yield process
        assert process.stop() == OK
    assert "Traceback" not in process.output


def order(path: Path, *words: str) -> tuple[int, str, str]:
    return finished("gateway", words[0], "-c", path, *words[1:])


@pytest.mark.parametrize("verb", [["status"], ["reload"], ["drain", "api/x"], ["enable", "api/x"]])
def test_without_a_gateway_that_serves_the_file_there_is_nobody_to_tell(tmp_path: Path, verb: list[str]):
    path = put(tmp_path / "routes.toml", "http://127.0.0.1:1")
    assert order(path, *verb) == (BAD, "", f"gateway: no gateway runs with {path}\n")


def test_status_lists_targets_with_the_counters_of_all_processes(tmp_path: Path):
    with origin() as a, origin() as b:
        path = put(tmp_path / "routes.toml", a.url, b.url, workers=2)
        with serving(path, 2) as process:
            for _ in range(6):
                assert get(process.port()).status == 200
            code, out, err = order(path, "status")
            assert (code, err) == (OK, "")
            rows = [line.split() for line in out.splitlines()]
            assert [row[:1] + row[2:3] for row in rows[:2]] == [["process", "ready"]] * 2
            assert rows[3][:3] == ["UPSTREAM", "TARGET", "STATE"]
            assert sorted(row[:3] for row in rows[4:]) == sorted(["api", f"127.0.0.1:{one.port}", "ready"] for one in (a, b))
            assert sum(int(row[4]) for row in rows[4:]) == 6
            said = json.loads(order(path, "status", "--json")[1])
            assert [one["state"] for one in said] == ["ready", "ready"]


def test_reload_tells_what_has_changed_and_what_keeps_it_from_that(tmp_path: Path):
    with origin() as a, origin() as b:
        path = put(tmp_path / "routes.toml", a.url, workers=2)
        with serving(path, 2):
            assert order(path, "reload") == (OK, "nothing has changed\n", "")
            put(path, a.url, b.url, workers=3)
            assert order(path, "reload") == (OK, f"+ target api/{b.url}\n! server.workers needs a restart\n", "")
            assert order(path, "reload") == (OK, "nothing has changed\n! server.workers needs a restart still\n", "")
            put(path, "nonsense")
            code, out, err = order(path, "reload")
            assert (code, out) == (BAD, "")
            assert err.splitlines()[0] == "gateway: the configuration cannot be used; nothing has changed"
            assert err.splitlines()[1].startswith(f"{path}:7: upstreams.api.targets[0]")
            assert len(err.splitlines()) == 2  # once, and not for every process


async def wait_then_answer(visit: Visit) -> None:
    visit.server.event("asked").set()
    await visit.server.waited("answer")
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")


def test_a_drained_target_ends_what_is_under_way_and_gets_no_more(tmp_path: Path):
    with origin(wait_then_answer) as a, origin(respond(200, b"b")) as b:
        path = put(tmp_path / "routes.toml", a.url, b.url)
        name = f"api/127.0.0.1:{a.port}"
        with serving(path) as process, connected(process.port()) as client:
            client.request("/")
            a.wait("asked")
            assert order(path, "drain", name) == (OK, f"{name} is drained; 1 request under way\n", "")
            assert [get(process.port()).body for _ in range(4)] == [b"b"] * 4
            a.event("answer").set()
            assert client.read().body == b"done"
            assert order(path, "enable", name) == (OK, f"{name} is enabled; 0 requests under way\n", "")
            assert sorted(get(process.port()).body for _ in range(2)) == [b"b", b"done"]


def test_draining_lasts_over_reloads_restarts_and_dead_workers(tmp_path: Path):
    with origin(respond(200, b"a")) as a, origin(respond(200, b"b")) as b:
        path = put(tmp_path / "routes.toml", a.url, b.url, workers=2)
        name = f"api/127.0.0.1:{a.port}"
        with serving(path, 2) as process:
            assert order(path, "drain", name)[0] == OK
            put(path, b.url, workers=2)
            assert order(path, "reload")[0] == OK
            put(path, a.url, b.url, workers=2)  # it goes and comes
            assert order(path, "reload")[0] == OK
            os.kill(min(control_directory(path).sockets()), signal.SIGKILL)
            process.wait_for("Application startup complete", 3)
            assert {get(process.port()).body for _ in range(10)} == {b"b"}
        with serving(path, 2) as process:
            process.wait_for("targets are drained still", 2)
            assert {get(process.port()).body for _ in range(10)} == {b"b"}
            assert order(path, "enable", name)[0] == OK
        with serving(path, 2) as process:
            assert {get(process.port()).body for _ in range(10)} == {b"a", b"b"}
    assert not control_directory(path).path.exists()


def test_a_target_that_is_not_there_is_told_with_those_that_are(tmp_path: Path):
    path = put(tmp_path / "routes.toml", "http://127.0.0.1:1", "http://127.0.0.1:2")
    with serving(path):
        for wrong in ("api/127.0.0.1:3", "api/127.0.0.1", "api", "127.0.0.1:1", "no/127.0.0.1:1"):
            code, out, err = order(path, "drain", wrong)
            assert (code, out) == (BAD, "")
            assert err == f'gateway: there is no one target "{wrong}"; there are api/127.0.0.1:1, api/127.0.0.1:2\n'


@pytest.mark.parametrize("name", ["origin", "origin/127.0.0.1:1", "origin/127.0.0.1", "origin/http://127.0.0.1:1"])
def test_a_target_is_called_by_address_url_or_host_and_a_single_one_by_its_upstream(name: str):
    from gateway.admin.drain import find

    with gateway(forwarding("http://127.0.0.1:1")) as front:
        upstreams = front.app._gateway.snapshot.upstreams
        assert find(upstreams.values(), name) == (upstreams["origin"], upstreams["origin"].targets[0])
