"""A fleet: several `gateway run`s of several workers each, a slow origin, and clients that keep asking."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from support.process import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.process import Running

PATIENCE = 45.0


class Site(ThreadingHTTPServer):
    """An origin of real answers. What it says of a path changes when `version` does; `asked` counts requests by path.

    delay: seconds before an answer. cacheable: what Cache-Control says. size: bytes of a body.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: dict[str, int] = {}
        self.lock = threading.Lock()
        self.delay = 0.0
        self.cacheable = "max-age=3600"
        self.version = 1
        self.size = 1000
        self.status = 200

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a gateway that has gone is no fault


class _Page(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes, and the second would wait for an acknowledgement of the first

    def do_GET(self) -> None:
        site = self.server
        with site.lock:
            site.asked[self.path] = site.asked.get(self.path, 0) + 1
        time.sleep(site.delay)
        body = f"{self.path} version {site.version} ".encode().ljust(site.size, b".")
        self.send_response(site.status)
        self.send_header("Cache-Control", site.cacheable)
        self.send_header("Surrogate-Key", "pages " + self.path.strip("/").partition("/")[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        return


@contextmanager
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(PATIENCE)


class Member:
    """One `gateway run`. config: its file."""

    def __init__(self, program: Running, config: Path) -> None:
        self.program = program
        self.config = config
        self.port = program.port()


@contextmanager
def fleet(tmp_path: Path, origin: str, redis: str, *, gateways: int = 2, workers: int = 1, **options: Any) -> Iterator[list[Member]]:
    """They share one Redis, unless its URL is empty. options: `store`, or a list with that of each; `coalesce`, `timeout` of
    Redis."""
    store = options.get("store", "tiered")
    stores = [store] * gateways if isinstance(store, str) else store
    with contextlib.ExitStack() as stack:
        members = []
        for number in range(gateways):
            config = tmp_path / f"gateway-{number}.toml"
            config.write_text(
                f'[server]\nlisten = "127.0.0.1:0"\nworkers = {workers}\ndrain_timeout = "1s"\n[access_log]\nformat = "off"\n'
                f'[redis]\nurl = "{redis}"\ntimeout = "{options.get("timeout", "50ms")}"\n'
                f'[cache]\nstore = "{stores[number]}"\n'
                f'[[routes]]\nupstream = "{origin}"\ncache = {{ coalesce = "{options.get("coalesce", "global")}" }}\n'
            )
            members.append(Member(stack.enter_context(running("gateway", "run", "-c", config)), config))
        for member in members:
            until_all_serve(member, workers)
        yield members


def until_all_serve(member: Member, workers: int) -> None:
    """Every worker has taken a connection: they start one after the other."""
    end = time.monotonic() + PATIENCE
    while member.program.output.count("Application startup complete") < workers:
        assert time.monotonic() < end, member.program.output
        time.sleep(0.02)


class Result:
    """at: when it was asked. seconds: how long it took. problem: empty where there was an answer."""

    def __init__(self, path: str, at: float, seconds: float, status: int, body: bytes, problem: str) -> None:
        self.path = path
        self.at = at
        self.seconds = seconds
        self.status = status
        self.body = body
        self.problem = problem

    @property
    def well(self) -> bool:
        return not self.problem and self.status == 200

    @property
    def version(self) -> int:
        """Of the page, which is that of the path. Raises ValueError where it is another, or damaged."""
        head, _, filled = self.body.partition(b" version ")
        version, _, rest = filled.partition(b" ")
        if head != self.path.encode() or rest.strip(b"."):
            raise ValueError(f"{self.path} was answered by {self.body[:80]!r}")
        return int(version)


def ask(connection: http.client.HTTPConnection, path: str) -> Result:
    started = time.perf_counter()
    try:
        connection.request("GET", path, headers={"Host": "shop.test"})  # the same for all members
        response = connection.getresponse()
        body = response.read()
        return Result(path, started, time.perf_counter() - started, response.status, body, "")
    except (OSError, http.client.HTTPException) as exc:
        connection.close()
        return Result(path, started, time.perf_counter() - started, 0, b"", repr(exc))


class Load:
    """Clients that ask for paths one after the other, with a pause between, until `stop`."""

    def __init__(self, ports: list[int], paths: list[str], *, clients: int = 4, pause: float = 0.004) -> None:
        self.results: list[Result] = []
        self._paths = paths
        self._pause = pause
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(ports[number % len(ports)], number)) for number in range(clients)
        ]

    def _run(self, port: int, offset: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        number = offset
        while not self._ended.wait(self._pause):
            self.results.append(ask(connection, self._paths[number % len(self._paths)]))
            number += 7
        connection.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def until(self, count: int) -> None:
        """So many more requests have been answered."""
        wanted = len(self.results) + count
        end = time.monotonic() + PATIENCE
        while len(self.results) < wanted:
            assert time.monotonic() < end, "the load has stopped"
            time.sleep(0.005)


def all_at_once(ports: list[int], path: str, clients: int) -> list[Result]:
    """So many clients with connections of their own ask for one path in the same moment."""
    barrier = threading.Barrier(clients)
    results: list[Result] = []

    def one(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.connect()
        barrier.wait(PATIENCE)
        results.append(ask(connection, path))
        connection.close()

    threads = [threading.Thread(target=one, args=(ports[number % len(ports)],)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return results
