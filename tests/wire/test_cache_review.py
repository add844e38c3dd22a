"""What a client must never get from a shared cache, and what must never become of one."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.admin.api import Order
from gateway.admin.purge import purge
from support.caching import are_waiting
from support.client import connected, get
from support.origin import Visit, origin, raw, reset, respond
from support.redis import redis_server
from support.serving import ENTRANCES, Entrance, Pair, forwarding, gateway, in_front
from support.serving import held as loop_held

if TYPE_CHECKING:
    from pathlib import Path

    from support.origin import Step

FRESH = "Cache-Control: max-age=60"
ETAG = 'ETag: "1"'


def echoing(field: str, *fields: str) -> Step:
    """Answer with what came in a field."""
    lines = "".join(f"{one}\r\n" for one in fields).encode()

    async def step(visit: Visit) -> None:
        await visit.read_body()
        body = visit.request.get(field) or b"none"
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), lines, body))

    return step


def waiting(pair: Pair, count: int) -> None:
    """Until so many requests wait in one flight."""
    cache = pair.gateway.app._gateway.snapshot.caching.routes["all"]
    pair.gateway.until(lambda: are_waiting(cache.fetches, count))


def held(data: bytes) -> Step:
    """Answer when the event `answer` is set."""

    async def step(visit: Visit) -> None:
        await visit.read_body()
        visit.server.event("asked").set()
        await visit.server.waited("answer")
        await visit.send(data)

    return step


@pytest.mark.parametrize("control", ["no-cache", "max-age=0", "no-cache, max-age=60"])
def test_a_cookie_of_one_user_is_not_given_to_another_after_a_validation(control: str):
    first = respond(200, b"page", f"Cache-Control: {control}", ETAG, "Set-Cookie: session=alice")
    second = raw(b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\ncache-control: %b\r\n\r\n' % control.encode())

    async def either(visit: Visit) -> None:
        await (second if visit.request.get("if-none-match") else first)(visit)

    with in_front("express", either, cache=True) as pair:
        get(pair.port, "/s")
        get(pair.port, "/s")
        assert [request.get("if-none-match") for request in pair.origin.requests] == [None, None]


@pytest.mark.parametrize("directive", ['private="x-user"', 'no-cache="set-cookie, x-user"'])
def test_a_follower_does_not_get_the_fields_that_are_the_leaders_alone(directive: str):
    head = (
        b"HTTP/1.1 200 OK\r\ncache-control: max-age=60, %b\r\nx-user: alice\r\ncontent-length: 4\r\n\r\nbody"
        % directive.encode()
    )
    with in_front("express", held(head), respond(500), cache=True) as pair:
        with ThreadPoolExecutor(2) as pool:
            leader = pool.submit(get, pair.port, "/f")
            pair.origin.wait("asked")
            follower = pool.submit(get, pair.port, "/f")
            waiting(pair, 2)
            pair.origin.event("answer").set()
            assert leader.result().get("x-user") == b"alice"
            assert follower.result().body == b"body"
            assert follower.result().get("x-user") is None


def test_a_target_that_fails_while_only_a_part_is_held_is_an_error_and_an_answer():
    part = raw(
        b'HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-3/10\r\ncontent-length: 4\r\netag: "1"\r\ncache-control: max-age=60\r\n\r\n0123'
    )
    with in_front("express", part, respond(503, b"down"), cache=True) as pair:
        assert get(pair.port, "/p", "Range: bytes=0-3").status == 206
        answer = get(pair.port, "/p")
        assert answer.status == 503


def test_a_206_that_nobody_asked_for_is_passed_on_once():
    part = raw(
        b'HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-3/10\r\ncontent-length: 4\r\netag: "1"\r\ncache-control: max-age=60\r\n\r\n0123'
    )
    with in_front("express", part, cache=True) as pair:
        answer = get(pair.port, "/unasked")
        assert len(pair.origin.requests) == 1
        assert answer.status == 206


def test_a_validation_beside_whose_answer_is_not_stored_ends():
    big = b"x" * (4 << 20)
    with in_front(
        "express",
        respond(200, b"old", "Cache-Control: max-age=0, stale-while-revalidate=60", ETAG),
        respond(200, big, "Cache-Control: private"),
        cache=True,
    ) as pair:
        assert [get(pair.port, "/beside").body for _ in range(2)] == [b"old"] * 2
        pair.gateway.until(lambda: len(pair.origin.requests) == 2)
        cache = pair.gateway.app._gateway.snapshot.caching.routes["all"]
        pair.gateway.until(lambda: not cache.fetches.under_way)


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_what_varies_by_the_client_is_not_shared(field: str):
    with in_front("express", echoing(field, FRESH, f"Vary: {field}"), cache=True) as pair:
        get(pair.port, "/v")
        assert b"hit" not in (get(pair.port, "/v").get("cache-status") or b"")


def test_behind_a_trusted_proxy_the_host_it_tells_is_no_poison():
    with origin(echoing("X-Forwarded-Host", FRESH)) as server:
        options = forwarding(server.url, cache=True, server={"trusted_proxies": ["127.0.0.1/32"]})
        with gateway(options) as front:
            assert get(front.port, "/t", "X-Forwarded-Host: evil.example").body == b"evil.example"
            assert get(front.port, "/t").body != b"evil.example"


def test_behind_a_trusted_proxy_a_prefix_is_no_poison():
    with origin(echoing("X-Forwarded-Prefix", FRESH)) as server:
        options = forwarding(server.url, cache=True, server={"trusted_proxies": ["127.0.0.1/32"]})
        with gateway(options) as front:
            assert get(front.port, "/t", "X-Forwarded-Prefix: /evil").body == b"/evil"
            assert get(front.port, "/t").body == b"none"


def test_a_head_with_a_parameter_that_does_not_count_changes_nothing_that_is_stored():
    with in_front(
        "express",
        respond(200, b"body", FRESH, ETAG, "Link: </good.css>"),
        raw(
            b'HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncache-control: max-age=60\r\netag: "1"\r\nlink: </evil.css>\r\n\r\n'
        ),
        cache={"query": {"exclude": ["utm_*"]}},
    ) as pair:
        get(pair.port, "/h?a=1")
        get(pair.port, "/h?a=1&utm_x=evil", "Cache-Control: no-cache", method="HEAD")
        assert len(pair.origin.requests) == 2
        assert get(pair.port, "/h?a=1").get("link") == b"</good.css>"


@pytest.mark.parametrize("extra", ["Cookie: session=1", "X-HTTP-Method-Override: PUT"])
def test_a_post_that_would_go_past_the_cache_stores_nothing(extra: str):
    with in_front(
        "express",
        respond(200, b"mine", FRESH, "Content-Location: /post"),
        respond(200, b"all", FRESH),
        cache={"bypass": ["cookie:session"]},
    ) as pair:
        get(pair.port, "/post", extra, method="POST", body=b"a")
        assert get(pair.port, "/post").body == b"all"


def test_a_purge_while_the_body_of_a_post_comes_is_not_undone():
    async def slow(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(
            b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-location: /q\r\ncontent-length: 6\r\n\r\nold"
        )
        visit.server.event("asked").set()
        await visit.server.waited("answer")
        await visit.send(b"old")

    with in_front("express", slow, respond(204), respond(200, b"new", FRESH), cache=True) as pair:
        with ThreadPoolExecutor(1) as pool:
            posted = pool.submit(get, pair.port, "/q", method="POST", body=b"x")
            pair.origin.wait("asked")
            pair.gateway.until(lambda: pair.gateway.app._gateway.snapshot.caching.store.mark() == 1)  # its own purge
            get(pair.port, "/q", method="DELETE")
            pair.origin.event("answer").set()
            assert posted.result().body == b"oldold"
        assert get(pair.port, "/q").body == b"new"


@pytest.mark.parametrize("store", ["redis", "tiered"])
def test_a_large_entry_in_redis_that_is_validated_is_an_answer(store: str):
    body = bytes(range(256)) * 1024
    with redis_server() as redis:
        script = (
            respond(200, body, "Cache-Control: max-age=1", ETAG),
            raw(b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\ncache-control: max-age=1\r\n\r\n'),
        )
        with origin(*script) as server:
            options = {**forwarding(server.url, cache=True), "redis": {"url": redis.url}, "cache": {"store": store}}
            with gateway(options) as front:
                assert get(front.port, "/l").body == body
            with gateway(options) as front:
                time.sleep(1.3)
                answer = get(front.port, "/l")
                assert (answer.status, answer.body == body) == (200, True)
                assert server.requests[-1].get("if-none-match") == b'"1"'


def test_a_client_whose_condition_is_met_does_not_end_the_fetch():
    async def slow(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(b'HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\netag: "1"\r\ncontent-length: 6\r\n\r\nabc')
        await visit.server.waited("answer")
        await visit.send(b"def")

    with in_front("express", slow, respond(200, b"second", FRESH), cache=True) as pair:
        assert get(pair.port, "/c", 'If-None-Match: "1"').status == 304
        pair.origin.event("answer").set()
        assert get(pair.port, "/c").body == b"abcdef"
        assert len(pair.origin.requests) == 1


def test_a_long_answer_that_comes_at_once_and_is_not_stored_leaves_its_connection_readable():
    body = b"x" * 65536
    with in_front(
        "express", respond(200, body, "Cache-Control: private"), cache=True, timeouts={"first_byte": "2s"}
    ) as pair:
        answers = [get(pair.port, f"/{number}", method=method) for number in range(4) for method in ("GET", "POST")]
        assert [answer.status for answer in answers] == [200] * 8
        assert len({request.connection for request in pair.origin.requests}) == 1


# ---------------------------------------------------------------- poison


@pytest.mark.parametrize("key", [[], ["header:Origin"]])
def test_a_field_that_ends_here_since_connection_names_it_selects_nothing(key: list[str]):
    with in_front(
        "express", echoing("origin", FRESH, "Vary: Origin"), cache={"key": ["host", "path", "query", *key]}
    ) as pair:
        assert get(pair.port, "/n", "Origin: https://a", "Connection: Origin").body == b"none"
        assert get(pair.port, "/n", "Origin: https://a").body == b"https://a"
        assert get(pair.port, "/n", "Origin: https://a", "Connection: close, TE").body == b"https://a"
        assert len(pair.origin.requests) == 2


@pytest.mark.parametrize(
    ("field", "edits"),
    [
        ("x-client", {"set": {"X-Client": "{client_ip}"}}),
        ("x-client", {"add": {"X-Client": "a {request_id}"}}),
        ("x-request-id", None),
    ],
)
def test_what_varies_by_a_field_that_we_fill_in_is_not_shared(field: str, edits: dict[str, object] | None):
    with in_front("express", echoing(field, FRESH, f"Vary: {field}"), cache=True, request_headers=edits) as pair:
        answers = [get(pair.port, "/w") for _ in range(2)]
        assert [answer.get("cache-status") for answer in answers] == [b"gateway; fwd=uri-miss; detail=vary"] * 2
        assert len(pair.origin.requests) == 2


def test_what_varies_by_a_field_that_is_always_the_same_is_shared():
    with in_front(
        "express", echoing("x-who", FRESH, "Vary: X-Who"), cache=True, request_headers={"set": {"X-Who": "us"}}
    ) as pair:
        assert [get(pair.port, "/l").body for _ in range(2)] == [b"us"] * 2
        assert len(pair.origin.requests) == 1


PLACES = ["X-Host", "X-HTTP-Host-Override", "X-Original-URI", "X-Script-Name", "X-Url-Scheme", "Front-End-Https", "X_Original_URI"]


@pytest.mark.parametrize("field", PLACES)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_who_names_another_place_in_a_field_of_its_own_has_a_key_of_its_own(entrance: Entrance, field: str):
    with in_front(entrance, echoing(field, FRESH), cache=True) as pair:
        for _ in range(2):
            assert get(pair.port, "/o", f"{field}: evil one").body == b"evil one"
            assert get(pair.port, "/o").body == b"none"
        assert len(pair.origin.requests) == 2
        purged(pair, url="/o")
        get(pair.port, "/o", f"{field}: evil one")
        assert len(pair.origin.requests) == 3


@pytest.mark.parametrize("field", ["X-Method-Override", "X_HTTP_Method_Override", "X-Original-Method"])
def test_who_names_another_method_in_a_field_of_its_own_goes_past(field: str):
    with in_front("express", echoing(field, FRESH), cache=True) as pair:
        evil = get(pair.port, "/o", f"{field}: DELETE")
        assert (evil.body, evil.get("cache-status")) == (b"DELETE", b"gateway; fwd=bypass")
        assert get(pair.port, "/o").body == b"none"
        assert get(pair.port, "/o", f"{field}: DELETE").body == b"DELETE"


def test_a_cookie_of_a_validation_is_for_the_one_who_asked():
    async def either(visit: Visit) -> None:
        if visit.request.get("if-none-match"):
            await raw(b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\nset-cookie: session=alice\r\nx-more: 1\r\n\r\n')(
                visit
            )
        else:  # stale as it comes
            await respond(200, b"page", FRESH, "Age: 100", ETAG)(visit)

    with in_front("express", either, cache=True) as pair:
        get(pair.port, "/c")
        asker, other = get(pair.port, "/c"), get(pair.port, "/c")
        assert (asker.get("set-cookie"), asker.get("x-more"), asker.body) == (b"session=alice", b"1", b"page")
        assert (other.get("set-cookie"), other.get("x-more"), other.body) == (None, b"1", b"page")
        assert len(pair.origin.requests) == 2


def test_a_cookie_of_a_head_is_not_stored():
    async def either(visit: Visit) -> None:
        if visit.request.method == b"HEAD":
            await raw(b'HTTP/1.1 200 OK\r\netag: "1"\r\ncontent-length: 4\r\nset-cookie: session=alice\r\n\r\n')(visit)
        else:
            await respond(200, b"page", FRESH, ETAG)(visit)

    with in_front("express", either, cache=True) as pair:
        get(pair.port, "/h")
        assert (
            get(pair.port, "/h", "Cookie: alice", "Cache-Control: no-cache", method="HEAD").get("set-cookie")
            is not None
        )
        again = get(pair.port, "/h")
        assert (again.get("set-cookie"), again.body) == (None, b"page")
        assert len(pair.origin.requests) == 2


def test_a_cookie_of_a_validation_that_says_it_may_be_shared_takes_the_place_of_the_stored_one():
    async def either(visit: Visit) -> None:
        if visit.request.get("if-none-match"):
            await raw(b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\nset-cookie: lang=de\r\ncache-control: max-age=60\r\n\r\n')(visit)
        else:
            await respond(200, b"page", FRESH, "Age: 100", ETAG, "Set-Cookie: lang=en")(visit)

    with in_front("express", either, cache=True) as pair:
        get(pair.port, "/c")
        assert [get(pair.port, "/c").all("set-cookie") for _ in range(2)] == [[b"lang=de"]] * 2


def test_a_validation_that_may_not_be_stored_says_its_age_once():
    async def either(visit: Visit) -> None:
        if visit.request.get("if-none-match"):
            await raw(
                b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\nage: 5\r\ncache-status: inner; hit\r\ncache-control: no-store\r\n\r\n'
            )(visit)
        else:
            await respond(200, b"page", FRESH, "Age: 100", ETAG)(visit)

    with in_front("express", either, cache=True) as pair:
        get(pair.port, "/a")
        answer = get(pair.port, "/a")
        assert len(answer.all("age")) == len(answer.all("cache-status")) == 1


# ---------------------------------------------------------------- what becomes invalid


QUERY = {"exclude": ["utm_*"], "sort": True}


def purged(pair: Pair, **order: object) -> None:
    gateway_ = pair.gateway.app._gateway
    asyncio.run_coroutine_threadsafe(purge(gateway_, Order("POST", "/cache/purge", order)), pair.gateway.loop).result()


@pytest.mark.parametrize("method", ["POST", "DELETE", "M-SEARCH"])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_an_unsafe_request_by_another_route_makes_invalid_what_is_stored(entrance: Entrance, method: str):
    with origin(respond(200, b"old", FRESH), respond(200, b"done"), respond(200, b"new", FRESH)) as server:
        options = forwarding(server.url)
        reading = {**options["routes"][0], "name": "reading", "methods": ["GET"], "cache": True}
        with gateway({**options, "routes": [reading, *options["routes"]]}, entrance) as front:
            assert get(front.port, "/x").body == b"old"
            answer = get(front.port, "/x", method=method, body=b"change")
            assert (answer.body, answer.get("cache-status")) == (b"done", None)
            assert get(front.port, "/x").body == b"new"
            assert server.requests[1].body == b"change"


def test_an_unsafe_request_that_fails_makes_nothing_invalid():
    with origin(respond(200, b"old", FRESH), respond(409, b"no"), respond(500)) as server:
        options = forwarding(server.url)
        reading = {**options["routes"][0], "name": "reading", "methods": ["GET"], "cache": True}
        with gateway({**options, "routes": [reading, *options["routes"]]}) as front:
            assert [get(front.port, "/x", method=method).status for method in ("GET", "POST", "GET")] == [200, 409, 200]


@pytest.mark.parametrize(
    ("key", "url"),
    [
        (["host", "path", "query"], "http://test/a?utm_source=x&b=2&a=1"),
        (["host", "path", "query"], "http://TEST:80/a?b=2&a=1"),
        (["path", "query"], "http://other/a?b=2&a=1"),
        (["path"], "http://test/a?c"),
        (["path"], "/a?c"),
        (["host", "path", "query"], "/a?b=2&a=1"),
    ],
)
def test_a_url_is_purged_as_clients_ask_for_it(key: list[str], url: str):
    cache = {"key": key, **({"query": QUERY} if "query" in key else {})}
    with in_front("express", respond(200, b"old", FRESH), respond(200, b"new", FRESH), host=["test"], cache=cache) as pair:
        assert get(pair.port, "/a?b=2&a=1&utm_medium=mail").body == b"old"
        purged(pair, url=url)
        assert get(pair.port, "/a?a=1&b=2").body == b"new"


def test_a_location_is_made_invalid_as_it_is_stored():
    step = respond(201, b"done", "Location: /a?utm_source=x&b=2&a=1")
    with in_front("express", respond(200, b"old", FRESH), step, respond(200, b"new", FRESH), cache={"query": QUERY}) as pair:
        assert get(pair.port, "/a?a=1&b=2").body == b"old"
        get(pair.port, "/others", method="POST")
        assert get(pair.port, "/a?a=1&b=2").body == b"new"


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_an_answer_of_ours_says_how_the_cache_had_to_do_with_it(entrance: Entrance):
    with in_front(entrance, reset(), cache=True, retry={"retries": 0}) as pair:
        answer = get(pair.port, "/x")
        assert (answer.status, answer.get("cache-status")) == (502, b"gateway; fwd=uri-miss")


# ---------------------------------------------------------------- parts, ends and leavers


async def ranged(visit: Visit) -> None:
    """Ten bytes, as far as they are asked for."""
    asked = visit.request.get("range")
    if asked is None:
        await respond(200, b"0123456789", FRESH, ETAG)(visit)
        return
    first = int(asked.removeprefix(b"bytes=").partition(b"-")[0])
    if first > 9:
        await raw(b"HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */10\r\ncontent-length: 0\r\n\r\n")(
            visit
        )
    else:
        part = b"0123456789"[first:]
        head = (
            b'HTTP/1.1 206 Partial Content\r\netag: "1"\r\ncache-control: max-age=60\r\ncontent-range: bytes %d-9/10\r\n'
            % first
        )
        await raw(head + b"content-length: %d\r\n\r\n%b" % (len(part), part))(visit)


def test_a_part_that_is_all_of_it_answers_whoever_asks_for_the_whole():
    with in_front("express", ranged, cache=True) as pair:
        first = get(pair.port, "/r", "Range: bytes=0-")
        assert (first.status, first.body) == (206, b"0123456789")
        whole = get(pair.port, "/r")
        assert (whole.status, whole.body, whole.get("content-range")) == (200, b"0123456789", None)
        assert len(pair.origin.requests) == 1


def test_a_refusal_of_the_rest_that_we_asked_for_is_not_the_clients():
    """The representation has become shorter under the same tag."""

    async def shrinking(visit: Visit) -> None:
        asked = visit.request.get("range")
        if asked == b"bytes=0-3":
            head = b'HTTP/1.1 206 Partial Content\r\netag: "1"\r\ncache-control: max-age=60\r\ncontent-range: bytes 0-3/10\r\n'
            await raw(head + b"content-length: 4\r\n\r\n0123")(visit)
        elif asked is not None:
            await raw(b"HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */4\r\ncontent-length: 0\r\n\r\n")(
                visit
            )
        else:
            await respond(200, b"0123", FRESH, ETAG)(visit)

    with in_front("express", shrinking, cache=True) as pair:
        get(pair.port, "/s", "Range: bytes=0-3")
        answer = get(pair.port, "/s")
        assert (answer.status, answer.body) == (200, b"0123")
        assert [request.get("range") for request in pair.origin.requests] == [b"bytes=0-3", b"bytes=4-", None]


def test_what_ends_with_its_tls_connection_is_not_stored(tmp_path: Path):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    endless = raw(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nconnection: close\r\n\r\nhalf", close=True)
    with origin(endless, tls=context) as server:
        with gateway(forwarding(server.url, cache=True, tls={"ca": str(tmp_path / "ca.pem")})) as front:
            answers = [get(front.port, "/t") for _ in range(2)]
            assert [answer.body for answer in answers] == [b"half"] * 2
            assert answers[0].get("cache-status") == b"gateway; fwd=uri-miss; detail=end"
            assert len(server.requests) == 2


def test_clients_that_leave_at_once_keep_nobody_waiting():
    """Their fetch is given up before it has begun."""
    with redis_server() as redis, origin(respond(200, b"ok", "Cache-Control: max-age=0")) as server:
        options = {**forwarding(server.url, cache=True), "redis": {"url": redis.url}, "cache": {"store": "tiered"}}
        with gateway(options) as front:
            flights = front.app._gateway.snapshot.caching.routes["all"].fetches.under_way
            assert get(front.port, "/before").body == b"ok"
            with connected(front.port) as waiting:
                waiting.get("/before")
                with loop_held(front):
                    for number in range(20):
                        with connected(front.port) as client:
                            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                            client.request(f"/leaving/{number % 3}")
            front.until(lambda: not flights)
            assert [get(front.port, f"/leaving/{number}").body for number in range(3)] == [b"ok"] * 3


def test_requests_with_credentials_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.cache.serve.COALESCE_WAIT", 1000.0)
    with in_front(
        "express", held(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nmine"), cache=True
    ) as pair:
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(get, pair.port, "/me", f"Authorization: {who}") for who in "abc"]
            pair.gateway.until(lambda: len(pair.origin.requests) == 3)
            pair.origin.event("answer").set()
            assert [future.result().body for future in asked] == [b"mine"] * 3


# ---------------------------------------------------------------- what Redis is asked for


@pytest.mark.parametrize("store", ["redis", "tiered"])
@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        (['If-None-Match: "1"'], 304, b""),
        (["Range: bytes=70000-70001"], 206, b"\x70\x71"),
        (["Range: bytes=65535-65536"], 206, b"\xff\x00"),
    ],
)
def test_no_more_of_a_body_is_read_than_is_sent(store: str, fields: list[str], status: int, body: bytes):
    whole = bytes(range(256)) * 4096
    with (
        redis_server() as redis,
        origin(respond(200, whole, FRESH, ETAG), respond(500)) as server,
        redis.client() as asked,
    ):
        options = {**forwarding(server.url, cache=True), "redis": {"url": redis.url}, "cache": {"store": store}}
        with gateway(options) as front:
            assert get(front.port, "/l").body == whole
            front.until(lambda: any(asked.type(name) == b"hash" for name in asked.scan_iter("gw:{*}:*")))  # it comes last
        with gateway(options) as front:  # with nothing in its memory
            before = asked.info("stats")["total_net_output_bytes"]
            answer = get(front.port, "/l", *fields)
            assert (answer.status, answer.body) == (status, body)
            assert asked.info("stats")["total_net_output_bytes"] - before < 200_000
