"""Local ASGI apps as targets (`asgi://module:app`): streamed both ways, on both entrances."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.client import connected, get
from support.local_apps import CHUNK, probe
from support.serving import ENTRANCES, PATIENCE, forwarding, gateway
from support.websocket import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.serving import Entrance

PROBE = "asgi://support.local_apps:probe"
SHOP = "asgi://support.local_apps:shop"
BOUND = 16 << 20  # bytes that may wait between an app and a client that does not read


@pytest.fixture(params=ENTRANCES)
def entrance(request: pytest.FixtureRequest) -> Entrance:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    probe.reset()
    yield
    for event in probe._events.values():
        event.set()


# ---------------------------------------------------------------- life


def test_the_lifespan_is_run_once_and_ended(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        for _ in range(3):
            assert get(running.port, "/early").status == 200
        assert probe.lifespan == ["lifespan.startup"]
    assert probe.lifespan == ["lifespan.startup", "lifespan.shutdown"]


def test_an_app_that_two_upstreams_name_is_started_once(entrance: Entrance):
    options = {
        "upstreams": {"one": {"targets": [PROBE]}, "two": {"targets": [PROBE]}},
        "routes": [{"path": "/one/*", "upstream": "one"}, {"path": "/two/*", "upstream": "two"}, {"upstream": PROBE}],
    }
    with gateway(options, entrance) as running:
        for path in ("/one/scope", "/two/scope", "/scope"):
            assert json.loads(get(running.port, path).body)["state"] == {"answer": 42}
        assert probe.lifespan == ["lifespan.startup"]
    assert probe.lifespan == ["lifespan.startup", "lifespan.shutdown"]


def test_the_state_of_the_lifespan_is_in_every_request(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        assert json.loads(get(running.port, "/scope").body)["state"] == {"answer": 42}


def test_an_app_without_lifespan_works(entrance: Entrance):
    with gateway(forwarding("asgi://support.local_apps:no_lifespan"), entrance) as running:
        assert get(running.port).body == b"no lifespan"


# ---------------------------------------------------------------- what the app sees


def test_the_scope_is_what_a_server_would_give(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        scope = json.loads(get(running.port, "/a%20b/scope?x=1&y=%20", "X-One: 1", "X-One: 2", "Host: shop.test").body)
    assert scope["path"] == "/a b/scope"
    assert scope["raw_path"] == "/a%20b/scope"
    assert scope["query_string"] == "x=1&y=%20"
    assert scope["root_path"] == ""
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["client"][0] == "127.0.0.1"
    assert scope["server"] == ["127.0.0.1", running.port]
    names = [name for name, _ in scope["headers"]]
    assert names.count("x-one") == 2
    assert ["host", "shop.test"] in scope["headers"]
    assert ["x-forwarded-for", "127.0.0.1"] in scope["headers"]


def test_a_stripped_prefix_is_the_root_path(entrance: Entrance):
    with gateway(forwarding(PROBE, path="/shop/*", strip_prefix="/shop"), entrance) as running:
        scope = json.loads(get(running.port, "/shop/scope").body)
    assert scope["root_path"] == "/shop"
    assert scope["path"] == "/shop/scope"
    assert scope["raw_path"] == "/shop/scope"


def test_a_frameworks_links_hold_the_stripped_prefix(entrance: Entrance):
    with gateway(forwarding(SHOP, path="/shop/*", strip_prefix="/shop"), entrance) as running:
        found = json.loads(get(running.port, "/shop/links", "Host: shop.test").body)
        assert get(running.port, "/shop/inner/page").body == b"inner"
    assert found == {"link": "http://shop.test/shop/links", "state": "open"}


def test_a_prefix_that_is_spelled_in_another_way_is_stripped_all_the_same(entrance: Entrance):
    with gateway(forwarding(PROBE, path="/shop/*", strip_prefix="/shop"), entrance) as running:
        scope = json.loads(get(running.port, "/%73hop/scope").body)
    assert scope["path"].removeprefix(scope["root_path"]) == "/scope"


def test_a_prefix_that_needs_encoding_is_decoded_in_root_path(entrance: Entrance):
    with gateway(forwarding(PROBE, path="/café/*", strip_prefix="/café"), entrance) as running:
        scope = json.loads(get(running.port, "/caf%C3%A9/scope").body)
    assert scope["root_path"] == "/café"
    assert scope["path"] == "/café/scope"
    assert scope["raw_path"] == "/caf%C3%A9/scope"


def test_an_app_that_is_no_route_of_its_own_answers_404_itself(entrance: Entrance):
    with gateway(forwarding(SHOP), entrance) as running:
        answer = get(running.port, "/nowhere")
    assert (answer.status, answer.body) == (404, b"Not Found")


# ---------------------------------------------------------------- bodies


def test_an_answer_is_streamed_and_not_held(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running, connected(running.port) as client:
        client.request("/stream")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"first"
        probe.event("first was read").set()
        assert client.read_chunk() == b"second"
        assert client.read_chunk() == b""


def test_a_request_body_is_streamed_and_not_held(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running, connected(running.port) as client:
        client.request("/echo", "Transfer-Encoding: chunked", method="POST")
        client.send(b"5\r\nfirst\r\n")
        head = client.read_head()
        assert head.get("x-case") == b"kept"
        assert client.read_chunk() == b"first"
        client.send(b"6\r\nsecond\r\n")
        assert client.read_chunk() == b"second"
        client.send(b"0\r\n\r\n")
        assert client.read_chunk() == b""


def test_a_large_body_comes_back_whole(entrance: Entrance):
    body = bytes(range(256)) * 8192
    with gateway(forwarding(PROBE), entrance) as running, connected(running.port) as client:
        sender = threading.Thread(
            target=client.request, args=("/echo",), kwargs={"method": "POST", "body": body}
        )
        sender.start()
        answer = client.read("POST")
        sender.join(PATIENCE)
    assert answer.body == body


def test_a_client_that_does_not_read_stops_the_app(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running, connected(running.port) as client:
        client.request("/flood")
        assert client.read_head().status == 200
        probe.wait("stalled")
        assert 0 < probe.sent < BOUND


def test_an_app_that_does_not_read_stops_the_client(entrance: Entrance):
    size = 64 << 20
    options = forwarding(PROBE, max_body=size)
    with gateway(options, entrance) as running, connected(running.port) as client:
        client.request("/deaf", f"Content-Length: {size}", method="POST")
        probe.wait("called")
        client.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < size:
                sent += client.sock.send(CHUNK)
        except TimeoutError:
            pass
        assert sent < BOUND
        probe.event("read now").set()
        client.sock.settimeout(PATIENCE)
        while sent < size:
            sent += client.sock.send(CHUNK[: size - sent])
        assert client.read("POST").body == b"%d" % size


def test_an_app_may_answer_without_reading_its_body(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        assert get(running.port, "/early", method="POST", body=b"x" * 500_000).body == b"no need"


def test_head_has_no_body(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running, connected(running.port) as client:
        answer = client.get("/early", method="HEAD")
        assert answer.get("content-length") == b"7"
        assert client.get("/early").body == b"no need"


def test_trailers_reach_a_client_that_takes_them():
    with gateway(forwarding(PROBE), "express") as running, connected(running.port) as client:
        answer = client.get("/trailers", "TE: trailers", "Connection: TE")
    assert answer.body == b"body"
    assert answer.trailers == [(b"x-sum", b"4")]


# ---------------------------------------------------------------- faults


def test_an_exception_before_the_answer_is_502(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        answer = get(running.port, "/fail")
    assert answer.status == 502
    assert answer.get("content-type") == b"application/problem+json"
    assert b"broken" not in answer.body


def test_an_app_that_returns_without_an_answer_is_502(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        assert get(running.port, "/nothing").status == 502


def test_an_exception_inside_the_answer_breaks_it_off(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        answer = get(running.port, "/fail-late")
    assert answer.status == 200
    assert not answer.complete


def test_a_client_that_leaves_ends_the_app(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        with connected(running.port) as client:
            client.request("/wait")
            probe.wait("waiting")
        probe.wait("client gone")


# ---------------------------------------------------------------- WebSocket


def test_a_websocket_reaches_the_app(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        with opened(running.port, "/echo?x=1", subprotocols=["one", "two"]) as client:
            assert client.subprotocol == "two"
            assert client.response is not None
            assert client.response.headers["X-From"] == "the app"
            for message in ("text", b"bytes", "y" * 1_000_000):
                client.send(message)
                assert client.recv(PATIENCE) == message
            client.close(4005, "bye")
        probe.wait("closed 4005")
    scope = probe.scopes[0]
    assert scope["query_string"] == b"x=1"
    assert scope["state"] == {"answer": 42}
    assert dict(scope["headers"])[b"x-forwarded-for"] == b"127.0.0.1"


def test_a_websockets_prefix_is_stripped_too(entrance: Entrance):
    with gateway(forwarding(SHOP, path="/shop/*", strip_prefix="/shop"), entrance) as running:
        with opened(running.port, "/shop/socket") as client:
            assert json.loads(client.recv(PATIENCE)) == {
                "state": "open", "link": f"http://localhost:{running.port}/shop/links"
            }  # fmt: skip
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4004, "done")


def test_the_apps_close_reaches_the_client(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running, opened(running.port, "/close") as client:
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4003, "enough")


@pytest.mark.parametrize(("path", "status", "body"), [("/refuse", 403, b""), ("/deny", 402, b"pay up")])
def test_an_app_may_refuse_a_handshake(entrance: Entrance, path: str, status: int, body: bytes):
    with gateway(forwarding(PROBE), entrance) as running:
        with pytest.raises(InvalidStatus) as caught, opened(running.port, path):
            pass
    assert caught.value.response.status_code == status
    assert caught.value.response.body == body


def test_an_app_that_fails_in_the_handshake_is_502(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        with pytest.raises(InvalidStatus) as caught, opened(running.port, "/fail"):
            pass
    assert caught.value.response.status_code == 502


def test_access_is_denied_before_the_app_is_asked(entrance: Entrance):
    with gateway(forwarding(PROBE, access={"deny": ["127.0.0.1"]}), entrance) as running:
        with pytest.raises(InvalidStatus) as caught, opened(running.port, "/echo"):
            pass
    assert caught.value.response.status_code == 403
    assert probe.scopes == []


@pytest.mark.parametrize(("path", "status"), [("/echo", 101), ("/deny", 402), ("/refuse", 403)])
def test_a_websocket_is_one_line_of_the_access_log(entrance: Entrance, tmp_path: Path, path: str, status: int):
    log = tmp_path / "access.log"
    options = forwarding(PROBE, access_log={"format": "json", "path": str(log)})
    with gateway(options, entrance) as running:
        try:
            with opened(running.port, path):
                pass
        except InvalidStatus:
            assert status != 101
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines] == [status]


def test_an_app_that_cancels_itself_is_a_bad_answer(entrance: Entrance):
    with gateway(forwarding(PROBE), entrance) as running:
        assert get(running.port, "/cancelled").status == 502
