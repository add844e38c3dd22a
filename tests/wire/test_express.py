"""The express lane: what takes it, and that it needs to know nothing of policies and answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.exchange import Exchange, Headers, Reply, ResponseHead
from gateway.pipeline import Pipeline
from support.client import connected, get
from support.origin import Visit, hang, origin, raw, respond
from support.serving import forwarding, gateway, in_front

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.policy import Policy
    from support.client import Client
    from support.serving import Served


def put_first(front: Served, *policies: Policy, awaits: bool = False) -> None:
    """Give the gateway's one route these policies alone."""
    route = front.app._gateway.snapshot.router.routes[-1]
    route.pipeline = Pipeline(policies)
    route.needs_task = awaits


class Witness:
    """Writes down which hooks were called, for exchanges of which entrance."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def admit(self, exchange: Exchange) -> Reply | None:
        self.seen.append(("admit", exchange.entrance))
        return None

    def prepare(self, exchange: Exchange, headers: Headers) -> None:
        self.seen.append(("prepare", exchange.entrance))
        headers.append((b"x-prepared", b"yes"))

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        self.seen.append(("amend", exchange.entrance))
        head.headers.append((b"x-amended", b"yes"))

    def finish(self, exchange: Exchange) -> None:
        self.seen.append(("finish", exchange.entrance))


class Ready:
    """An answer that is at hand, as one from a cache would be."""

    def admit(self, exchange: Exchange) -> Reply | None:
        return Reply(200, [(b"x-from", b"memory")], b"ready")


def test_a_new_policy_needs_nothing_of_the_lane():
    with in_front("express") as pair, connected(pair.port) as client:
        client.get("/")
        witness = Witness()
        put_first(pair.gateway, witness)
        answer = client.get("/")
        assert (answer.status, answer.get("x-amended")) == (200, b"yes")
        assert pair.origin.requests[-1].get("x-prepared") == b"yes"
        assert witness.seen == [(hook, "express") for hook in ("admit", "prepare", "amend", "finish")]


def test_a_ready_answer_needs_nothing_of_the_lane():
    with in_front("express") as pair, connected(pair.port) as client:
        witness = Witness()
        put_first(pair.gateway, witness, Ready())
        for method, body in (("GET", b"ready"), ("HEAD", b""), ("POST", b"ready")):
            answer = client.get("/", method=method, body=b"abc" if method == "POST" else b"")
            assert (answer.status, answer.body, answer.get("content-length")) == (200, body, b"5")
            assert (answer.get("x-from"), answer.get("x-amended")) == (b"memory", b"yes")
        assert witness.seen == 3 * [(hook, "express") for hook in ("admit", "amend", "finish")]
        assert pair.origin.requests == []


def test_a_policy_that_awaits_takes_the_other_road():
    class Awaits(Witness):
        async def admit(self, exchange: Exchange) -> Reply | None:  # type: ignore[override]
            return super().admit(exchange)

    with in_front("express") as pair, connected(pair.port) as client:
        policy = Awaits()
        put_first(pair.gateway, policy, awaits=True)
        assert Pipeline([policy]).awaits
        assert client.get("/").status == 200
        assert policy.seen == [(hook, "http1") for hook in ("admit", "prepare", "amend", "finish")]


@pytest.mark.parametrize("hook", ["admit", "prepare", "amend"])
@pytest.mark.parametrize("primed", [True, False])
def test_a_policy_that_fails_is_answered_by_a_500_and_the_next_request_is_served(hook: str, primed: bool):
    class Fails(Witness):
        def fail(self, *_: object) -> None:
            raise ZeroDivisionError("a secret")

    with in_front("express") as pair:
        if primed:
            get(pair.port, "/")
        policy = Fails()
        setattr(policy, hook, policy.fail)
        put_first(pair.gateway, policy)
        answer = get(pair.port, "/")
        assert answer.status == 500
        assert b"secret" not in answer.body
        pair.gateway.until(lambda: policy.seen[-1] == ("finish", "express"))
        put_first(pair.gateway, Witness())
        assert get(pair.port, "/").body == b"ok"
        assert pair.gateway.target().in_flight == 0


def test_a_line_break_of_a_policy_s_value_is_a_500():
    class Splits(Witness):
        def amend(self, exchange: Exchange, head: ResponseHead) -> None:
            head.headers.append((b"x", b"a\r\nset-cookie: b"))

    with in_front("express") as pair, connected(pair.port) as client:
        client.get("/")
        put_first(pair.gateway, Splits())
        client.request("/")
        answer = client.read()
        assert (answer.status, answer.get("set-cookie")) == (500, None)


def entrances(path: Path) -> list[str]:
    return [json.loads(line)["entrance"] for line in path.read_text().splitlines()]


def in_turn(client: Client, requests: Iterable[bytes]) -> None:
    for request in requests:
        client.send(request)
        assert client.read().status == 200


def test_usual_requests_take_the_lane_and_the_log_says_so(tmp_path: Path):
    log = tmp_path / "access.log"
    usual = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nX-Forwarded-For: 6.6.6.6\r\nVia: 1.1 b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
    ]
    others = [
        b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nX-A: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ]
    with origin(respond(200, b"ok")) as server:
        with gateway(forwarding(server.url, access_log={"path": str(log)})) as front, connected(front.port) as client:
            in_turn(client, [*usual, *others])
            assert client.closed()
    assert entrances(log) == ["express"] * len(usual) + ["http1"] * len(others)


def test_what_is_pipelined_is_answered_in_order_and_the_last_by_the_lane(tmp_path: Path):
    log = tmp_path / "access.log"

    async def names_the_path(visit: Visit) -> None:
        await respond(200, visit.request.target)(visit)

    with origin(names_the_path) as server:
        with gateway(forwarding(server.url, access_log={"path": str(log)})) as front, connected(front.port) as client:
            client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(20)))
            assert [client.read().body for _ in range(20)] == [b"/%d" % number for number in range(20)]
    assert entrances(log) == ["http1"] * 19 + ["express"]


@pytest.mark.parametrize("primed", [True, False])
def test_the_total_time_counts_in_the_lane_too(primed: bool):
    with in_front("express", timeouts={"total": "300ms"}) as pair, connected(pair.port) as client:
        if primed:
            client.get("/")
        pair.play(hang())
        answer = client.get("/")
        assert answer.status == 504
        pair.play()
        assert client.get("/").body == b"ok"
        assert pair.gateway.target().in_flight == 0


def test_an_answer_over_its_total_time_is_broken_off():
    head = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
    with in_front("express", timeouts={"total": "300ms"}) as pair, connected(pair.port) as client:
        client.get("/")
        pair.play(head)
        answer = client.get("/")
        assert (answer.status, answer.body, answer.complete) == (200, b"abc", False)
        pair.gateway.until(lambda: pair.gateway.target().in_flight == 0)


def test_middleware_around_the_app_sees_every_request():
    seen: list[Any] = []

    class Sees:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["type"])
            await self.app(scope, receive, send)

    from gateway.app import GatewayApp
    from gateway.config import Config
    from support.serving import served

    with origin(respond(200, b"ok")) as server:
        app = GatewayApp(Config.model_validate({"access_log": {"format": "off"}, **forwarding(server.url)}))
        app.add_middleware(Sees)
        with served(app, http="gateway.server.protocol:GatewayProtocol") as front, connected(front.port) as client:
            assert [client.get("/").body for _ in range(3)] == [b"ok"] * 3
    assert seen.count("http") == 3
