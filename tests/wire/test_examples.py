"""Each example runs as its first lines say."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.client import get
from support.origin import origin, respond
from support.process import ROOT, Running, running
from support.websocket import opened, websocket_target

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0


@contextmanager
def example(name: str, *options: str, **variables: str) -> Iterator[tuple[Running, int]]:
    """An example under a plain uvicorn, and its port; it must stop cleanly and print no traceback."""
    with running(
        "uvicorn", *options, "--port", "0", "--app-dir", "examples", f"{name}:app", env=variables, cwd=ROOT
    ) as process:
        yield process, process.uvicorn_port()
        process.stop()
        assert "Application shutdown complete" in process.output
        assert "Traceback" not in process.output
        assert "lifespan was not run" not in process.output


@pytest.mark.parametrize("name", ["mounted_in_starlette", "mounted_in_fastapi"])
def test_the_mounted_gateway_forwards_http_and_websockets(name: str):
    with websocket_target() as target, example(name, UPSTREAM=target.url) as (_, port):
        assert get(port, "/api/things/1?x=2").status == 426  # the target speaks nothing but WebSocket
        with opened(port, "/api/live") as client:
            client.send("hello")
            assert client.recv(PATIENCE) == "hello"
    assert target.first.request is not None
    assert target.first.request.path == "/live"


def test_the_routes_of_the_starlette_app_work_beside_it():
    with origin(respond(200, b"from the upstream")) as server:
        with example("mounted_in_starlette", UPSTREAM=server.url) as (_, port):
            assert get(port, "/").body == b"the app's own page"
            assert get(port, "/nowhere").status == 404
            assert get(port, "/api/things/1?x=2").body == b"from the upstream"
    assert server.requests[0].target == b"/things/1?x=2"


def test_the_routes_of_the_fastapi_app_work_beside_it():
    with origin(respond(200, b"from the upstream")) as server:
        with example("mounted_in_fastapi", UPSTREAM=server.url) as (_, port):
            assert json.loads(get(port, "/hello").body) == {"greeting": "hello"}
            assert get(port, "/api/private/x").status == 403
            assert get(port, "/api/things").body == b"from the upstream"
            with opened(port, "/echo") as client:
                client.send("hello")
                assert client.recv(PATIENCE) == "hello"


def test_the_allowlist_lets_in_whom_it_names():
    with example("allowlist_alone", "--no-proxy-headers", ALLOW="127.0.0.0/8,::1") as (_, port):
        assert get(port, "/").body == b"come in"


def test_the_allowlist_keeps_others_out():
    with example("allowlist_alone", "--no-proxy-headers", ALLOW="192.0.2.0/24") as (_, port):
        assert get(port, "/", "X-Forwarded-For: 192.0.2.1").status == 403


def test_the_cache_alone_answers_from_the_store_what_the_app_lets_it_keep():
    with example("cache_alone") as (_, port):
        first, second = get(port, "/reports/2026"), get(port, "/reports/2026")
        assert first.body == second.body
        assert first.get("cache-status") == b"gateway; fwd=uri-miss; stored"
        assert (second.get("cache-status") or b"").startswith(b"gateway; hit; ttl=")
        assert get(port, "/reports/2026?fresh").get("cache-status") == b"gateway; fwd=bypass"
        assert json.loads(get(port, "/basket", "Cookie: session=a").body) == {"owner": "a"}
        assert json.loads(get(port, "/basket", "Cookie: session=b").body) == {"owner": "b"}
        assert [get(port, "/nothing").status for _ in range(2)] == [404, 404]
        assert (get(port, "/nothing").get("cache-status") or b"").startswith(b"gateway; hit")
