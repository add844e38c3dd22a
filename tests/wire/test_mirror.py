"""A part of the requests goes to another upstream as well, and the client notices nothing."""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.admin.status import status
from support.client import connected, get
from support.origin import Step, Visit, echo, hang, nobody, origin, raw, reset, respond
from support.serving import gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.mirror import Mirror
    from support.origin import Origin
    from support.serving import Entrance, Served

FORWARDING = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id", "via", "x-own")


class Trio:
    """A gateway, the origin that answers and the one that is sent copies."""

    def __init__(self, front: Served, first: Origin, second: Origin) -> None:
        self.front = front
        self.port = front.port
        self.first = first
        self.second = second

    @property
    def mirror(self) -> Mirror:
        return mirror_of(self.front)

    def until(self, **counts: int) -> None:
        """Wait until so many copies have come to this end."""
        self.front.until(lambda: {name: getattr(self.mirror, name) for name in counts} == counts)


def mirror_of(front: Served) -> Mirror:
    (mirror,) = front.app._gateway.snapshot.mirrors.values()
    return mirror


@contextmanager
def mirrored(entrance: Entrance = "http1", *script: Step, first: Step | None = None, **options: Any) -> Iterator[Trio]:
    """script: of the origin that is sent copies; further options are those of the mirror, or the route's by name."""
    route = options.pop("route", {})
    upstream = options.pop("upstream", {})
    with origin(first or respond(200, b"first")) as one, origin(*(script or (respond(200, b"second"),))) as two:
        config = {
            "upstreams": {"first": {"targets": [one.url]}, "second": {"targets": [two.url], **upstream}},
            "routes": [{"name": "all", "path": "/*", "upstream": "first", "mirror": {"upstream": "second", **options}, **route}],
        }
        with gateway(config, entrance) as front:
            yield Trio(front, one, two)


# ---------------------------------------------------------------- what is sent


@on_both
def test_a_copy_is_what_the_target_was_sent_with_a_mark(entrance: Entrance):
    route = {"strip_prefix": "/v1", "path": "/v1/*", "request_headers": {"set": {"X-Own": "{client_ip}"}}}
    with mirrored(entrance, route=route) as trio:
        answer = get(trio.port, "/v1/a%2Fb?c=d", "Accept: text/plain", "Cookie: e=f", method="DELETE")
        assert answer.body == b"first"
        trio.until(sent=1)
        (real,), (copy,) = trio.first.requests, trio.second.requests
        assert copy.line == real.line == b"DELETE /a%2Fb?c=d HTTP/1.1"
        assert [field for field in copy.fields if field[0] != b"x-gateway-mirror"] == real.fields
        assert copy.get("x-gateway-mirror") == b"all"
        assert all(copy.get(name) for name in FORWARDING)


@on_both
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_is_copied_whole(entrance: Entrance, framing: str):
    body = bytes(range(256)) * 200
    with mirrored(entrance, echo(), first=echo()) as trio, connected(trio.port) as client:
        if framing == "length":
            assert client.get("/", method="POST", body=body).body == body
        else:
            client.request("/", "Transfer-Encoding: chunked", method="POST", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            assert client.read().body == body
        trio.until(sent=1)
        (copy,) = trio.second.requests
        assert (copy.body, copy.complete) == (body, True)
        assert copy.get("content-length") == b"%d" % len(body)


@on_both
def test_host_is_by_the_rule_of_the_upstream_that_is_mirrored_to(entrance: Entrance):
    with mirrored(entrance, upstream={"host_header": "upstream"}) as trio:
        get(trio.port)
        trio.until(sent=1)
        assert trio.first.requests[0].get("host") == b"test"
        assert trio.second.requests[0].get("host") == b"127.0.0.1:%d" % trio.second.port


@on_both
def test_a_request_that_is_a_copy_is_not_copied_again(entrance: Entrance):
    with mirrored(entrance) as trio:
        get(trio.port, "/loop", "X-Gateway-Mirror: all")
        get(trio.port, "/other")
        trio.until(sent=1)
        assert [request.target for request in trio.second.requests] == [b"/other"]


def test_as_many_are_copied_as_the_percentage_says():
    with mirrored(percent=50) as trio, connected(trio.port) as client:
        turns = iter(range(1000))
        trio.mirror._chance = lambda: next(turns) % 10 / 10  # 0.0, 0.1 ... 0.9, 0.0 ...
        for _ in range(40):
            assert client.get().status == 200
        trio.until(sent=20)
        assert len(trio.second.requests) == 20


def test_what_the_gateway_answers_itself_is_not_copied():
    with mirrored(route={"access": {"deny": ["127.0.0.1"]}}) as trio:
        assert get(trio.port).status == 403
        assert trio.mirror.sent + trio.mirror.failed == 0
        assert not trio.second.requests


def test_a_websocket_is_not_copied():
    with mirrored(first=respond(403)) as trio:
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}==")
        assert get(trio.port, "/", *upgrade).status == 403
        assert len(trio.first.requests) == 1
        assert not trio.mirror._tasks
        assert not trio.second.requests


def test_copies_go_to_a_local_app_too():
    with origin(respond(200, b"first")) as one:
        config = {"routes": [{"path": "/*", "upstream": one.url, "mirror": {"upstream": "asgi://support.local_apps:no_lifespan"}}]}
        with gateway(config) as front:
            assert get(front.port, method="POST", body=b"x").body == b"first"
            front.until(lambda: mirror_of(front).sent == 1)


def test_what_the_cache_answers_is_not_copied_and_what_it_asks_for_is():
    cached = respond(200, b"first", "Cache-Control: max-age=60")
    with mirrored(first=cached, route={"cache": True}) as trio, connected(trio.port) as client:
        assert {client.get().body for _ in range(3)} == {b"first"}
        assert client.get(method="POST", body=b"x").body == b"first"
        trio.until(sent=2)
        assert len(trio.first.requests) == 2
        assert [request.body for request in trio.second.requests] == [b"", b"x"]


