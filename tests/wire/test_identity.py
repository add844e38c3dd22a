"""Who the client is, which request it was, and what an origin says of its own addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.client import get
from support.origin import origin, respond
from support.serving import Pair, forwarding, gateway, in_front, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.serving import Entrance

CLAIMS = (
    "X-Forwarded-For: 203.0.113.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: public.example",
    "X-Forwarded-Port: 8443",
    "X-Real-IP: 203.0.113.9",
    "Forwarded: for=203.0.113.9;proto=https;host=public.example",
    "X_Forwarded_For: 203.0.113.9",
)


def test_what_a_client_says_of_itself_is_replaced(plain: Pair) -> None:
    _, received = plain.ask("/", *CLAIMS, "Host: shop.example:8080")
    assert received.all("x-forwarded-for") == [b"127.0.0.1"]
    assert received.all("x-forwarded-proto") == [b"http"]
    assert received.all("x-forwarded-host") == [b"shop.example:8080"]
    assert received.all("x-forwarded-port") == [b"8080"]
    assert received.all("x-real-ip") == [b"127.0.0.1"]
    assert received.all("forwarded") == [b'for=127.0.0.1;host="shop.example:8080";proto=http']
    assert not received.all("x_forwarded_for")


@on_both
def test_what_a_trusted_proxy_says_is_continued(entrance: Entrance) -> None:
    with in_front(entrance, server={"trusted_proxies": ["127.0.0.1"]}) as pair:
        _, received = pair.ask("/", *CLAIMS)
    assert received.all("x-forwarded-for") == [b"203.0.113.9, 127.0.0.1"]
    assert received.all("x-forwarded-proto") == [b"https"]
    assert received.all("x-forwarded-host") == [b"public.example"]
    assert received.all("x-forwarded-port") == [b"8443"]
    assert received.all("x-real-ip") == [b"203.0.113.9"]
    assert b"".join(received.all("forwarded")).startswith(b"for=203.0.113.9;proto=https;host=public.example, for=127.0.0.1")
    assert not received.all("x_forwarded_for")


def test_a_request_gets_an_id_that_its_answer_carries_too(plain: Pair) -> None:
    answer, received = plain.ask("/", "X-Request-ID: chosen-by-the-client")
    assert received.get("x-request-id") == answer.get("x-request-id") != b"chosen-by-the-client"
    assert len(answer.all("x-request-id")) == 1
    other, _ = plain.ask(step=respond(200, b"", "X-Request-ID: the-origins-own"))
    assert other.get("x-request-id") not in (answer.get("x-request-id"), b"the-origins-own")


@on_both
def test_the_id_of_a_trusted_proxy_is_kept_under_the_name_that_is_configured(entrance: Entrance) -> None:
    server = {"trusted_proxies": ["127.0.0.0/8"], "request_id": "X-Trace"}
    with in_front(entrance, server=server) as pair:
        answer, received = pair.ask("/", "X-Trace: abc-1")
        assert (answer.get("x-trace"), received.get("x-trace")) == (b"abc-1", b"abc-1")


def test_an_error_of_the_gateway_carries_the_id(plain: Pair) -> None:
    answer = get(plain.port, "/", "Host: a", method="TRACE")
    assert answer.status == 405
    assert answer.get("x-request-id") in answer.body


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_valid_traceparent_goes_on_with_its_state(plain: Pair) -> None:
    _, received = plain.ask("/", f"traceparent: {TRACE}", "tracestate: a=1,b=2")
    assert received.all("traceparent") == [TRACE.encode()]
    assert received.all("tracestate") == [b"a=1,b=2"]


@pytest.mark.parametrize("value", ["00-0-0-0", TRACE.upper(), "ff" + TRACE[2:], TRACE + "-more"])
def test_an_invalid_traceparent_goes_no_further(plain: Pair, value: str) -> None:
    _, received = plain.ask("/", f"traceparent: {value}", "tracestate: a=1")
    assert not received.all("traceparent")
    assert not received.all("tracestate")


# ---------------------------------------------------------------- Host, Location, cookies


@on_both
@pytest.mark.parametrize(("rule", "expected"), [("preserve", b"shop.example"), ("literal.example:81", b"literal.example:81")])
def test_the_host_that_the_origin_sees_is_a_choice(entrance: Entrance, rule: str, expected: bytes) -> None:
    with in_front(entrance, host_header=rule) as pair:
        _, received = pair.ask("/", "Host: shop.example")
    assert received.all("host") == [expected]
    assert received.all("x-forwarded-host") == [b"shop.example"]


@on_both
def test_the_host_may_be_the_targets_own(entrance: Entrance) -> None:
    with in_front(entrance, host_header="upstream") as pair:
        _, received = pair.ask("/", "Host: shop.example")
        assert received.all("host") == [f"127.0.0.1:{pair.origin.port}".encode()]


@pytest.fixture
def mapped(entrance: Entrance) -> Iterator[tuple[Pair, dict[str, Any]]]:
    """Below /shop at shop.example, for an origin that knows nothing of it."""
    with in_front(entrance, path="/shop/*", strip_prefix="/shop", host_header="upstream") as pair:
        yield pair


@on_both
@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("/cart", "/shop/cart"),
        ("{origin}/cart?x#y", "http://shop.example/shop/cart?x#y"),
        ("//{authority}/cart", "//shop.example/shop/cart"),
        ("http://shop.example/cart", "http://shop.example/shop/cart"),
        ("https://elsewhere.example/cart", "https://elsewhere.example/cart"),
        ("cart", "cart"),
        ("?page=2", "?page=2"),
    ],
)
def test_a_location_is_said_in_the_clients_terms(entrance: Entrance, mapped: Pair, said: str, seen: str) -> None:
    authority = f"127.0.0.1:{mapped.origin.port}"
    location = said.replace("{origin}", f"http://{authority}").replace("{authority}", authority)
    answer, received = mapped.ask("/shop/x", "Host: shop.example", step=respond(302, b"", f"Location: {location}"))
    assert received.target == b"/x"
    assert answer.all("location") == [seen.encode()]


@on_both
def test_cookies_are_said_in_the_clients_terms(entrance: Entrance, mapped: Pair) -> None:
    cookies = ("Set-Cookie: a=1; Path=/; HttpOnly", "Set-Cookie: b=2; path=/cart; domain=127.0.0.1", "Set-Cookie: c=3")
    answer, _ = mapped.ask("/shop", "Host: shop.example", step=respond(200, b"", *cookies))
    assert answer.all("set-cookie") == [
        b"a=1; Path=/shop; HttpOnly", b"b=2; path=/shop/cart; domain=shop.example", b"c=3",
    ]  # fmt: skip


# ---------------------------------------------------------------- paths


REWRITES = [
    ({"path": "/api/*", "strip_prefix": "/api"}, "/api/users/1?x=%20", "/users/1?x=%20"),
    ({"path": "/api/*", "strip_prefix": "/api"}, "/api", "/"),
    ({"path": "/api/*", "strip_prefix": "/api"}, "/api/a%2Fb//c", "/a%2Fb//c"),
    ({"add_prefix": "/v2"}, "/users", "/v2/users"),
    ({"path": "/old/*", "strip_prefix": "/old", "add_prefix": "/new"}, "/old/a?b", "/new/a?b"),
    ({"path": "/users/{id}", "rewrite": "/people/{id}?src=gw"}, "/users/7?x=1", "/people/7?src=gw&x=1"),
    ({"path_regex": "/v(?P<n>[0-9]+)/(?P<rest>.*)", "rewrite": "/{rest}/{n}"}, "/v3/a/b", "/a/b/3"),
]


@on_both
@pytest.mark.parametrize(("route", "asked", "sent"), REWRITES, ids=[asked for _, asked, _ in REWRITES])
def test_a_path_is_rewritten(entrance: Entrance, route: dict[str, Any], asked: str, sent: str) -> None:
    with in_front(entrance, **route) as pair:
        answer, received = pair.ask(asked)
    assert answer.status == 200
    assert received.target == sent.encode()


@on_both
@pytest.mark.parametrize("path", ["/pub/../admin", "/pub/%2e%2e/admin", "/pub/..%2fadmin"])
def test_no_spelling_of_a_path_gets_around_its_route(entrance: Entrance, path: str) -> None:
    with origin() as server:
        options = forwarding(server.url, path="/pub/*")
        options["routes"].insert(0, {"name": "closed", "path": "/admin/*", "respond": {"status": 403}})
        with gateway(options, entrance) as front:
            assert get(front.port, path).status == 403
            assert not server.requests


@on_both
@pytest.mark.parametrize(("said", "scheme"), [("https", b"https"), ("https, http", b"https"), ("gopher", b"http")])
def test_the_scheme_that_a_trusted_proxy_names_is_that_of_our_own_addresses(
    entrance: Entrance, said: str, scheme: bytes
) -> None:
    options = {
        "server": {"trusted_proxies": ["127.0.0.1"]},
        "routes": [{"path": "/*", "redirect": {"to": "{scheme}://{host}/x", "status": 302}}],
    }
    with gateway(options, entrance) as front:
        assert get(front.port, "/", f"X-Forwarded-Proto: {said}").get("location") == scheme + b"://test/x"
