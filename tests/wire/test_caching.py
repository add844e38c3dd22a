"""What clients of a route with a cache see, and what its origin is asked."""

from __future__ import annotations

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import brotli
import pytest
import zstandard

from support.caching import are_waiting, date
from support.client import connected, get
from support.origin import Visit, hang, origin, raw, reset, respond
from support.redis import redis_server
from support.serving import ENTRANCES, Entrance, Pair, forwarding, gateway, in_front, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.client import Answer
    from support.origin import Step

FRESH = "Cache-Control: max-age=60"
STALE = "Cache-Control: max-age=0, stale-if-error=60"
ETAG = 'ETag: "1"'
PATIENCE = 20.0  # seconds


def cached(answer: Answer) -> bytes:
    value = answer.get("cache-status")
    assert value is not None
    return value


@pytest.fixture(scope="module", params=ENTRANCES)
def _pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    entrance: Entrance = request.param
    with in_front(entrance, cache=True) as pair:
        yield pair


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    """One gateway for many tests; each asks for a path of its own."""
    _pair.play()
    return _pair


def not_modified(*fields: str) -> Step:
    lines = "".join(f"{field}\r\n" for field in fields)
    return raw(f"HTTP/1.1 304 Not Modified\r\n{lines}\r\n".encode())


# ---------------------------------------------------------------- hits and misses


def test_a_response_is_fetched_once_and_then_comes_from_the_store(pair: Pair):
    pair.play(respond(200, b"one", FRESH, ETAG, "X-Own: a", "Set-Cookie: b=c"), respond(200, b"two"))
    first, second = get(pair.port, "/hit"), get(pair.port, "/hit")
    assert (first.body, second.body) == (b"one", b"one")
    assert len(pair.origin.requests) == 1
    assert cached(first) == b"gateway; fwd=uri-miss; stored"
    assert cached(second).startswith(b"gateway; hit; ttl=")
    assert first.get("age") is None
    assert second.get("age") == b"0"
    assert second.all("cache-status") == [cached(second)]
    assert (second.get("x-own"), second.get("set-cookie"), second.get("content-length")) == (b"a", b"b=c", b"3")


def test_what_may_not_be_stored_is_fetched_each_time(pair: Pair):
    pair.play(respond(200, b"one", "Cache-Control: no-store"), respond(200, b"two", "Cache-Control: no-store"))
    first, second = get(pair.port, "/no-store"), get(pair.port, "/no-store")
    assert (first.body, second.body) == (b"one", b"two")
    assert cached(first) == b"gateway; fwd=uri-miss; detail=no-store"


