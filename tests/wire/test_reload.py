"""Another configuration while requests run: what stays, what changes, and what a bad file does."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.admin.control import control_directory
from support.client import Client, connected, get
from support.load import Load
from support.origin import origin, respond
from support.process import running
from support.websocket import opened, websocket_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.origin import Origin, Visit
    from support.process import Running

PATIENCE = 20.0
FRESH = "Cache-Control: max-age=60"


async def wait_then_answer(visit: Visit) -> None:
    visit.server.event("asked").set()
    await visit.server.waited("answer")
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")


def named(name: bytes) -> Any:
    return respond(200, name)


class Site:
    """A gateway with a file that can be written anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process: Running = None  # type: ignore[assignment]  # set by `served`

    def write(self, *targets: str, more: str = "", server: str = "", upstream: str = "", route: str = "") -> None:
        urls = ", ".join(f'"{target}"' for target in targets)
        self.path.write_text(
            f'[server]\nlisten = "127.0.0.1:0"\n{server}\n[access_log]\nformat = "off"\n'
            f"[upstreams.api]\ntargets = [{urls}]\n{upstream}\n[[routes]]\nname = \"all\"\nupstream = \"api\"\n{route}\n{more}"
        )

    @property
    def port(self) -> int:
        return self.process.port()

    def order(self, method: str, path: str, **body: object) -> list[dict[str, Any]]:
        """What each process says on its control socket."""
        said = []
        for name in control_directory(self.path).sockets().values():
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(str(name))
                text = json.dumps(body).encode() if body else b""
                said.append(json.loads(Client(sock).get(path, "Content-Type: application/json", method=method, body=text).body))
        return said

    def reload(self) -> dict[str, Any]:
        said = self.order("POST", "/reload")
        assert all(one["ok"] for one in said), said
        return said[0]

    def target(self, url: str) -> dict[str, Any]:
        [status] = self.order("GET", "/status")
        return next(target for target in status["upstreams"]["api"]["targets"] if target["url"] == url)


@contextmanager
def served(tmp_path: Path, *targets: str, **texts: str) -> Iterator[Site]:
    site = Site(tmp_path / "routes.toml")
    site.write(*targets, **texts)
    with running("gateway", "run", "-c", site.path) as process:
        site.process = process
        process.wait_for("Application startup complete", 2 if "workers = 2" in texts.get("server", "") else 1)
        yield site
        assert process.stop() == 0
    assert "Traceback" not in process.output


# ---------------------------------------------------------------- what a reload does


BETA = '[[routes]]\nupstream = "api"\ncache = true\nheaders = { "X-Beta" = "*" }\n'
STABLE = '[[routes]]\nupstream = "api"\ncache = true\n'


def test_what_a_route_has_stored_is_not_found_by_another_that_takes_its_place(tmp_path: Path):
    with origin(respond(200, b"beta", FRESH), respond(200, b"stable", FRESH), respond(500)) as server:
        with served(tmp_path, server.url) as site:
            start = site.path.read_text().partition("[[routes]]")[0]
            for routes in (BETA + STABLE, STABLE, BETA + STABLE):
                site.path.write_text(start + routes)
                site.reload()
                if "X-Beta" in routes:
                    assert get(site.port, "/x", "X-Beta: 1").body == b"beta"
                else:
                    assert get(site.port, "/x").body == b"stable"


def test_what_a_route_has_stored_stays_unless_other_answers_are_to_be_expected(tmp_path: Path):
    with origin(respond(200, b"old", FRESH), respond(200, b"moved", FRESH), respond(500)) as server:
        with served(tmp_path, server.url, route="cache = true") as site:
            assert get(site.port, "/x").body == b"old"
            site.write(server.url, route='cache = { ttl = "1s" }\nmax_body = "1KiB"', upstream="balance = 'random'")
            site.reload()
            assert get(site.port, "/x").body == b"old"
            site.write(server.url, route='cache = true\nadd_prefix = "/elsewhere"')
            site.reload()
            assert get(site.port, "/x").body == b"moved"
        assert [request.target for request in server.requests] == [b"/x", b"/elsewhere/x"]