# ---------------------------------------------------------------- what is not sent


@on_both
def test_a_body_that_was_not_kept_is_not_copied(entrance: Entrance):
    with mirrored(entrance, first=echo()) as trio:
        assert len(get(trio.port, method="POST", body=bytes(100_000)).body) == 100_000
        trio.until(too_large=1, sent=0)
        assert not trio.second.requests


@on_both
def test_a_body_that_never_came_whole_is_not_copied(entrance: Entrance):
    with mirrored(entrance) as trio:
        with connected(trio.port) as client:
            client.request("/", "Content-Length: 10", method="POST", body=b"half")
            trio.front.until(lambda: trio.first.requests)
        trio.until(incomplete=1)
        assert not trio.second.requests


@on_both
def test_above_the_bound_no_copies_are_made(entrance: Entrance):
    with mirrored(entrance, hang(), max_in_flight=2) as trio:
        for _ in range(5):
            assert get(trio.port).body == b"first"
        trio.until(too_many=3)
        assert len(trio.mirror._tasks) == 2


# ---------------------------------------------------------------- the client notices nothing


@on_both
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_mirror_that_hangs_delays_nobody_and_ends_by_its_timeout(entrance: Entrance, method: str):
    with mirrored(entrance, hang(), timeout="300ms") as trio, connected(trio.port) as client:
        began = time.monotonic()
        for _ in range(20):
            assert client.get(method=method, body=b"x" if method == "POST" else b"").body == b"first"
        assert time.monotonic() - began < 0.3 * 20
        trio.until(failed=20)
        assert not trio.mirror._tasks
        trio.second.wait("hanging gone")


def endless() -> Step:
    async def step(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not visit.server.stopping:
            await visit.send(bytes(65536))

    return step


@on_both
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (reset(), "failed"),
        (raw(b"not HTTP\r\n\r\n"), "failed"),
        (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", close=True), "failed"),
        (respond(500, b"broken"), "sent"),
        (endless(), "sent"),
    ],
    ids=["reset", "not HTTP", "cut off", "500", "endless"],
)
def test_whatever_becomes_of_a_copy_the_answer_is_the_first_upstreams(entrance: Entrance, fault: Step, outcome: str):
    with mirrored(entrance, fault) as trio, connected(trio.port) as client:
        for _ in range(3):
            answer = client.get()
            assert (answer.status, answer.body, answer.get("proxy-status")) == (200, b"first", None)
        trio.until(**{outcome: 3})
        gc.collect()


@on_both
def test_a_mirror_that_refuses_connections_is_passed_by(entrance: Entrance):
    with origin(respond(200, b"first")) as one, nobody() as refusing:
        config = {"routes": [{"path": "/*", "upstream": one.url, "mirror": {"upstream": refusing}}]}
        with gateway(config, entrance) as front:
            assert get(front.port).body == b"first"
            front.until(lambda: mirror_of(front).failed == 1)


@on_both
def test_what_the_first_upstream_fails_in_is_told_and_copied_all_the_same(entrance: Entrance):
    with mirrored(entrance, first=reset()) as trio:
        assert get(trio.port, method="POST", body=b"x").status == 502
        assert get(trio.port).status == 502
        trio.until(sent=2)
        assert [request.body for request in trio.second.requests] == [b"x", b""]


@on_both
def test_a_client_that_leaves_does_not_take_its_copy_along(entrance: Entrance):
    async def later(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("client gone")
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with mirrored(entrance, later, first=hang()) as trio:
        with connected(trio.port) as client:
            client.request()
            trio.second.wait("asked")
        trio.first.wait("hanging gone")
        trio.second.event("client gone").set()
        trio.until(sent=1)


# ---------------------------------------------------------------- its upstream is one as any other


def test_connections_of_copies_are_used_again_and_their_targets_counted():
    with mirrored() as trio, connected(trio.port) as client:
        for number in range(1, 6):
            client.get()
            trio.until(sent=number)
        target = trio.front.target(upstream="second")
        assert (trio.second.connections, target.requests, target.in_flight, target.failures) == (1, 5, 0, 0)


def test_a_connection_whose_answer_is_too_long_to_read_away_is_closed():
    async def long(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + bytes(4 << 20))

    with mirrored("http1", long) as trio:
        get(trio.port)
        trio.until(sent=1)
        trio.front.until(lambda: not trio.front.target(upstream="second").connections)


def test_a_copy_on_a_stale_connection_is_sent_once_more():
    async def stale(visit: Visit) -> None:
        visit.close()

    with mirrored("http1", respond(200), stale, respond(200)) as trio:
        get(trio.port)
        trio.until(sent=1)
        trio.front.until(lambda: len(trio.front.target(upstream="second")._idle) == 1)
        get(trio.port)
        trio.until(sent=2)
        assert len(trio.second.requests) == 3


def test_the_status_counts_what_became_of_copies():
    with mirrored() as trio:
        get(trio.port)
        trio.until(sent=1)
        told = trio.front.run(status(trio.front.app._gateway, None))["mirrors"]  # type: ignore[arg-type]
        assert told == {"all": {"under_way": 0, "sent": 1, "failed": 0, "too_large": 0, "too_many": 0, "incomplete": 0}}


def test_copies_that_are_under_way_end_with_the_gateway():
    with mirrored("http1", hang()) as trio:
        get(trio.port)
        trio.second.wait("hanging")
        mirror = trio.mirror
    assert not mirror._tasks
    assert mirror.sent == mirror.failed == 0