def test_a_chunked_response_is_stored_when_it_is_whole(pair: Pair):
    pair.play(raw(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    assert get(pair.port, "/chunked").body == b"abcde"
    again = get(pair.port, "/chunked")
    assert (again.body, again.get("content-length")) == (b"abcde", b"5")
    assert len(pair.origin.requests) == 1


def test_a_response_that_was_cut_off_is_never_stored(pair: Pair):
    pair.play(raw(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 9\r\n\r\nabc", close=True), respond(200, b"whole", FRESH))
    assert not get(pair.port, "/cut").complete
    again = get(pair.port, "/cut")
    assert (again.body, cached(again)) == (b"whole", b"gateway; fwd=uri-miss; stored")


def test_a_large_body_is_stored_in_pieces_and_comes_out_whole(pair: Pair):
    body = bytes(range(256)) * 4096
    pair.play(respond(200, body, FRESH))
    assert get(pair.port, "/large").body == body
    again = get(pair.port, "/large")
    assert (again.body == body, again.get("content-length")) == (True, b"1048576")
    part = get(pair.port, "/large", "Range: bytes=300000-700000")
    assert (part.status, part.body == body[300000:700001]) == (206, True)
    head = get(pair.port, "/large", method="HEAD")
    assert (head.get("content-length"), head.body, head.complete) == (b"1048576", b"", True)
    assert len(pair.origin.requests) == 1


def test_a_head_is_answered_by_what_a_get_has_stored(pair: Pair):
    pair.play(respond(200, b"body", FRESH))
    get(pair.port, "/head")
    answer = get(pair.port, "/head", method="HEAD")
    assert (answer.status, answer.body, answer.get("content-length")) == (200, b"", b"4")
    assert cached(answer).startswith(b"gateway; hit")
    assert len(pair.origin.requests) == 1


def test_an_http_1_0_client_gets_a_hit_with_its_length(pair: Pair):
    pair.play(respond(200, b"body", FRESH))
    get(pair.port, "/old")
    answer = get(pair.port, "/old", version="1.0")
    assert (answer.body, answer.get("content-length"), cached(answer)[:12]) == (b"body", b"4", b"gateway; hit")


def test_several_requests_on_one_connection_get_hits_and_misses_in_order(pair: Pair):
    pair.play(respond(200, b"one", FRESH), respond(200, b"two", FRESH), respond(200, b"three", "Cache-Control: no-store"))
    with connected(pair.port) as client:
        bodies = [client.get(f"/order/{path}").body for path in ("a", "b", "a", "c", "b")]
    assert bodies == [b"one", b"two", b"one", b"three", b"two"]


def test_only_if_cached_never_reaches_the_target(pair: Pair):
    answer = get(pair.port, "/only", "Cache-Control: only-if-cached")
    assert (answer.status, pair.origin.requests) == (504, [])
    get(pair.port, "/only/stored")
    pair.play(respond(200, b"x", FRESH))
    get(pair.port, "/only/fresh")
    assert get(pair.port, "/only/fresh", "Cache-Control: only-if-cached").body == b"x"


def test_targeted_fields_decide_and_ours_goes_no_further(pair: Pair):
    pair.play(respond(200, b"x", "Cache-Control: no-store", "CDN-Cache-Control: no-store", "Gateway-Cache-Control: max-age=60"))
    for expected in (b"gateway; fwd=uri-miss; stored", b"gateway; hit; ttl="):
        answer = get(pair.port, "/targeted")
        assert cached(answer).startswith(expected)
        assert answer.get("gateway-cache-control") is None
        assert answer.get("cdn-cache-control") == b"no-store"


def test_variants_stand_side_by_side(pair: Pair):
    pair.play(respond(200, b"de", FRESH, "Vary: Accept-Language"), respond(200, b"en", FRESH, "Vary: Accept-Language"))
    asked = [get(pair.port, "/vary", f"Accept-Language: {language}") for language in ("de", "en", "DE", "en")]
    assert [answer.body for answer in asked] == [b"de", b"en", b"de", b"en"]
    assert cached(asked[1]) == b"gateway; fwd=vary-miss; stored"
    assert len(pair.origin.requests) == 2


def test_interim_answers_reach_the_client_and_are_not_stored(pair: Pair):
    pair.needs_http1("ASGI has no interim answers")
    pair.play(raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 1\r\n\r\nx"))
    with connected(pair.port) as client:
        first = client.get("/interim")
        assert [interim.status for interim in client.interims] == [103]
        second = client.get("/interim")
        assert len(client.interims) == 1
    assert first.get("link") is second.get("link") is None


# ---------------------------------------------------------------- conditions and ranges


def test_conditional_requests_are_answered_from_the_store(pair: Pair):
    modified = f"Last-Modified: {date()}"
    pair.play(respond(200, b"body", FRESH, ETAG, modified, "Vary: X"))
    get(pair.port, "/conditional")
    for line in ('If-None-Match: "0", W/"1"', "If-None-Match: *", f"If-Modified-Since: {date()}"):
        answer = get(pair.port, "/conditional", line)
        assert (answer.status, answer.body, answer.get("etag"), answer.get("vary")) == (304, b"", b'"1"', b"X")
        assert cached(answer).startswith(b"gateway; hit")
    assert get(pair.port, "/conditional", 'If-None-Match: "2"').status == 200
    assert len(pair.origin.requests) == 1


def test_the_clients_condition_is_not_sent_along_but_answered(pair: Pair):
    pair.play(respond(200, b"body", FRESH, ETAG))
    answer = get(pair.port, "/stripped", 'If-None-Match: "1"')
    assert (answer.status, answer.body) == (304, b"")
    assert pair.origin.requests[0].get("if-none-match") is None
    assert get(pair.port, "/stripped").body == b"body"
    assert len(pair.origin.requests) == 1


def test_ranges_are_cut_from_what_is_stored(pair: Pair):
    pair.play(respond(200, b"0123456789", FRESH, ETAG))
    get(pair.port, "/range")
    part = get(pair.port, "/range", "Range: bytes=2-4")
    assert (part.status, part.body, part.get("content-range"), part.get("content-length")) == (206, b"234", b"bytes 2-4/10", b"3")
    assert get(pair.port, "/range", "Range: bytes=2-4", 'If-Range: "2"').body == b"0123456789"
    assert get(pair.port, "/range", "Range: bytes=50-").get("content-range") == b"bytes */10"
    assert len(pair.origin.requests) == 1


def partial(first: int, last: int) -> Step:
    body = b"0123456789"[first : last + 1]
    return respond(206, body, FRESH, ETAG, f"Content-Range: bytes {first}-{last}/10", reason="Partial Content")


def test_a_part_is_stored_answers_smaller_ranges_and_is_completed(pair: Pair):
    pair.play(partial(0, 4), partial(5, 9), respond(500))
    assert get(pair.port, "/part", "Range: bytes=0-4").body == b"01234"
    inner = get(pair.port, "/part", "Range: bytes=1-2")
    assert (inner.status, inner.body, inner.get("content-range")) == (206, b"12", b"bytes 1-2/10")
    whole = get(pair.port, "/part")
    assert (whole.status, whole.body, whole.get("content-length"), whole.get("content-range")) == (200, b"0123456789", b"10", None)
    assert [request.get("range") for request in pair.origin.requests] == [b"bytes=0-4", b"bytes=5-"]
    assert pair.origin.requests[1].get("if-range") == b'"1"'
    assert cached(whole) == b"gateway; fwd=partial; stored"
    assert cached(get(pair.port, "/part")).startswith(b"gateway; hit")


def test_the_beginning_of_a_representation_is_completed_too(pair: Pair):
    pair.play(partial(5, 9), partial(0, 4))
    get(pair.port, "/tail", "Range: bytes=-5")
    assert get(pair.port, "/tail").body == b"0123456789"
    assert pair.origin.requests[1].get("range") == b"bytes=0-4"


def test_a_changed_representation_is_not_joined_to_an_old_part(pair: Pair):
    pair.play(partial(0, 4), respond(200, b"completely new", FRESH, 'ETag: "2"'))
    get(pair.port, "/changed", "Range: bytes=0-4")
    assert get(pair.port, "/changed").body == b"completely new"
    odd = respond(206, b"56789", FRESH, 'ETag: "2"', "Content-Range: bytes 5-9/10")
    pair.play(partial(0, 4), odd, respond(200, b"whole", FRESH))
    get(pair.port, "/changed/odd", "Range: bytes=0-4")
    assert get(pair.port, "/changed/odd").body == b"whole"
    assert pair.origin.requests[2].get("range") is None


def test_two_parts_that_meet_are_one(pair: Pair):
    pair.play(partial(0, 4), partial(3, 7), respond(500))
    get(pair.port, "/meet", "Range: bytes=0-4")
    get(pair.port, "/meet", "Range: bytes=3-7")
    assert get(pair.port, "/meet", "Range: bytes=1-7").body == b"1234567"
    assert len(pair.origin.requests) == 2


# ---------------------------------------------------------------- validation and staleness


def test_a_stale_response_is_validated_and_used_again(pair: Pair):
    pair.play(respond(200, b"body", "Cache-Control: max-age=0", ETAG, "X-Own: a"), not_modified(FRESH, "X-Own: b"))
    get(pair.port, "/validate")
    answer = get(pair.port, "/validate")
    assert (answer.body, answer.get("x-own"), cached(answer)) == (b"body", b"b", b"gateway; fwd=stale; fwd-status=304")
    assert pair.origin.requests[1].get("if-none-match") == b'"1"'
    assert cached(get(pair.port, "/validate")).startswith(b"gateway; hit")
    assert len(pair.origin.requests) == 2


def test_a_304_about_something_else_is_not_believed(pair: Pair):
    pair.play(respond(200, b"old", "Cache-Control: max-age=0", ETAG), not_modified('ETag: "2"', FRESH), respond(200, b"new", FRESH))
    get(pair.port, "/odd")
    assert get(pair.port, "/odd").body == b"new"
    assert [request.get("if-none-match") for request in pair.origin.requests] == [None, b'"1"', None]


def test_a_no_store_answer_to_a_validation_leaves_what_is_stored(pair: Pair):
    pair.play(respond(200, b"old", FRESH, ETAG), respond(200, b"new", "Cache-Control: no-store"))
    get(pair.port, "/evict")
    assert get(pair.port, "/evict", "Cache-Control: no-cache").body == b"new"
    assert get(pair.port, "/evict").body == b"old"


@pytest.mark.parametrize("failure", [reset(), respond(503, b"down")])
def test_a_stale_response_helps_out_when_the_target_fails(pair: Pair, failure: Step):
    path = f"/bridge/{id(failure)}"
    pair.play(respond(200, b"old", STALE, ETAG), failure)
    get(pair.port, path)
    answer = get(pair.port, path)
    assert (answer.status, answer.body) == (200, b"old")
    assert cached(answer).startswith(b"gateway; fwd=stale;")


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=0", "no-cache"])
def test_some_responses_are_never_used_stale(pair: Pair, directive: str):
    pair.play(respond(200, b"old", f"Cache-Control: max-age=0, stale-if-error=60, {directive}", ETAG), reset())
    get(pair.port, f"/strict/{directive}")
    assert get(pair.port, f"/strict/{directive}").status == 502


def test_a_stale_response_is_used_while_a_new_one_is_fetched(pair: Pair):
    async def slowly(visit: Visit) -> None:
        visit.server.event("validating").set()
        await visit.server.waited("go on")
        await respond(200, b"new", FRESH)(visit)
        visit.server.event("validated").set()

    pair.play(respond(200, b"old", "Cache-Control: max-age=0, stale-while-revalidate=60", ETAG), slowly)
    get(pair.port, "/swr")
    answers = [get(pair.port, "/swr") for _ in range(3)]
    assert [answer.body for answer in answers] == [b"old"] * 3
    assert all(cached(answer).startswith(b"gateway; hit; ttl=-") for answer in answers)
    pair.origin.wait("validating")
    pair.origin.event("go on").set()
    pair.origin.wait("validated")
    cache = pair.gateway.app._gateway.snapshot.caching
    pair.gateway.until(lambda: not len(cache.tasks))
    assert get(pair.port, "/swr").body == b"new"
    assert len(pair.origin.requests) == 2


def test_a_request_may_ask_for_a_new_response(pair: Pair):
    pair.play(respond(200, b"one", FRESH, ETAG), respond(200, b"two", FRESH))
    get(pair.port, "/reload")
    answer = get(pair.port, "/reload", "Cache-Control: no-cache")
    assert (answer.body, cached(answer)) == (b"two", b"gateway; fwd=request; stored")
    assert get(pair.port, "/reload").body == b"two"


# ---------------------------------------------------------------- what makes invalid


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "M-SEARCH"])
def test_a_successful_unsafe_request_drops_its_url_and_those_it_names(pair: Pair, method: str):
    base = f"/unsafe/{method}"
    others = (f"{base}/location", f"{base}/content", f"{base}/other")
    pair.play(respond(200, b"old", FRESH))
    for path in (base, *others):
        get(pair.port, path)
    pair.play(respond(200, b"done", f"Location: {others[0]}", f"Content-Location: http://test{others[1]}"))
    assert get(pair.port, base, method=method, body=b"x").body == b"done"
    pair.play(respond(200, b"new", FRESH))
    assert [get(pair.port, path).body for path in (base, *others)] == [b"new", b"new", b"new", b"old"]


def test_a_failed_unsafe_request_drops_nothing(pair: Pair):
    pair.play(respond(200, b"old", FRESH), respond(500, b"no"))
    get(pair.port, "/failed")
    get(pair.port, "/failed", method="DELETE")
    assert get(pair.port, "/failed").body == b"old"


def test_a_group_is_invalidated_by_an_answer_that_says_so(pair: Pair):
    pair.play(respond(200, b"old", FRESH, 'Cache-Groups: "g", "h"'))
    get(pair.port, "/group")
    pair.play(respond(200, b"done", 'Cache-Group-Invalidation: "h"'))
    get(pair.port, "/group/other", method="POST")
    pair.play(respond(200, b"new", FRESH))
    assert get(pair.port, "/group").body == b"new"


def test_the_answer_to_a_post_is_stored_where_it_is_about_the_url(pair: Pair):
    pair.play(respond(200, b"posted", FRESH, "Content-Location: /posted"), respond(200, b"got"))
    assert get(pair.port, "/posted", method="POST", body=b"x").body == b"posted"
    assert get(pair.port, "/posted").body == b"posted"
    assert len(pair.origin.requests) == 1


def test_a_head_freshens_what_is_stored_or_makes_it_stale(pair: Pair):
    pair.play(respond(200, b"body", "Cache-Control: max-age=0", ETAG), raw(b"HTTP/1.1 200 OK\r\netag: \"1\"\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\n"))
    get(pair.port, "/freshen")
    get(pair.port, "/freshen", method="HEAD")
    assert cached(get(pair.port, "/freshen")).startswith(b"gateway; hit")
    pair.play(raw(b"HTTP/1.1 200 OK\r\netag: \"2\"\r\ncontent-length: 4\r\n\r\n"), respond(200, b"new", FRESH))
    get(pair.port, "/freshen", "Cache-Control: no-cache", method="HEAD")
    assert get(pair.port, "/freshen").body == b"new"


# ---------------------------------------------------------------- one fetch


class Crowd:
    """An origin that answers one request slowly, and how far it is. Nothing is waited for behind the last piece: the
    gateway may use the connection again as soon as it has that."""

    def __init__(self, head: bytes, *pieces: bytes) -> None:
        self.head = head
        self.pieces = pieces

    async def __call__(self, visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("answer")
        await visit.send(self.head)
        for number, piece in enumerate(self.pieces):
            if number:
                await visit.server.waited(f"sent {number - 1}")
            await visit.send(piece)


def waiting(pair: Pair, count: int) -> None:
    """Until so many requests wait in one flight."""
    cache = pair.gateway.app._gateway.snapshot.caching.routes["all"]
    pair.gateway.until(lambda: are_waiting(cache.fetches, count))


def test_two_hundred_clients_of_a_cold_key_cost_one_request(pair: Pair):
    pair.play(Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nbody"), respond(500))
    with ThreadPoolExecutor(200) as pool:
        asked = [pool.submit(get, pair.port, "/crowd") for _ in range(200)]
        waiting(pair, 200)
        pair.origin.event("answer").set()
        answers = [future.result() for future in asked]
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"body")}
    assert len(pair.origin.requests) == 1
    assert sorted({cached(answer) for answer in answers}) == [b"gateway; fwd=uri-miss; collapsed", b"gateway; fwd=uri-miss; stored"]


def test_followers_get_the_body_as_it_comes_and_late_ones_what_they_missed(pair: Pair):
    pair.play(Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"))
    with connected(pair.port) as leader, connected(pair.port) as follower, connected(pair.port) as late:
        leader.request("/stream")
        pair.origin.wait("asked")
        follower.request("/stream")
        waiting(pair, 2)
        pair.origin.event("answer").set()
        assert [(client.read_head().status, client.read_chunk()) for client in (leader, follower)] == [(200, b"abc")] * 2
        late.request("/stream")
        assert (late.read_head().status, late.read_chunk()) == (200, b"abc")
        pair.origin.event("sent 0").set()
        assert [client.read_chunk() for client in (leader, follower, late)] == [b"de"] * 3
        pair.origin.event("sent 1").set()
        assert [client.read_chunk() for client in (leader, follower, late)] == [b""] * 3
    assert len(pair.origin.requests) == 1


def test_a_leader_that_leaves_does_not_take_the_fetch_with_it(pair: Pair):
    pair.play(Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nbody"), respond(500))
    with connected(pair.port) as follower:
        with connected(pair.port) as leader:
            leader.request("/leader")
            pair.origin.wait("asked")
            follower.request("/leader")
            waiting(pair, 2)
        waiting(pair, 1)
        pair.origin.event("answer").set()
        assert follower.read().body == b"body"
    assert len(pair.origin.requests) == 1


def test_when_everybody_has_left_the_target_learns_it(pair: Pair):
    pair.play(hang("left"))
    with connected(pair.port) as client:
        client.request("/deserted")
        pair.origin.wait("left")
    pair.origin.wait("left gone")


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 5\r\n\r\nfirst", b"broken"])
def test_a_leader_without_a_storable_answer_frees_the_others_at_once(pair: Pair, first: bytes):
    pair.play(Crowd(first), respond(200, b"own", "Cache-Control: no-store"))
    path = f"/free/{len(first)}"
    with ThreadPoolExecutor(5) as pool:
        leader = pool.submit(get, pair.port, path)
        pair.origin.wait("asked")
        followers = [pool.submit(get, pair.port, path) for _ in range(4)]
        waiting(pair, 5)
        pair.origin.event("answer").set()
        assert [future.result().body for future in followers] == [b"own"] * 4
        assert leader.result().body == (b"first" if b"200" in first else leader.result().body)
    assert len(pair.origin.requests) == 5


def test_a_slow_client_does_not_slow_the_others(pair: Pair):
    body = bytes(4 << 20)
    pair.play(Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: %d\r\n\r\n" % len(body), body))
    with connected(pair.port) as slow:
        slow.request("/slow")
        pair.origin.wait("asked")
        with connected(pair.port) as quick:
            quick.request("/slow")
            waiting(pair, 2)
            pair.origin.event("answer").set()
            assert len(quick.read().body) == len(body)
        assert len(slow.read().body) == len(body)


def test_who_comes_after_a_purge_does_not_join_a_fetch_from_before_it(pair: Pair):
    pair.play(Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 3\r\n\r\nold"), respond(200, b"done"), respond(200, b"new", FRESH))
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(get, pair.port, "/purged")
        pair.origin.wait("asked")
        assert get(pair.port, "/purged", method="POST").body == b"done"
        assert get(pair.port, "/purged").body == b"new"
        pair.origin.event("answer").set()
        assert early.result().body == b"old"
    assert get(pair.port, "/purged").body == b"new"
    assert len(pair.origin.requests) == 3


def test_the_answer_to_a_post_is_stored_whatever_else_is_purged_meanwhile(pair: Pair):
    posted = b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-location: /made\r\ncontent-length: 4\r\n\r\nmade"
    pair.play(Crowd(posted), respond(200, b"elsewhere"), respond(500))
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(get, pair.port, "/made", method="POST", body=b"")
        pair.origin.wait("asked")
        get(pair.port, "/elsewhere", method="POST")
        pair.origin.event("answer").set()
        assert making.result().body == b"made"
    assert get(pair.port, "/made").body == b"made"


def test_a_handshake_is_not_answered_from_the_store(pair: Pair):
    pair.needs_http1("a WebSocket is another scope there")
    handshake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    pair.play(respond(200, b"page", FRESH), respond(403, b"no socket"))
    get(pair.port, "/chat")
    assert get(pair.port, "/chat", *handshake).status == 403
    assert get(pair.port, "/chat").body == b"page"


def test_followers_with_other_fields_do_not_get_the_leaders_variant(pair: Pair):
    pair.play(
        Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nvary: accept-language\r\ncontent-length: 2\r\n\r\nde"),
        respond(200, b"en", FRESH, "Vary: Accept-Language"),
    )
    with ThreadPoolExecutor(2) as pool:
        german = pool.submit(get, pair.port, "/variants", "Accept-Language: de")
        pair.origin.wait("asked")
        english = pool.submit(get, pair.port, "/variants", "Accept-Language: en")
        waiting(pair, 2)
        pair.origin.event("answer").set()
        assert (german.result().body, english.result().body) == (b"de", b"en")


def test_an_answer_that_outgrows_the_store_still_reaches_all_who_wait():
    with in_front("http1", cache={"max_object": 100_000}) as pair:
        body = bytes(range(256)) * 4096
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        pair.play(Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n", chunks), respond(200, b"again"))
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(get, pair.port, "/outgrown") for _ in range(2)]
            waiting(pair, 2)
            pair.origin.event("answer").set()
            assert all(future.result().body == body for future in asked)
        assert get(pair.port, "/outgrown").body == b"again"


# ---------------------------------------------------------------- coded forms


def test_a_hit_is_compressed_once_beside_the_requests():
    text = b"compress me " * 1000
    with in_front("http1", cache=True, compression=True) as pair:
        pair.play(respond(200, text, FRESH, ETAG, "Content-Type: text/plain"))
        get(pair.port, "/form")
        store = pair.gateway.app._gateway.snapshot.caching.store
        get(pair.port, "/form", "Accept-Encoding: gzip")  # asks for the form, and is encoded on its way
        pair.gateway.until(lambda: any(entry.forms for _, shelf in store.shelves() for entry in shelf.entries))
        coded = get(pair.port, "/form", "Accept-Encoding: gzip")
        assert gzip.decompress(coded.body) == text
        assert coded.get("content-length") == b"%d" % len(coded.body)
        assert (coded.get("content-encoding"), coded.get("etag"), coded.get("vary")) == (b"gzip", b'W/"1"', b"accept-encoding")
        plain = get(pair.port, "/form")
        assert (plain.body, plain.get("etag"), plain.get("vary")) == (text, b'"1"', b"accept-encoding")
        unchanged = get(pair.port, "/form", "Accept-Encoding: gzip", 'If-None-Match: W/"1"')
        assert (unchanged.status, unchanged.get("etag")) == (304, b'W/"1"')
        assert len(pair.origin.requests) == 1


DECODED = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize(("store", "size"), [("memory", 12_000), ("memory", 600_000), ("redis", 12_000), ("redis", 60_000), ("tiered", 600_000)])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("entrance", ["express", "http1"])
def test_a_hit_of_any_size_costs_no_compression_in_any_store(entrance: Entrance, coding: str, store: str, size: int):
    text = (b"compress me " * size)[:size]
    options: dict[str, Any] = {"cache": {"store": store}}
    with redis_server() if store != "memory" else nullcontext() as redis:
        if redis is not None:
            options["redis"] = {"url": redis.url}
        with origin(respond(200, text, FRESH, ETAG, "Content-Type: text/plain")) as server:
            with gateway({**forwarding(server.url, cache=True, compression=True), **options}, entrance) as front:
                assert get(front.port, "/form").body == text

                def coded() -> Answer:
                    return get(front.port, "/form", f"Accept-Encoding: {coding}")

                answer = coded()
                until = time.monotonic() + PATIENCE
                while answer.get("content-length") is None and time.monotonic() < until:  # it has none when encoded on its way
                    answer = coded()
                assert DECODED[coding](answer.body) == text
                assert answer.get("content-encoding") == coding.encode()
                assert answer.get("content-length") == b"%d" % len(answer.body)
                assert get(front.port, "/form").body == text
                part = get(front.port, "/form", f"Accept-Encoding: {coding}", "Range: bytes=12-23")
                assert (part.status, part.body, part.get("content-encoding")) == (206, b"compress me ", None)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_where_the_gateway_codes_answers_itself_all_clients_share_one(entrance: Entrance):
    text = b"compress me " * 1000
    with in_front(entrance, respond(200, text, FRESH, "Vary: Accept-Encoding", "Content-Type: text/plain"), cache=True, compression=True) as pair:
        accepted = [["Accept-Encoding: gzip, deflate, br, zstd"], [], ["Accept-Encoding: br"], ["Accept-Encoding: identity"], ["Accept-Encoding: gzip;q=0.5"]]
        answers = [get(pair.port, "/one", *fields) for fields in accepted]
        assert [answer.get("content-encoding") is not None for answer in answers] == [True, False, True, False, True]
        assert [request.get("accept-encoding") for request in pair.origin.requests] == [None]


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_target_that_codes_unasked_is_answered_to_those_alone_who_accept_it(entrance: Entrance):
    coded = respond(200, gzip.compress(b"text"), FRESH, "Content-Encoding: gzip", "Content-Type: text/plain")
    with in_front(entrance, coded, cache=True, compression=True) as pair:
        for _ in range(2):
            assert get(pair.port, "/unasked", "Accept-Encoding: gzip").get("content-encoding") == b"gzip"
        assert len(pair.origin.requests) == 1
        assert cached(get(pair.port, "/unasked")) == b"gateway; fwd=vary-miss; stored"


def test_a_head_that_is_answered_in_a_coding_says_nothing_of_the_plain_answer():
    async def step(visit: Visit) -> None:
        head = visit.request.method == b"HEAD"
        await respond(200, b"" if head else b"text", FRESH, 'ETag: "gz"' if head else ETAG, *(["Content-Encoding: gzip"] if head else []))(visit)

    with in_front("express", step, cache=True, compression=True) as pair:
        get(pair.port, "/h")
        get(pair.port, "/h", "Accept-Encoding: gzip", "Cache-Control: no-cache", method="HEAD")
        assert cached(get(pair.port, "/h")).startswith(b"gateway; hit; ttl=")


# ---------------------------------------------------------------- who may not change what others get


@pytest.mark.parametrize(
    "line",
    ["X-HTTP-Method-Override: DELETE", "X-Forwarded-Host: evil.example", "X-Original-URL: /evil", "Forwarded: host=evil.example", "X-Forwarded-Proto: ftp", "X-Rewrite-URL: /evil"],
)
def test_a_field_that_is_not_in_the_key_does_not_poison_what_is_stored(pair: Pair, line: str):
    async def reflecting(visit: Visit) -> None:
        await visit.read_body()
        evil = b"evil" if b"evil" in visit.request.head or b"Override" in visit.request.head or b"ftp" in visit.request.head else b"good"
        await visit.send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\n" + evil)

    path = f"/poison/{len(line)}"
    pair.play(reflecting)
    get(pair.port, path, line)
    assert get(pair.port, path).body == b"good"


def test_a_get_with_a_body_goes_past_the_cache(pair: Pair):
    pair.play(respond(200, b"of the body", FRESH), respond(200, b"plain", FRESH))
    answer = get(pair.port, "/fat", method="GET", body=b"x")
    assert cached(answer) == b"gateway; fwd=bypass"
    assert get(pair.port, "/fat").body == b"plain"


def test_a_host_has_its_own_entries(pair: Pair):
    pair.play(respond(200, b"one", FRESH), respond(200, b"two", FRESH))
    assert get(pair.port, "/host", "Host: one").body == b"one"
    assert get(pair.port, "/host", "Host: two").body == b"two"
    assert get(pair.port, "/host", "Host: ONE").body == b"one"


@pytest.mark.parametrize("path", ["/account/..%2fpublic.css", "/public/..%2faccount", "/a//b", "/a/./b", "/account%252f"])
def test_a_path_that_can_be_read_in_two_ways_is_never_stored(pair: Pair, path: str):
    pair.play(respond(200, b"secret", FRESH))
    for _ in range(2):
        assert cached(get(pair.port, path)) == b"gateway; fwd=bypass"
    assert len(pair.origin.requests) == 2


def test_the_error_of_an_oversized_request_is_not_given_to_others(pair: Pair):
    pair.play(respond(400, b"too large", FRESH), respond(200, b"fine", FRESH))
    assert get(pair.port, "/oversized", "X-Padding: " + "x" * 9000).status == 400
    assert get(pair.port, "/oversized").body == b"fine"


def test_a_coded_answer_without_vary_is_not_given_to_clients_that_can_not_read_it(pair: Pair):
    pair.play(respond(200, b"\x1f\x8b", FRESH, "Content-Encoding: gzip"), respond(200, b"plain", FRESH))
    get(pair.port, "/coded", "Accept-Encoding: gzip")
    assert get(pair.port, "/coded").body == b"plain"


def test_an_answer_to_credentials_is_not_given_to_others(pair: Pair):
    pair.play(respond(200, b"secret", FRESH), respond(200, b"public", FRESH), respond(200, b"secret again", FRESH))
    assert get(pair.port, "/auth", "Authorization: Basic x").body == b"secret"
    assert get(pair.port, "/auth").body == b"public"
    assert get(pair.port, "/auth", "Authorization: Basic x").body == b"secret again"


def test_routes_do_not_share_what_they_store():
    with origin(respond(200, b"beta", FRESH), respond(200, b"stable", FRESH)) as server:
        options = forwarding(server.url, cache=True)
        beta = {**options["routes"][0], "name": "beta", "headers": {"X-Beta": "*"}}
        with gateway({**options, "routes": [beta, *options["routes"]]}) as front:
            assert get(front.port, "/x", "X-Beta: 1").body == b"beta"
            assert get(front.port, "/x").body == b"stable"
            assert get(front.port, "/x", "X-Beta: 1").body == b"beta"


# ---------------------------------------------------------------- what a route may say


def test_parameters_that_do_not_count_are_not_sent():
    with in_front("http1", respond(200, b"x", FRESH), cache={"query": {"exclude": ["utm_*"], "sort": True}}) as pair:
        get(pair.port, "/q?b=1&utm_source=mail&a=2")
        assert cached(get(pair.port, "/q?a=2&utm_medium=x&b=1")).startswith(b"gateway; hit")
        assert pair.origin.requests[0].target == b"/q?a=2&b=1"
        assert len(pair.origin.requests) == 1


def test_a_route_adds_lifetimes_parts_of_the_key_and_ways_past():
    options = {"ttl": "1m", "negative": {"404": "1m"}, "key": ["host", "path", "query", "header:X-Tenant"], "bypass": ["cookie:session"]}
    with in_front("http1", respond(200, b"a"), respond(200, b"b"), respond(404, b"c"), respond(200, b"d"), cache=options) as pair:
        assert [get(pair.port, "/x", f"X-Tenant: {tenant}").body for tenant in ("a", "b", "a", "b")] == [b"a", b"b", b"a", b"b"]
        assert [get(pair.port, "/none").status for _ in range(2)] == [404, 404]
        assert get(pair.port, "/x", "X-Tenant: a", "Cookie: session=1").body == b"d"
        assert get(pair.port, "/x", "X-Tenant: a").body == b"a"


def test_requests_do_not_count_where_a_route_says_so():
    with in_front("http1", respond(200, b"x", FRESH), cache={"request_directives": False}) as pair:
        get(pair.port, "/x")
        assert cached(get(pair.port, "/x", "Cache-Control: no-cache")).startswith(b"gateway; hit")


def test_without_coalescing_everybody_fetches():
    with in_front("http1", cache={"coalesce": "off"}) as pair:
        pair.play(Crowd(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 1\r\n\r\nx"))
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(get, pair.port, "/off") for _ in range(3)]
            pair.gateway.until(lambda: len(pair.origin.requests) == 3)
            pair.origin.event("answer").set()
            assert [future.result().body for future in asked] == [b"x"] * 3


def test_results_are_counted_by_route():
    with in_front("http1", respond(200, b"x", FRESH), cache=True) as pair:
        for path in ("/a", "/a", "/b"):
            get(pair.port, path)
        get(pair.port, "/a", method="DELETE")
        caching = pair.gateway.app._gateway.snapshot.caching
        pair.gateway.until(lambda: sum(caching.note.counts.values()) == 4)  # an exchange is counted behind its answer
        found = {metric.name: metric.samples for metric in caching.note.collect(caching.store)}
        assert found["gateway_cache_requests_total"] == {("all", "miss"): 2, ("all", "hit"): 1, ("all", "bypass"): 1}
        assert found["gateway_cache_entries"] == {("memory",): 1}
        assert found["gateway_cache_purged_total"] == {("memory",): 1}


def test_a_gateway_that_stops_leaves_no_fetch_behind():
    stopped = threading.Event()
    with in_front("http1", hang("fetch"), cache=True) as pair, connected(pair.port) as client:
        client.request("/x")
        pair.origin.wait("fetch")
        stopped.set()
    assert stopped.is_set()


# ---------------------------------------------------------------- how hits are written


@on_both
@pytest.mark.parametrize("options", [{}, {"response_headers": {"set": {"X-Own": "1"}}}], ids=["plain", "edited"])
def test_a_hit_has_the_id_of_its_own_request_and_no_other(entrance: Entrance, options: dict[str, Any]):
    """Also where the stored answer had brought one."""
    answer = respond(200, b"body", "Cache-Control: max-age=60", "X-Request-ID: theirs", "Server: them")
    other = respond(200, b"other", "Cache-Control: max-age=60")
    with in_front(entrance, cache=True, **options) as pair:
        pair.play(answer, other)
        for path, server in (("/a", b"them"), ("/b", None)):
            seen = [get(pair.port, path) for _ in range(4)]
            assert [(one.get("cache-status") or b"")[:13] for one in seen[1:]] == [b"gateway; hit;"] * 3
            ids = [one.all("x-request-id") for one in seen]
            assert all(len(found) == 1 and found != [b"theirs"] for found in ids)
            assert len({found[0] for found in ids}) == 4
            assert {one.get("server") for one in seen} == {server}
            assert {one.get("x-own") for one in seen} == ({b"1"} if options else {None})
            assert {one.get("content-length") for one in seen} == {b"%d" % len(seen[0].body)}