@pytest.mark.parametrize("workers", [1, 2])
def test_reloads_under_load_lose_nothing_and_are_followed_by_all_workers(tmp_path: Path, workers: int):
    with origin(named(b"a")) as a, origin(named(b"b")) as b:
        with served(tmp_path, a.url, server=f"workers = {workers}") as site, Load(site.port) as load:
            for turn in range(4):
                load.more()
                site.write((b if turn % 2 == 0 else a).url, server=f"workers = {workers}")
                site.process.kill(signal.SIGHUP)
                site.process.wait_for("configuration reloaded", workers * (turn + 1))
            site.write(b.url, server=f"workers = {workers}")
            site.reload()
            load.more()  # what was under way to the old target has arrived there
            before = len(a.requests)
            load.more(200)
            assert len(a.requests) == before
            assert len({one["digest"] for one in site.order("POST", "/reload")}) == 1
    assert load.failures == []


def test_what_has_changed_is_told_in_words(tmp_path: Path):
    with origin() as a, origin() as b, served(tmp_path, a.url) as site:
        site.write(a.url, b.url, server='drain_timeout = "7s"\nworkers = 3', route='path = "/v1/*"',
                   more='[[routes]]\nname = "more"\nrespond = { body = "x" }\n')  # fmt: skip
        said = site.reload()
        assert said["lines"] == [
            "+ route more",
            "~ route all: path",
            f"+ target api/{b.url}",
            "~ server.drain_timeout",
            "! server.workers needs a restart",
        ]
        assert said["restart"] == ["server.workers"]
        assert get(site.port, "/").body == b"x"
        assert site.reload()["lines"] == []
        assert site.reload()["restart"] == ["server.workers"]  # still


def test_a_bad_file_changes_nothing_and_tells_all_faults(tmp_path: Path):
    with origin(named(b"a")) as a, served(tmp_path, a.url) as site:
        site.write("nonsense", server="drain_timeout = 30", route="proxy_pass = 1")
        [said] = site.order("POST", "/reload")
        assert (said["ok"], said["status"]) == (False, 422)
        assert len(said["faults"]) == 3
        assert f"{site.path}:3: server.drain_timeout" in said["faults"][0]
        site.process.kill(signal.SIGHUP)
        line = json.loads(site.process.wait_for("configuration not reloaded", 2))
        assert (line["level"], len(line["faults"])) == ("error", 3)
        assert get(site.port).body == b"a"


@pytest.mark.parametrize("target", ["asgi://no_such_module:app", "asgi://support.local_apps:fails_to_start"])
def test_a_local_app_that_does_not_start_leaves_all_as_it_was(tmp_path: Path, target: str):
    with origin(named(b"a")) as a, served(tmp_path, a.url) as site:
        site.write(target)
        [said] = site.order("POST", "/reload")
        assert (said["ok"], len(said["faults"])) == (False, 1)
        assert get(site.port).body == b"a"
        site.write(a.url)
        site.reload()
        assert get(site.port).body == b"a"


def test_the_file_is_watched_where_that_is_wanted(tmp_path: Path):
    with origin(named(b"a")) as a, origin(named(b"b")) as b, served(tmp_path, a.url, server="watch = true") as site:
        assert get(site.port).body == b"a"
        site.write(b.url, server="watch = true")
        site.process.wait_for("configuration reloaded")
        assert get(site.port).body == b"b"
        site.path.write_text("[")
        site.process.wait_for("configuration not reloaded")
        assert get(site.port).body == b"b"


def test_settings_of_connections_and_the_access_log_follow(tmp_path: Path):
    with origin() as a, served(tmp_path, a.url) as site:
        assert get(site.port, "/", "X: " + "x" * 2000).status == 200
        text = site.path.read_text().replace('format = "off"', f'format = "combined"\npath = "{tmp_path / "access.log"}"')
        site.path.write_text(text + '[server.limits]\nmax_header_size = "1KiB"\n')
        site.reload()
        assert get(site.port, "/", "X: " + "x" * 2000).status == 431
        assert get(site.port, "/seen").status == 200
        site.process.stop()
        assert '"GET /seen HTTP/1.1" 200' in (tmp_path / "access.log").read_text()
        site.process.kill = lambda *_: None  # type: ignore[method-assign]  # stopped already


# ---------------------------------------------------------------- what lives on


