"""Targets that come and go while the gateway serves: by DNS, by SRV, in a file, and by code of others."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import dns.rcode
import pytest
import trustme

from gateway.admin.status import status
from gateway.app import GatewayApp
from support.client import connected, get
from support.nameserver import nameserver
from support.origin import Step, Visit, origin, respond
from support.serving import gateway, on_both, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.nameserver import NameServer
    from support.origin import Origin
    from support.serving import Entrance, Served

SOON = "50ms"  # between two look-ups


def options(discover: dict[str, Any], **upstream: Any) -> dict[str, Any]:
    return {
        "upstreams": {"search": {"discover": discover, **upstream}},
        "routes": [{"name": "all", "path": "/*", "upstream": "search"}],
    }


def by_dns(server: NameServer, port: int, refresh: str = SOON, **more: Any) -> dict[str, Any]:
    return {"dns": "search.test", "port": port, "nameservers": [server.address], "refresh": refresh, "family": "ipv4", **more}


@contextmanager
def origins(count: int, *script: Step) -> Iterator[list[Origin]]:
    """On the same port of 127.0.0.1, 127.0.0.2 ..., each answering by its address where there is no script."""
    with ExitStack() as stack:
        first = stack.enter_context(origin(*(script or (respond(200, b"127.0.0.1"),))))
        others = [
            stack.enter_context(origin(*(script or (respond(200, host.encode()),)), host=host, port=first.port))
            for host in (f"127.0.0.{number}" for number in range(2, count + 1))
        ]
        yield [first, *others]


def names(front: Served) -> list[str]:
    return [target.name.partition(":")[0] for target in front.app._gateway.snapshot.upstreams["search"].targets]


def until_targets(front: Served, *expected: str) -> None:
    front.until(lambda: names(front) == list(expected))


# ---------------------------------------------------------------- DNS


@on_both
def test_each_address_is_a_target_and_the_name_is_what_host_says(entrance: Entrance):
    with nameserver() as server, origins(2) as (first, second):
        server.put("search.test", "A", first.host, second.host)
        with gateway(options(by_dns(server, first.port), host_header="upstream"), entrance) as front:
            assert {get(front.port).body for _ in range(4)} == {b"127.0.0.1", b"127.0.0.2"}
            assert {request.get("host") for one in (first, second) for request in one.requests} == {
                b"search.test:%d" % first.port
            }


@on_both
def test_addresses_come_and_go_under_load_and_no_request_fails(entrance: Entrance):
    with nameserver() as server, origins(4) as running:
        hosts = [one.host for one in running]
        server.put("search.test", "A", *hosts[:2])
        with gateway(options(by_dns(server, running[0].port)), entrance) as front:
            stop = threading.Event()
            answers: Counter[tuple[int, bytes]] = Counter()

            def load() -> None:
                with connected(front.port) as client:
                    while not stop.is_set():
                        answer = client.get()
                        answers[answer.status, answer.body] += 1

            clients = [threading.Thread(target=load) for _ in range(4)]
            for client in clients:
                client.start()
            try:
                for turn in range(8):
                    there = sorted(hosts[index % 4] for index in range(turn, turn + 1 + turn % 3))
                    server.put("search.test", "A", *there)
                    until_targets(front, *there)
            finally:
                stop.set()
                for client in clients:
                    client.join()
            assert {status for status, _ in answers} == {200}
            assert {body.decode() for _, body in answers} == set(hosts)


def slow(name: str = "under way") -> Step:
    """Send the head at once, and the body when the test says `go on`."""

    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        visit.server.event(name).set()
        await visit.server.waited("go on")
        await visit.send(b"ok")

    return step


@on_both
def test_a_target_that_has_gone_finishes_what_is_under_way_and_keeps_no_connection(entrance: Entrance):
    with nameserver() as server, origins(2) as (first, second):
        server.put("search.test", "A", first.host)
        with gateway(options(by_dns(server, first.port)), entrance) as front, connected(front.port) as client:
            assert get(front.port).status == 200
            target = front.target(upstream="search")
            first.script[:] = [slow()]
            client.request()
            first.wait("under way")
            server.put("search.test", "A", second.host)
            until_targets(front, second.host)
            assert get(front.port).body == b"127.0.0.2"
            first.event("go on").set()
            assert client.read().body == b"ok"
            front.until(lambda: not target.connections)
            assert target.in_flight == 0


def test_a_target_that_comes_back_while_it_works_keeps_its_counters_and_connections():
    with nameserver() as server, origins(2) as (first, second):
        server.put("search.test", "A", first.host)
        with gateway(options(by_dns(server, first.port))) as front, connected(front.port) as client:
            target = front.target(upstream="search")
            first.script[:] = [slow(), respond(200, b"again")]
            client.request()
            first.wait("under way")
            server.put("search.test", "A", second.host)
            until_targets(front, second.host)
            server.put("search.test", "A", first.host)
            until_targets(front, first.host)
            assert front.target(upstream="search") is target
            first.event("go on").set()
            assert client.read().body == b"ok"
            front.until(lambda: len(target._idle) == 1)
            assert get(front.port).body == b"again"
            assert (target.requests, first.connections) == (2, 1)


@on_both
def test_the_last_good_answer_is_kept_while_dns_fails(entrance: Entrance):
    with nameserver() as server, origins(2) as (first, second):
        server.put("search.test", "A", first.host)
        with gateway(options(by_dns(server, first.port)), entrance) as front:
            for fault in (dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN):
                server.rcode = fault
                server.asked(3)
                assert get(front.port).body == b"127.0.0.1"
            server.rcode = dns.rcode.NOERROR
            server.put("search.test", "A", second.host)
            until_targets(front, second.host)
            assert get(front.port).body == b"127.0.0.2"


@on_both
def test_a_start_without_dns_answers_503_until_there_are_targets(entrance: Entrance):
    with nameserver() as server, origin(respond(200, b"found")) as target:
        server.rcode = dns.rcode.SERVFAIL
        with gateway(options(by_dns(server, target.port)), entrance) as front:
            answer = get(front.port)
            assert answer.status == 503
            assert answer.get("retry-after") is not None
            assert answer.get("proxy-status") == b"gateway; error=destination_unavailable"
            server.rcode = dns.rcode.NOERROR
            server.put("search.test", "A", target.host)
            until_targets(front, target.host)
            assert get(front.port).body == b"found"


def test_the_records_are_asked_for_again_when_their_ttl_is_over_and_not_before():
    with nameserver() as server, origins(2) as (first, second):
        server.put("search.test", "A", first.host, ttl=2)
        with gateway(options(by_dns(server, first.port, refresh="1h"))) as front:
            asked_at = time.monotonic()
            server.put("search.test", "A", second.host, ttl=3600)
            server.asked()
            assert 1.5 < time.monotonic() - asked_at < 10
            until_targets(front, second.host)
            assert len(server.questions) == 2


def test_the_connections_of_a_discovered_target_are_limited_as_configured():
    with nameserver() as server, origins(1) as (first,):
        server.put("search.test", "A", first.host)
        limits = {"max_connections": 3, "max_pending": 4, "keepalive": {"connections": 2, "timeout": "5s"}}
        with gateway(options(by_dns(server, first.port), **limits)) as front:
            found = front.target(upstream="search").limits
            assert (found.max_connections, found.max_pending, found.idle, found.idle_timeout) == (3, 4, 2, 5.0)


def test_a_certificate_is_checked_against_the_name_and_not_the_address(tmp_path: Path):
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("search.test").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with nameserver() as server, origin(respond(200, b"safe"), tls=context) as target:
        server.put("search.test", "A", target.host)
        discover = by_dns(server, target.port, scheme="https")
        with gateway(options(discover, tls={"ca": tmp_path / "ca.pem"})) as front:
            assert get(front.port).body == b"safe"
            assert target.requests[-1].get("host") == b"search.test:%d" % target.port


# ---------------------------------------------------------------- another configuration


def text(server: NameServer, port: int, name: str = "search.test", more: str = "") -> str:
    return (
        f'[access_log]\nformat = "off"\n[upstreams.search]\n{more}\n'
        f'discover = {{ dns = "{name}", port = {port}, nameservers = "{server.address}", refresh = "{SOON}", family = "ipv4" }}\n'
        '[[routes]]\nupstream = "search"\n'
    )


def reloaded(front: Served, path: Path, written: str) -> None:
    path.write_text(written)
    assert front.run(front.app._gateway.reloading.now()).changes is not None


def test_targets_that_were_found_live_on_in_another_configuration_even_without_dns(tmp_path: Path):
    path = tmp_path / "routes.toml"
    with nameserver() as server, origins(2) as (first, second):
        server.put("search.test", "A", first.host)
        path.write_text(text(server, first.port))
        with served(GatewayApp(path), http="gateway.server.protocol:GatewayProtocol") as front:
            assert get(front.port).body == b"127.0.0.1"
            target = front.target(upstream="search")
            keeper = front.app._gateway.snapshot.upstreams["search"].keeper
            server.rcode = dns.rcode.SERVFAIL
            reloaded(front, path, text(server, first.port, more="max_connections = 7"))
            assert front.target(upstream="search") is target
            assert target.limits.max_connections == 7
            assert get(front.port).body == b"127.0.0.1"
            assert (first.connections, target.requests) == (1, 2)
            server.rcode = dns.rcode.NOERROR
            server.put("search.test", "A", second.host)
            until_targets(front, second.host)
            front.until(lambda: keeper._task.done() and not target.connections)


def test_an_upstream_that_is_found_elsewhere_now_has_other_targets(tmp_path: Path):
    path = tmp_path / "routes.toml"
    with nameserver() as server, origins(2) as (first, second):
        server.put("search.test", "A", first.host)
        server.put("other.test", "A", second.host)
        path.write_text(text(server, first.port))
        with served(GatewayApp(path), http="gateway.server.protocol:GatewayProtocol") as front:
            assert get(front.port).body == b"127.0.0.1"
            reloaded(front, path, text(server, first.port, "other.test"))
            assert get(front.port).body == b"127.0.0.2"
            kept = front.target(upstream="search")
            reloaded(front, path, text(server, first.port, "other.test") + "\n")
            assert front.target(upstream="search") is kept


def test_the_status_says_what_is_wrong_with_a_discovery():
    with nameserver() as server, origin() as target:
        server.put("search.test", "A", target.host)
        with gateway(options(by_dns(server, target.port))) as front:
            server.rcode = dns.rcode.SERVFAIL
            keeper = front.app._gateway.snapshot.upstreams["search"].keeper
            front.until(lambda: keeper.fault)
            told = front.run(status(front.app._gateway, None))["upstreams"]["search"]  # type: ignore[arg-type]
            assert told["discovery"] == {
                "source": "dns search.test", "fault": "search.test: no name server could answer", "leaving": 0,
            }  # fmt: skip


# ---------------------------------------------------------------- SRV


def test_services_share_by_weight_within_the_best_priority():
    with nameserver() as server, ExitStack() as stack:
        heavy, light, spare = (stack.enter_context(origin(respond(200, name))) for name in (b"heavy", b"light", b"spare"))
        server.put("here.test", "A", "127.0.0.1")
        records = [f"1 30 {heavy.port} here.test.", f"1 10 {light.port} here.test.", f"2 90 {spare.port} here.test."]
        server.put("_search._tcp.test", "SRV", *records)
        discover = {"srv": "_search._tcp.test", "nameservers": server.address, "refresh": SOON}
        with gateway(options(discover)) as front:
            assert Counter(get(front.port).body for _ in range(40)) == {b"heavy": 30, b"light": 10}
            server.put("_search._tcp.test", "SRV", records[2])
            front.until(lambda: len(front.app._gateway.snapshot.upstreams["search"].targets) == 1)
            assert get(front.port).body == b"spare"


# ---------------------------------------------------------------- a file


def write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


@on_both
def test_a_file_is_followed_when_it_is_replaced_and_kept_when_it_is_broken(
    entrance: Entrance, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "targets.toml"
    with origins(2) as (first, second):
        write(path, f'targets = ["{first.url}"]')
        with gateway(options({"file": str(path), "refresh": "20ms"}), entrance) as front:
            assert get(front.port).body == b"127.0.0.1"
            write(path, f'targets = ["{first.url}", {{ url = "{second.url}", weight = 2 }}]')
            until_targets(front, first.host, second.host)
            assert Counter(get(front.port).body for _ in range(6)) == {b"127.0.0.1": 2, b"127.0.0.2": 4}
            write(path, 'targets = [{ url = "nowhere" }]')
            keeper = front.app._gateway.snapshot.upstreams["search"].keeper
            front.until(lambda: keeper._failures >= 3)
            assert names(front) == [first.host, second.host]
            path.unlink()
            front.until(lambda: "cannot be read" in keeper.fault)
            assert get(front.port).status == 200
            write(path, f'targets = ["{second.url}"]')
            until_targets(front, second.host)
    faults = [record.__dict__["reason"] for record in caplog.records if record.getMessage() == "discovery failed"]
    assert len(faults) == 2
    assert f'{path}:1: targets[0].url: "nowhere" is not a URL' in faults[0]


def test_an_emptied_file_is_an_upstream_without_targets(tmp_path: Path):
    path = tmp_path / "targets.json"
    with origin() as server:
        write(path, f'{{"targets": ["{server.url}"]}}')
        with gateway(options({"file": str(path), "refresh": "20ms"})) as front:
            assert get(front.port).status == 200
            write(path, '{"targets": []}')
            until_targets(front)
            assert get(front.port).status == 503


# ---------------------------------------------------------------- code of others


def test_a_discovery_of_ones_own_is_made_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_discovery.py").write_text(
        "from gateway.upstream.discovery.found import Found, Spec\n"
        "class Fixed:\n"
        "    def __init__(self, urls, weight=1):\n"
        "        self.specs = tuple(Spec(url, weight) for url in urls)\n"
        "    async def look_up(self):\n"
        "        return Found(self.specs, fresh_for=5.0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with origin(respond(200, b"own")) as server:
        discover = {"custom": "own_discovery:Fixed", "options": {"urls": [server.url], "weight": 4}}
        with gateway(options(discover)) as front:
            assert get(front.port).body == b"own"
            assert front.target(upstream="search").weight == 4
    sys.modules.pop("own_discovery")
