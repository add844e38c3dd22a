"""Which route takes a request, and what a route answers by itself."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from support.client import connected, get
from support.origin import nobody, origin, respond
from support.serving import Served, gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.serving import Entrance


def fixed(name: str, **match: Any) -> dict[str, Any]:
    return {"name": name, **match, "respond": {"body": name}}


ROUTES = [
    fixed("exact", path="/exact"),
    fixed("host", host="shop.example"),
    fixed("below", host="*.shop.example"),
    fixed("read", path="/only/*", methods=["GET"]),
    fixed("write", path="/only/*", methods=["PUT", "DELETE"]),
    fixed("field", path="/field", headers={"X-Tenant": "blue"}),
    fixed("pattern", path="/field", headers={"X-Tenant": "re:g.*n"}),
    fixed("query", path="/query", query={"v": "2"}),
    fixed("any", path="/query", query={"debug": "*"}),
    {"name": "gone", "path": "/gone", "respond": {"status": 410, "headers": {"X-Why": "old"}}},
    {"name": "json", "path": "/json", "respond": {"body": "{}", "headers": {"Content-Type": "application/json"}}},
    {"name": "moved", "path": "/moved/*", "redirect": {"to": "/new/{path}"}},
    {"name": "away", "path": "/away/*", "redirect": {"to": "https://{host}/x", "status": 302}},
    {"name": "user", "path": "/u/{id}", "redirect": {"to": "/people?id={id}", "status": 301}},
]


@pytest.fixture
def routed(entrance: Entrance) -> Iterator[Served]:
    with gateway({"routes": ROUTES}, entrance) as front:
        yield front


@on_both
def test_a_request_takes_the_first_route_that_matches(entrance: Entrance, routed: Served) -> None:
    asked = [
        ("exact", "GET", "/exact", ()),
        ("host", "GET", "/x", ("Host: SHOP.example:81",)),
        ("below", "GET", "/x", ("Host: a.b.shop.example",)),
        ("read", "GET", "/only/x", ()),
        ("write", "PUT", "/only/x", ()),
        ("field", "GET", "/field", ("x-tenant: blue",)),
        ("pattern", "GET", "/field", ("X-Tenant: red", "X-Tenant: green")),
        ("query", "GET", "/query?a=1&v=2", ()),
        ("any", "GET", "/query?debug", ()),
    ]
    with connected(routed.port) as client:
        for name, method, target, fields in asked:
            answer = client.get(target, *fields, method=method)
            assert (answer.status, answer.body) == (200, name.encode()), f"{entrance} {target}"


@on_both
def test_a_request_that_no_route_takes_is_404(entrance: Entrance, routed: Served) -> None:
    with connected(routed.port) as client:
        for target in ("/exact/", "/other", "/field", "/query?v=3"):
            answer = client.get(target)
            assert answer.status == 404, f"{entrance} {target}"
            assert answer.get("proxy-status") == b"gateway; error=destination_not_found"


@on_both
def test_a_method_that_no_route_takes_is_405_with_those_that_do(entrance: Entrance, routed: Served) -> None:
    answer = get(routed.port, "/only/x", method="POST")
    assert answer.status == 405
    assert answer.get("allow") == b"DELETE, GET, HEAD, PUT", entrance


@on_both
def test_an_error_is_a_problem_document_or_a_page_as_the_client_likes(entrance: Entrance, routed: Served) -> None:
    for accept in (None, "Accept: */*", "Accept: application/json", "Accept: application/json, text/html;q=0.9"):
        answer = get(routed.port, "/other", *([accept] if accept else []))
        problem = json.loads(answer.body)
        assert answer.get("content-type") == b"application/problem+json", entrance
        assert (problem["status"], problem["title"]) == (404, "Not Found")
        assert problem["request_id"].encode() == answer.get("x-request-id")
    page = get(routed.port, "/other", "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
    assert page.get("content-type") == b"text/html; charset=utf-8"
    assert page.get("cache-control") == b"no-store"
    assert page.body.startswith(b"<!doctype html>")
    assert page.get("x-request-id") in page.body


@on_both
def test_a_fixed_answer_is_given(entrance: Entrance, routed: Served) -> None:
    with connected(routed.port) as client:
        gone = client.get("/gone")
        assert (gone.status, gone.body, gone.get("x-why")) == (410, b"", b"old")
        assert client.get("/json").all("content-type") == [b"application/json"]
        head = client.get("/exact", method="HEAD")
        assert (head.status, head.get("content-length")) == (200, b"5")
        assert client.get("/exact").body == b"exact", f"{entrance}: the connection goes on behind HEAD"


@on_both
def test_a_body_that_a_fixed_answer_does_not_read_is_no_request(entrance: Entrance, routed: Served) -> None:
    with connected(routed.port) as client:
        client.request("/exact", method="POST", body=b"GET /gone HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.read().body == b"exact", entrance
        client.finish()
        assert client.closed()


@on_both
@pytest.mark.parametrize(
    ("asked", "status", "location"),
    [
        ("/moved/a%20b/c?q=1", 308, b"/new/a%20b/c?q=1"),
        ("/moved", 308, b"/new/"),
        ("/away/x", 302, b"https://test/x"),
        ("/u/7", 301, b"/people?id=7"),
        ("/moved//evil.example", 308, b"/new/evil.example"),
    ],
)
def test_a_redirect_is_answered(entrance: Entrance, routed: Served, asked: str, status: int, location: bytes) -> None:
    answer = get(routed.port, asked)
    assert (answer.status, answer.all("location"), answer.body) == (status, [location], b""), entrance


# ---------------------------------------------------------------- several targets


@on_both
def test_requests_are_split_by_weight(entrance: Entrance) -> None:
    with origin(respond(200, b"a")) as a, origin(respond(200, b"b")) as b:
        split = [{"upstream": a.url, "weight": 3}, {"upstream": b.url, "weight": 1}]
        with gateway({"routes": [{"path": "/*", "split": split}]}, entrance) as front, connected(front.port) as client:
            assert Counter(client.get().body for _ in range(40)) == {b"a": 30, b"b": 10}


@on_both
def test_round_robin_follows_the_weights(entrance: Entrance) -> None:
    with origin(respond(200, b"a")) as a, origin(respond(200, b"b")) as b:
        targets = [{"url": a.url, "weight": 2}, b.url]
        options = {"upstreams": {"u": {"targets": targets}}, "routes": [{"path": "/*", "upstream": "u"}]}
        with gateway(options, entrance) as front, connected(front.port) as client:
            bodies = [client.get().body for _ in range(30)]
        assert Counter(bodies) == {b"a": 20, b"b": 10}
        assert b"aaa" not in b"".join(bodies)


@on_both
def test_least_conn_avoids_the_target_that_is_busy(entrance: Entrance) -> None:
    from support.origin import hang

    with origin(hang()) as busy, origin(respond(200, b"free")) as free:
        options = {
            "upstreams": {"u": {"targets": [busy.url, free.url], "balance": "least_conn"}},
            "routes": [{"path": "/*", "upstream": "u"}],
        }
        with gateway(options, entrance) as front, connected(front.port) as waiting, connected(front.port) as client:
            waiting.request()
            busy.wait("hanging")
            assert [client.get().body for _ in range(10)] == [b"free"] * 10
            assert front.target(0, "u").in_flight == 1
            waiting.sock.close()
            busy.wait("hanging gone")
            front.until(lambda: front.target(0, "u").in_flight == 0)


@on_both
def test_a_target_that_refuses_is_passed_over(entrance: Entrance) -> None:
    with nobody() as closed, origin(respond(200, b"here")) as server:
        options = {"upstreams": {"u": {"targets": [closed, server.url]}}, "routes": [{"path": "/*", "upstream": "u"}]}
        with gateway(options, entrance) as front, connected(front.port) as client:
            for _ in range(4):
                assert client.get("/", method="POST", body=b"once").body == b"here"
        assert [request.body for request in server.requests] == [b"once"] * 4