def test_a_target_keeps_its_counters_and_connections(tmp_path: Path):
    with origin() as a, origin() as b, served(tmp_path, a.url) as site:
        for _ in range(3):
            assert get(site.port).status == 200
        site.write(a.url, b.url, upstream='balance = "least_conn"\nmax_connections = 9')
        site.reload()
        assert site.target(a.url)["requests"] == 3
        for _ in range(2):
            assert get(site.port).status == 200
        assert (len(a.requests), len(b.requests)) == (4, 1)
        assert a.connections == 1


def test_other_weights_are_taken_by_targets_that_stay(tmp_path: Path):
    with origin() as a, origin() as b, served(tmp_path, a.url, b.url) as site:
        text = site.path.read_text()
        site.path.write_text(text.replace(f'"{a.url}"', f'{{ url = "{a.url}", weight = 3 }}'))
        assert site.reload()["lines"] == [f"~ target api/{a.url}: weight"]
        for _ in range(8):
            assert get(site.port).status == 200
        assert (len(a.requests), len(b.requests)) == (6, 2)


def test_a_request_under_way_ends_on_a_target_that_was_removed(tmp_path: Path):
    with origin(wait_then_answer) as a, origin(named(b"b")) as b, served(tmp_path, a.url) as site:
        with connected(site.port) as client:
            client.request("/")
            a.wait("asked")
            site.write(b.url)
            assert site.reload()["lines"] == [f"+ target api/{b.url}", f"- target api/{a.url}"]
            assert get(site.port).body == b"b"
            a.event("answer").set()
            assert client.read().body == b"done"
            assert client.get("/").body == b"b"  # the client's connection goes on
        closed(a)


def test_a_removed_target_is_left_at_the_latest_after_drain_timeout(tmp_path: Path):
    with origin(wait_then_answer) as a, origin(named(b"b")) as b, served(tmp_path, a.url) as site:
        with connected(site.port) as client:
            client.request("/")
            a.wait("asked")
            site.write(b.url, server='drain_timeout = "500ms"')
            site.reload()
            assert client.read().status == 502
        site.process.wait_for("removed targets were still busy")


def closed(server: Origin) -> None:
    """Until the origin has no connection of ours any more; its own view of that."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if not connections_to(server.port):
            return
        pause.wait(0.01)
    msg = "connections to a removed target stay open"
    raise AssertionError(msg)


def connections_to(port: int) -> int:
    """Established ones, from anywhere, as the system counts them."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[3] == "01" and row[2].endswith(f":{port:04X}") for row in rows)


def test_a_websocket_lives_through_reloads_even_on_another_upstream(tmp_path: Path):
    with websocket_target() as target, origin() as b, served(tmp_path, target.url) as site:
        with opened(site.port) as client:
            client.send("before")
            assert client.recv(PATIENCE) == "before"
            for _ in range(2):
                site.write(target.url, upstream="max_connections = 5",
                           more=f'[[routes]]\nname = "x"\npath = "/x"\nupstream = "{b.url}"\n')  # fmt: skip
                site.reload()
                client.send("after")
                assert client.recv(PATIENCE) == "after"


def test_a_local_app_that_stays_is_not_started_again(tmp_path: Path):
    app = "asgi://support.local_apps:counts_starts"
    with served(tmp_path, app) as site:
        assert get(site.port).body == b"1"
        site.write(app, upstream='host_header = "app"')
        assert site.reload()["lines"] == ["~ upstream api: host_header"]
        assert get(site.port).body == b"1"


# ---------------------------------------------------------------- other processes


def test_uvicorn_follows_sighup_and_the_control_socket(tmp_path: Path):
    site = Site(tmp_path / "routes.toml")
    with origin(named(b"a")) as a, origin(named(b"b")) as b:
        site.write(a.url)
        with running("uvicorn", "gateway.app:app", "--port", "0", env={"GATEWAY_CONFIG": str(site.path)}) as process:
            port = process.uvicorn_port()
            assert get(port).body == b"a"
            site.write(b.url)
            site.reload()
            assert get(port).body == b"b"
            site.write(a.url)
            process.kill(signal.SIGHUP)
            pause = threading.Event()
            for _ in range(int(PATIENCE / 0.02)):
                if get(port).body == b"a":
                    break
                pause.wait(0.02)
            assert get(port).body == b"a"
            assert os.path.exists(control_directory(site.path).path)
            process.stop(signal.SIGINT)
    assert not os.path.exists(control_directory(site.path).path)
