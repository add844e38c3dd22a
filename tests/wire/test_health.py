"""Targets that are down, ejected, slow to recover, or all out."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from support.client import get
from support.origin import Origin, Step, Visit, hang, origin, reset, respond
from support.serving import gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.serving import Entrance, Served

QUICK = {"interval": "20ms", "timeout": "1s", "passes": 2, "fails": 2}
ROUTES = [{"path": "/*", "upstream": "u"}]


def by_path(**steps: Step) -> Step:
    """Probes ask for /healthz and get `health`; everything else gets `other`, a 200 where it is not given."""

    async def step(visit: Visit) -> None:
        name = "health" if visit.request.target == b"/healthz" else "other"
        await steps.get(name, respond(200, b"ok"))(visit)

    return step


def upstream(*targets: Any, **options: Any) -> dict[str, Any]:
    return {"upstreams": {"u": {"targets": list(targets), **options}}, "routes": ROUTES}


@contextmanager
def pair(*steps: Step, entrance: Entrance = "express", **options: Any) -> Iterator[tuple[Served, list[Origin]]]:
    """A gateway before one origin for each step, that sends nothing twice."""
    with origin(steps[0]) as first, origin(steps[1]) as second:
        with gateway(upstream(first.url, second.url, **{"retry": False, **options}), entrance) as front:
            yield front, [first, second]


def requests_of(server: Origin) -> int:
    """Those that were not probes."""
    return sum(request.target != b"/healthz" for request in server.requests)


# ---------------------------------------------------------------- probes


@on_both
def test_a_target_that_its_probes_find_ill_gets_no_requests_until_it_is_well(entrance: Entrance) -> None:
    with pair(by_path(), by_path(health=respond(503)), entrance=entrance, health_check={"path": "/healthz", **QUICK}) as (front, servers):
        second = front.target(1, "u")
        front.until(lambda: second.down)
        assert second.reason == "status 503"
        before = requests_of(servers[1])
        assert [get(front.port).status for _ in range(6)] == [200] * 6
        assert requests_of(servers[1]) == before
        servers[1].script[:] = [by_path()]
        front.until(lambda: not second.down)
        for _ in range(6):
            get(front.port)
        assert requests_of(servers[1]) == before + 3


@pytest.mark.parametrize(
    ("step", "check", "reason"),
    [
        (respond(200, b"fine, thank you"), {"body": "thank"}, ""),
        (respond(200, b"so so"), {"body": "thank"}, "the wanted text is not in its body"),
        (respond(200, b"x" * 70_000 + b"thank"), {"body": "thank"}, "the wanted text is not in its body"),
        (respond(204), {"status": ["204", "3xx"]}, ""),
        (respond(301), {"status": ["204", "3xx"]}, ""),
        (respond(200), {"status": ["204", "3xx"]}, "status 200"),
        (hang(), {"timeout": "50ms"}, "no answer within 0.05 s"),
        (reset(), {}, "reset by peer"),
    ],
)
def test_a_probe_looks_at_status_body_and_time(step: Step, check: dict[str, Any], reason: str) -> None:
    with origin(by_path(health=step)) as server:
        options = upstream(server.url, health_check={"path": "/healthz", **QUICK, "passes": 1, "fails": 1, **check})
        with gateway(options) as front:
            target = front.target(0, "u")
            front.until(lambda: target.verdict.is_known)
            assert target.down is bool(reason)
            assert reason in target.reason


def test_a_probe_is_asked_as_the_file_says() -> None:
    with origin(respond(204)) as server:
        check = {"path": "/up?deep=1", "method": "HEAD", "headers": {"Host": "inner.example", "X-Probe": "1"}, **QUICK}
        with gateway(upstream(server.url, health_check=check)) as front:
            front.until(lambda: front.target(0, "u").verdict.is_known)
        probe = server.requests[0]
        assert probe.line == b"HEAD /up?deep=1 HTTP/1.1"
        assert probe.all("host") == [b"inner.example"]
        assert probe.all("x-probe") == [b"1"]
        assert server.connections - len(server.requests) in (0, 1)  # each has its own; the last one may end with the gateway


def test_a_target_may_have_to_prove_itself_first() -> None:
    with origin(by_path()) as well, origin(by_path(health=hang())) as silent:
        check = {"path": "/healthz", **QUICK, "start": "down"}
        with gateway(upstream(well.url, silent.url, health_check=check)) as front:
            front.until(lambda: not front.target(0, "u").down)
            assert [get(front.port).status for _ in range(4)] == [200] * 4
            assert requests_of(silent) == 0


def test_a_gateway_starts_while_no_probe_is_answered() -> None:
    with origin(by_path(health=hang())) as server:
        with gateway(upstream(server.url, health_check={"path": "/healthz", "timeout": "1h", "start": "down"})) as front:
            assert get(front.port).body == b"ok"  # all are out, so all are tried
            assert front.app._gateway.snapshot.upstreams["u"].all_out
        server.wait("hanging gone")  # the probe ends with the gateway


def test_a_probe_takes_no_place_from_a_request() -> None:
    with origin(by_path(other=hang("busy"))) as server:
        options = upstream(server.url, max_connections=1, health_check={"path": "/healthz", **QUICK})
        with gateway(options) as front, socket.create_connection(("127.0.0.1", front.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait("busy")
            front.until(lambda: front.target(0, "u").verdict.is_known)
            assert not front.target(0, "u").down


def test_probes_use_the_targets_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("inner.example").configure_cert(context)
    with origin(by_path(), tls=context) as server:
        trusted = {"ca": str(tmp_path / "ca.pem"), "server_name": "inner.example"}
        check = {"path": "/healthz", **QUICK, "passes": 1, "fails": 1}
        for tls, reason in ((trusted, ""), ({}, "unable to get local issuer certificate")):
            with gateway(upstream(server.url, tls=tls, health_check=check)) as front:
                target = front.target(0, "u")
                front.until(lambda target=target: target.verdict.is_known)
                assert target.down is bool(reason), target.reason
                assert reason in target.reason


# ---------------------------------------------------------------- failures of requests


@on_both
@pytest.mark.parametrize("fault", [reset(), respond(503, b"ok")])
def test_a_target_on_which_requests_fail_is_left_out_for_a_while(entrance: Entrance, fault: Step) -> None:
    passive = {"max_fails": 3, "fail_timeout": "300ms"}
    with pair(respond(200, b"ok"), fault, entrance=entrance, passive=passive) as (front, servers):
        second = front.target(1, "u")
        for _ in range(6):
            get(front.port)
        assert second.ejected
        assert len(servers[1].requests) == 3
        assert [get(front.port).status for _ in range(6)] == [200] * 6
        servers[1].script[:] = [respond(200, b"ok")]
        front.until(lambda: not second.ejected)
        assert [get(front.port).status for _ in range(4)] == [200] * 4
        assert len(servers[1].requests) == 3 + 2


def test_the_next_ejection_is_longer() -> None:
    with pair(respond(), respond(503), passive={"max_fails": 1, "fail_timeout": "100ms"}) as (front, _):
        second = front.target(1, "u")
        lengths = []
        for _ in range(3):
            front.until(lambda: not second.ejected)
            while not second.ejected:
                get(front.port)
            lengths.append(second.outlier.until - second.outlier._returned_at)
        assert 0.1 <= lengths[1] - 0.1 < lengths[2] - 0.1


def test_successes_between_failures_keep_a_target_in() -> None:
    script = [respond(503), respond(503), respond(200)] * 4
    with pair(respond(), script[0], passive={"max_fails": 3}) as (front, servers):
        servers[1].script[:] = script
        for _ in range(24):
            get(front.port)
        assert not front.target(1, "u").ejected


def test_a_target_that_fails_half_of_the_time_goes_by_its_rate() -> None:
    passive = {"max_fails": 100, "error_rate": "40%", "min_requests": 10}
    with pair(respond(), respond(), passive=passive) as (front, servers):
        servers[1].script[:] = [respond(503), respond(200)] * 10
        while not front.target(1, "u").ejected:
            get(front.port)
        assert 10 <= len(servers[1].requests) <= 11


def test_the_last_target_stays_however_it_fails() -> None:
    with pair(respond(503), reset(), passive={"max_fails": 1, "max_ejected": "100%"}) as (front, _):
        for _ in range(10):
            assert get(front.port).status in (502, 503)
        assert [front.target(index, "u").ejected for index in (0, 1)].count(True) == 1


def test_a_lone_target_is_never_ejected() -> None:
    with origin(reset()) as server, gateway(upstream(server.url, passive={"max_fails": 1})) as front:
        assert [get(front.port).status for _ in range(5)] == [502] * 5
        assert len(server.requests) == 5


def test_failures_that_are_not_the_targets_do_not_count() -> None:
    """A client that leaves, and a request that the gateway refuses."""
    with pair(respond(), hang(), passive={"max_fails": 1}) as (front, servers):
        get(front.port)
        with socket.create_connection(("127.0.0.1", front.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            servers[1].wait("hanging")
        servers[1].wait("hanging gone")
        front.until(lambda: front.target(1, "u").in_flight == 0)
        assert not front.target(1, "u").ejected


def test_without_passive_nothing_is_ejected() -> None:
    with pair(respond(), reset(), passive=False) as (front, servers):
        for _ in range(20):
            get(front.port)
        assert len(servers[1].requests) == 10


# ---------------------------------------------------------------- both


def test_a_dead_target_is_out_within_a_second_and_back_soon_after_it_lives_again(tmp_path: Path) -> None:
    path = str(tmp_path / "target.sock")
    interval, passes = 0.1, 2
    check = {"path": "/healthz", "interval": f"{interval}s", "timeout": "1s", "passes": passes, "fails": 2}
    with origin(by_path()) as well:
        with gateway(upstream(well.url, f"unix:{path}", health_check=check, passive={"fail_timeout": "1h"})) as front:
            second = front.target(1, "u")
            began = time.monotonic()
            while not second.ejected:
                assert get(front.port).body == b"ok"
            assert time.monotonic() - began < 1
            front.until(lambda: second.down)
            with origin(by_path(), path=path):
                began = time.monotonic()
                front.until(lambda: not (second.ejected or second.down))
                assert time.monotonic() - began < interval * 1.1 * passes + 1


def test_good_probes_do_not_end_an_ejection_for_what_they_do_not_see() -> None:
    check = {"path": "/healthz", **QUICK}
    with pair(by_path(), by_path(other=respond(503)), health_check=check, passive={"max_fails": 1}) as (front, servers):
        second = front.target(1, "u")
        front.until(lambda: second.verdict.is_known)
        while not second.ejected:
            get(front.port)
        probes = len(servers[1].requests)
        front.until(lambda: len(servers[1].requests) >= probes + 4)
        assert second.ejected


@on_both
def test_when_all_targets_are_out_all_are_tried(entrance: Entrance, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.health")
    ill = by_path(health=respond(500))
    with pair(ill, ill, entrance=entrance, health_check={"path": "/healthz", **QUICK}) as (front, servers):
        group = front.app._gateway.snapshot.upstreams["u"]
        front.until(lambda: group.all_out)
        assert [get(front.port).body for _ in range(4)] == [b"ok"] * 4
        assert [requests_of(server) for server in servers] == [2, 2]
        servers[0].script[:] = [by_path()]
        front.until(lambda: not group.all_out)
        messages = [record.message for record in caplog.records]
        assert messages == ["target down", "target down", "all targets out", "target up", "targets in again"]
        assert {record.upstream for record in caplog.records} == {"u"}  # type: ignore[attr-defined]


def test_a_target_that_recovered_gets_its_part_little_by_little() -> None:
    check = {"path": "/healthz", **QUICK}
    with pair(by_path(), by_path(health=respond(500)), health_check=check, slow_start="1s") as (front, servers):
        second = front.target(1, "u")
        front.until(lambda: second.down)
        servers[1].script[:] = [by_path()]
        front.until(lambda: not second.down)
        weights: list[float] = []

        def growing() -> bool:
            if not weights or second.weight != weights[-1]:
                weights.append(second.weight)
            return second.weight == 1

        front.until(growing)
        assert weights[0] == 0.1
        assert weights == sorted(weights)
        assert len(weights) > 5


def test_who_stops_a_gateway_ends_its_probes_and_its_timers() -> None:
    with origin(by_path()) as server:
        with gateway(upstream(server.url, health_check={"path": "/healthz", **QUICK})) as front:
            front.until(lambda: len(server.requests) > 2)
            loop = front.loop
        assert not asyncio.all_tasks(loop)


# ---------------------------------------------------------------- numbers


def test_the_state_of_targets_and_circuits_can_be_read_as_numbers() -> None:
    check = {"path": "/healthz", **QUICK}
    with pair(by_path(), by_path(health=respond(503)), health_check=check, circuit_breaker=True) as (front, servers):
        front.until(lambda: front.target(1, "u").down and front.target(0, "u").verdict.is_known)
        assert get(front.port).status == 200
        numbers = {metric.name: metric.samples for metric in front.app._gateway.snapshot.metrics()}
        well, ill = (("u", server.url.removeprefix("http://")) for server in servers)
        assert numbers["gateway_upstream_target_up"] == {well: 1, ill: 0}
        assert numbers["gateway_upstream_target_ejected"] == {well: 0, ill: 0}
        assert numbers["gateway_upstream_target_weight"] == {well: 1, ill: 1}
        assert numbers["gateway_upstream_target_in_flight"] == {well: 0, ill: 0}
        checks = numbers["gateway_upstream_health_checks_total"]
        assert set(checks) == {(*well, "passed"), (*ill, "failed")}
        assert checks[*ill, "failed"] >= 2
        assert numbers["gateway_circuit_state"] == {("u",): 0}
        assert numbers["gateway_upstream_requests_total"] == {(*well, "200"): 1}
