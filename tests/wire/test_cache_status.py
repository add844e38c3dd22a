"""Every `Cache-Status` that docs/caching.md explains, brought about as it says there."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from support.caching import waiting_for
from support.client import get
from support.origin import Visit, origin, raw, reset, respond
from support.process import ROOT
from support.redis import redis_server
from support.serving import Entrance, forwarding, gateway, in_front, on_both

if TYPE_CHECKING:
    from gateway.cache.caching import Caching
    from support.client import Answer
    from support.origin import Step
    from support.serving import Served

SECTION = (ROOT / "docs" / "caching.md").read_text("utf-8").partition("\n## Cache-Status\n")[2].partition("\n## ")[0]
CACHE = {"max_object": "1KiB", "bypass": ["header:X-Bypass"], "methods": ["GET", "POST"]}

FRESH = "Cache-Control: max-age=60"
STALE = ("Cache-Control: max-age=10, stale-if-error=60", "Age: 12")
ETAG = 'ETag: "1"'
GET = ("GET",)


class Scene:
    """script: of the origin. requests: for one URL, each a method and fields; the answer to the last one is meant."""

    def __init__(self, *script: Step, requests: tuple[tuple[str, ...], ...] = (GET, GET)) -> None:
        self.script = script
        self.requests = requests

    def play(self, entrance: Entrance) -> Answer:
        edits = {"set": {"X-Me": "{client_ip}"}}
        with in_front(entrance, *self.script, cache=CACHE, request_headers=edits, retry={"retries": 0}) as pair:
            return [get(pair.port, "/x", *fields, method=method) for method, *fields in self.requests][-1]


def then(*fields: str, method: str = "GET") -> tuple[tuple[str, ...], ...]:
    """After a plain GET."""
    return GET, (method, *fields)


def alone(*fields: str, method: str = "GET") -> tuple[tuple[str, ...], ...]:
    return ((method, *fields),)


def answer(*fields: str, status: int = 200, body: bytes = b"x") -> Step:
    return respond(status, body, *fields)


def not_modified(*fields: str) -> Step:
    lines = "".join(f"{field}\r\n" for field in fields)
    return raw(f"HTTP/1.1 304 Not Modified\r\n{lines}\r\n".encode())


def part(*fields: str) -> Step:
    return answer(FRESH, ETAG, *fields, status=206, body=b"abc")


NEW, OLD, KEPT = answer(FRESH), answer(*STALE), answer(FRESH, ETAG)
FIRST, LAST = "Content-Range: bytes 0-2/10", "Content-Range: bytes 7-9/10"

VALUES = [
    ("gateway; hit; ttl=42", Scene(NEW)),
    ("gateway; hit; ttl=-3", Scene(answer("Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 12"))),
    ("gateway; hit; ttl=-3", Scene(answer(*STALE, ETAG), requests=then("Cache-Control: max-stale=9"))),
    ("gateway; hit; ttl=-3", Scene(answer(FRESH, "Age: 60", ETAG), requests=then("Cache-Control: max-stale=9"))),  # since now
    ("gateway; fwd=uri-miss", Scene(NEW, requests=alone())),
    ("gateway; fwd=uri-miss", Scene(reset(), requests=alone())),
    ("gateway; fwd=uri-miss", Scene(NEW, requests=alone("Cache-Control: only-if-cached"))),
    ("gateway; fwd=vary-miss", Scene(answer(FRESH, "Vary: A"), requests=then("A: 1"))),
    ("gateway; fwd=stale", Scene(answer(*STALE, ETAG), NEW)),
    ("gateway; fwd=stale", Scene(answer("Cache-Control: no-cache", ETAG), NEW)),
    ("gateway; fwd=stale; fwd-status=304", Scene(answer(*STALE, ETAG), not_modified(FRESH, ETAG))),
    ("gateway; fwd=stale; fwd-status=304", Scene(answer("Cache-Control: no-cache", ETAG), not_modified())),
    ("gateway; fwd=stale; fwd-status=503; ttl=-7", Scene(answer(*STALE, ETAG), answer(status=503))),
    ("gateway; fwd=request", Scene(KEPT, NEW, requests=then("Cache-Control: no-cache"))),
    ("gateway; fwd=request", Scene(KEPT, NEW, requests=then("Cache-Control: max-age=0"))),
    ("gateway; fwd=request", Scene(KEPT, NEW, requests=then("Cache-Control: min-fresh=90"))),
    ("gateway; fwd=request", Scene(KEPT, NEW, requests=then("Cache-Control: no-store"))),
    ("gateway; fwd=request", Scene(KEPT, NEW, requests=then("Authorization: Bearer x"))),
    ("gateway; fwd=partial", Scene(part(FIRST), part(LAST), requests=(("GET", "Range: bytes=0-2"), ("GET", "Range: bytes=7-")))),
    ("gateway; fwd=method", Scene(KEPT, NEW, requests=then(method="DELETE"))),
    ("gateway; fwd=method", Scene(KEPT, NEW, requests=then(method="POST"))),
    ("gateway; fwd=bypass", Scene(KEPT, NEW, requests=then("X-Bypass: 1"))),
    ("gateway; fwd=bypass", Scene(KEPT, NEW, requests=then("If-Match: *"))),
    ("gateway; fwd=bypass", Scene(KEPT, NEW, requests=then("X-HTTP-Method-Override: DELETE"))),
    ("gateway; fwd=bypass", Scene(KEPT, NEW, requests=then("Connection: A"))),
    ("...; stored", Scene(NEW, requests=alone())),
    ("...; stored", Scene(answer(FRESH, "Content-Location: /x"), requests=alone(method="POST"))),
    ("...; detail=no-store", Scene(answer("Cache-Control: no-store"), requests=alone())),
]  # fmt: skip
MORE = [  # what the text says of combinations
    ("gateway; fwd=stale; ttl=-N", Scene(answer(*STALE, ETAG), reset())),
    ("gateway; fwd=request; fwd-status=304", Scene(KEPT, not_modified(), requests=then("Cache-Control: no-cache"))),
    (
        "gateway; fwd=request; fwd-status=503; ttl=N",
        Scene(KEPT, answer(status=503), requests=then("Cache-Control: max-age=0")),
    ),
]
BY_OTHERS = {"gateway; fwd=miss", "...; collapsed"}  # tests below: it takes Redis, or two at once

DETAILS = [
    ("no-store", Scene(answer("Cache-Control: no-store"), requests=alone())),
    ("private", Scene(answer("Cache-Control: private, max-age=60"), requests=alone())),
    ("authorization", Scene(NEW, requests=alone("Authorization: Bearer x"))),
    ("freshness", Scene(answer(), requests=alone())),
    ("freshness", Scene(answer("Cache-Control: max-age=0"), requests=alone())),
    ("freshness", Scene(answer(*STALE), requests=alone())),
    ("set-cookie", Scene(answer("Set-Cookie: a=b", "Last-Modified: Tue, 24 Nov 2020 10:00:00 GMT"), requests=alone())),
    ("set-cookie", Scene(answer("Set-Cookie: a=b", "Cache-Control: max-age=0", ETAG), requests=alone())),
    ("vary", Scene(answer(FRESH, "Vary: *"), requests=alone())),
    ("vary", Scene(answer(FRESH, f"Vary: {', '.join(f'A{number}' for number in range(17))}"), requests=alone())),
    ("vary", Scene(answer(FRESH, "Vary: X-Real-IP"), requests=alone())),
    ("vary", Scene(answer(FRESH, "Vary: X-Me"), requests=alone())),
    ("vary", Scene(answer(FRESH, "Vary: X-Request-ID"), requests=alone())),
    ("size", Scene(answer(FRESH, body=bytes(1025)), requests=alone())),
    (
        "event-stream",
        Scene(
            raw(
                f"HTTP/1.1 200 OK\r\n{FRESH}\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: x\n\n".encode(),
                close=True,
            ),
            requests=alone(),
        ),
    ),
    ("tags", Scene(answer(FRESH, f"Surrogate-Key: {' '.join(map(str, range(257)))}"), requests=alone())),
    ("tags", Scene(answer(FRESH, f"Surrogate-Key: {'x' * 1025}"), requests=alone())),
    ("range", Scene(part(FIRST), requests=alone())),
    ("range", Scene(part("Content-Range: bytes 0-3/10"), requests=alone("Range: bytes=0-3"))),
    ("status", Scene(answer("Content-Range: bytes */3", status=416), requests=alone("Range: bytes=9-"))),
    ("status", Scene(answer(f"{FRESH}, must-understand", status=299), requests=alone())),
    ("status", Scene(answer("Cache-Control: no-store"), not_modified(ETAG), requests=then('If-None-Match: "1"'))),
    ("method", Scene(NEW, requests=alone(method="DELETE"))),
    ("method", Scene(NEW, requests=alone(method="POST"))),
    ("method", Scene(answer("Content-Location: /x"), requests=alone(method="POST"))),
    ("request", Scene(NEW, requests=alone("Cache-Control: no-store"))),
    ("request", Scene(NEW, requests=alone(f"X-Long: {'x' * 8192}"))),
]
TRIED_ELSEWHERE = {"end"}  # by test_cache_review.test_what_ends_with_its_tls_connection_is_not_stored


def explained(header: str) -> list[str]:
    """What stands in the first column of a table of the section, each as code."""
    table = SECTION.partition(f"\n| {header} |")[2].partition("\n\n")[0]
    return [
        word for cell in re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE) for word in re.findall("`([^`]+)`", cell)
    ]


def without_numbers(value: str) -> str:
    return re.sub(r"(?<=ttl=)(-?)\d+", r"\1N", value)


def said(got: Answer) -> str:
    [value] = got.all("cache-status")
    return without_numbers(value.decode())


def test_all_that_is_explained_is_tried():
    assert {value for value, _ in VALUES} | BY_OTHERS == set(explained("Value"))
    assert {word for word, _ in DETAILS} | TRIED_ELSEWHERE == set(explained("`detail`"))


@on_both
@pytest.mark.parametrize(("value", "played"), VALUES, ids=[value for value, _ in VALUES])
def test_a_value_comes_about_as_it_is_explained(value: str, played: Scene, entrance: Entrance):
    got = said(played.play(entrance))
    if value.startswith("..."):
        assert got.endswith(value.removeprefix("..."))
    else:
        assert re.sub("; (stored|detail=[a-z-]+)$", "", got) == without_numbers(value)


@on_both
@pytest.mark.parametrize(("value", "played"), MORE, ids=[value for value, _ in MORE])
def test_parts_of_a_value_are_combined_as_it_is_explained(value: str, played: Scene, entrance: Entrance):
    assert said(played.play(entrance)) == value


@on_both
@pytest.mark.parametrize(("word", "played"), DETAILS, ids=[word for word, _ in DETAILS])
def test_what_is_not_stored_says_why(word: str, played: Scene, entrance: Entrance):
    assert said(played.play(entrance)).endswith(f"; detail={word}")


@on_both
def test_what_has_expired_is_stale_and_not_for_other_fields(entrance: Entrance):
    with in_front(entrance, answer("Cache-Control: max-age=1, stale-if-error=0"), cache=True) as pair:
        assert said(get(pair.port, "/x")) == "gateway; fwd=uri-miss; stored"
        while "hit" in (value := said(get(pair.port, "/x"))):
            pass  # for a second
        assert value == "gateway; fwd=stale; stored"


@on_both
def test_what_is_refused_before_the_cache_is_asked_has_no_status(entrance: Entrance):
    options = {"cache": True, "max_body": "10B", "methods": ["GET", "POST"], "access": {"deny": ["10.9.9.0/24"]}}
    with in_front(entrance, NEW, **options, server={"trusted_proxies": ["127.0.0.1"]}) as pair:
        refused = [
            get(pair.port, "/x", "X-Forwarded-For: 10.9.9.9"),
            get(pair.port, "/x", method="PUT"),
            get(pair.port, "/x", method="POST", body=bytes(11)),
        ]
        assert [(got.status, got.get("cache-status")) for got in refused] == [(403, None), (405, None), (413, None)]
        assert said(get(pair.port, "/x", method="POST", body=bytes(10))) == "gateway; fwd=method; detail=method"


def caching(front: Served) -> Caching:
    found: Caching = front.app._gateway.snapshot.caching
    return found


def readers(front: Served) -> list[int]:
    """How many requests wait for each fetch that is under way."""
    return waiting_for(caching(front).routes["all"].fetches)


def test_who_shares_a_fetch_says_so_whichever_process_made_it():
    async def step(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("answer")
        await NEW(visit)

    with redis_server() as redis, origin(step) as server:
        options = {
            **forwarding(server.url, cache={"coalesce": "global"}),
            "cache": {"store": "redis"},
            "redis": {"url": redis.url},
        }
        with gateway(options) as one, gateway(options) as other, ThreadPoolExecutor(3) as pool:
            one.until(lambda: caching(one).store.is_current)
            other.until(lambda: caching(other).store.is_current)
            asked = [pool.submit(get, one.port, "/x")]
            server.wait("asked")
            asked += [pool.submit(get, front.port, "/x") for front in (one, other)]
            one.until(lambda: readers(one) == [2])
            other.until(lambda: readers(other) == [1])
            server.event("answer").set()
            values = [said(future.result()) for future in asked]
        assert len(server.requests) == 1
    assert values == ["gateway; fwd=uri-miss; stored", *["gateway; fwd=uri-miss; collapsed"] * 2]


@on_both
def test_what_has_lost_its_body_in_redis_is_a_miss(entrance: Entrance):
    with redis_server() as redis, origin(answer(FRESH, body=bytes(400_000))) as server:
        options = {**forwarding(server.url, cache=True), "cache": {"store": "redis"}, "redis": {"url": redis.url}}
        with gateway(options, entrance) as front, redis.client() as asked:
            while "hit" not in said(get(front.port, "/x")):
                pass  # until it has come to Redis
            pieces = [name for name in asked.scan_iter() if re.search(rb":\d$", name)]
            assert asked.delete(*pieces) > 1
            again = get(front.port, "/x")
            assert (said(again), len(again.body)) == ("gateway; fwd=miss; stored", 400_000)
