"""What a cache has nothing of, by the express lane and by the other roads: the same for the client, the store and the target.

An idle connection to the target is there before, since only then the lane serves such a request itself.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cache.flight import TAKE, WINDOW
from gateway.cache.purge import Purge, Scope
from gateway.exchange import Exchange, Headers, ResponseHead
from gateway.pipeline import Pipeline
from support.caching import are_waiting
from support.client import connected, get
from support.origin import Visit, hang, origin, raw, reset, respond
from support.serving import Entrance, Pair, forwarding, gateway, held, in_front, on_both, tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.client import Client

FRESH = "Cache-Control: max-age=60"
PIECES = b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 6\r\n\r\n"


@contextmanager
def primed(entrance: Entrance, **options: Any) -> Iterator[Pair]:
    with in_front(entrance, cache=True, **options) as pair:
        assert get(pair.port, "/first").status == 200
        pair.origin.requests.clear()
        yield pair
        pair.gateway.until(lambda: pair.gateway.target().in_flight == 0)
        assert not fetches(pair).under_way


def fetches(pair: Pair) -> Any:
    return pair.gateway.app._gateway.snapshot.caching.routes["all"].fetches


def status_of(pair: Pair, path: str, *fields: str) -> bytes | None:
    return get(pair.port, path, *fields).get("cache-status")


@on_both
def test_a_connection_that_has_died_meanwhile_costs_nothing_but_another_one(entrance: Entrance):
    with primed(entrance) as pair:
        pair.play(reset(), respond(200, b"again", FRESH))
        answer = get(pair.port, "/x")
        assert (answer.body, answer.get("cache-status")) == (b"again", b"gateway; fwd=uri-miss; stored")
        assert get(pair.port, "/x").body == b"again"
        assert len(pair.origin.requests) == 2


@on_both
def test_an_answer_that_is_none_is_a_502_and_not_stored(entrance: Entrance):
    with primed(entrance) as pair:
        pair.play(raw(b"no HTTP\r\n\r\n", close=True), respond(200, b"fine", FRESH))
        assert get(pair.port, "/x").status == 502
        assert get(pair.port, "/x").body == b"fine"


@on_both
def test_a_target_that_says_nothing_is_a_504_and_the_next_request_is_served(entrance: Entrance):
    with primed(entrance, timeouts={"total": "300ms"}) as pair:
        pair.play(hang(), respond(200, b"fine", FRESH))
        assert get(pair.port, "/x").status == 504
        pair.origin.wait("hanging gone")
        assert get(pair.port, "/x").body == b"fine"


@on_both
def test_a_client_that_leaves_takes_its_request_with_it(entrance: Entrance):
    with primed(entrance) as pair:
        pair.play(hang("left"), respond(200, b"fine", FRESH))
        with connected(pair.port) as client:
            client.request("/x")
            pair.origin.wait("left")
        pair.origin.wait("left gone")
        assert get(pair.port, "/x").body == b"fine"


@on_both
def test_a_client_that_leaves_inside_an_answer_takes_it_with_it(entrance: Entrance):
    async def begins(visit: Visit) -> None:
        await visit.send(PIECES + b"abc")
        await visit.closed()
        visit.server.event("closed").set()

    with primed(entrance) as pair:
        pair.play(begins, respond(200, b"fine", FRESH))
        with connected(pair.port) as client:
            client.request("/x")
            client.read_head()
        pair.origin.wait("closed")
        assert get(pair.port, "/x").body == b"fine"


@pytest.mark.parametrize("whole", [True, False])
@on_both
def test_a_fetch_goes_on_for_those_who_joined_it(entrance: Entrance, whole: bool):
    async def answers(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("answer")
        await visit.send(PIECES + (b"abcdef" if whole else b"abc"))
        await visit.server.waited("rest")
        await visit.send(b"" if whole else b"def")

    def readers(count: int) -> bool:
        return are_waiting(fetches(pair), count)

    with primed(entrance) as pair:
        pair.play(answers, respond(500))
        with connected(pair.port) as follower:
            with connected(pair.port) as leader:
                leader.request("/x")
                pair.origin.wait("asked")
                follower.request("/x")
                pair.gateway.until(lambda: readers(2))
            pair.gateway.until(lambda: readers(1))
            pair.origin.event("answer").set()
            pair.origin.event("rest").set()
            answer = follower.read()
            assert (answer.body, answer.get("cache-status")) == (b"abcdef", b"gateway; fwd=uri-miss; collapsed")
        assert (status_of(pair, "/x") or b"").startswith(b"gateway; hit")
        assert len(pair.origin.requests) == 1


@on_both
def test_an_answer_in_pieces_goes_on_as_it_comes_and_is_stored(entrance: Entrance):
    async def answers(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await visit.server.waited("rest")
        await visit.send(b"3\r\ndef\r\n0\r\n\r\n")

    with primed(entrance) as pair:
        pair.play(answers, respond(500))
        with connected(pair.port) as client:
            client.request("/x")
            head = client.read_head()
            assert (head.status, head.get("cache-status")) == (200, b"gateway; fwd=uri-miss; stored")
            assert client.read_chunk() == b"abc"
            pair.origin.event("rest").set()
            assert (client.read_chunk(), client.read_chunk()) == (b"def", b"")
        assert get(pair.port, "/x").body == b"abcdef"


@on_both
def test_an_answer_in_pieces_that_breaks_off_is_seen_to_and_not_stored(entrance: Entrance):
    with primed(entrance) as pair:
        pair.play(raw(PIECES + b"abc", close=True), respond(200, b"fine", FRESH))
        assert not get(pair.port, "/x").complete
        assert get(pair.port, "/x").body == b"fine"


@on_both
def test_a_slow_client_holds_up_a_long_answer_that_is_not_stored(entrance: Entrance):
    body = bytes(range(256)) * (64 << 10)

    async def answers(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.send(b"HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    with primed(entrance) as pair:
        pair.play(answers)
        with connected(pair.port) as client:
            client.request("/x")
            pair.origin.wait("asked")

            def is_held_up() -> bool:
                return any(one.flight is not None and one.flight._paused for one in fetches(pair).under_way.values())

            pair.gateway.until(is_held_up)
            assert all(one.flight._held <= WINDOW + TAKE for one in fetches(pair).under_way.values())
            assert client.read().body == body


@on_both
def test_a_key_whose_answer_can_not_be_stored_is_fetched_by_each_alone_until_it_can(entrance: Entrance):
    with primed(entrance) as pair:
        pair.play(respond(200, b"one", "Cache-Control: no-store"), respond(200, b"two", FRESH), respond(200, b"three", FRESH))
        before = set(fetches(pair)._refused)
        assert get(pair.port, "/x").body == b"one"
        assert len(set(fetches(pair)._refused) - before) == 1
        assert get(pair.port, "/x").body == b"two"
        assert set(fetches(pair)._refused) == before


@pytest.mark.parametrize("hook", ["admit", "prepare", "amend"])
@on_both
def test_a_policy_that_fails_over_a_fetch_is_a_500_and_the_next_request_is_served(entrance: Entrance, hook: str):
    class Fails:
        def admit(self, exchange: Exchange) -> None:
            """Nothing."""

        def prepare(self, exchange: Exchange, headers: Headers) -> None:
            """Nothing."""

        def amend(self, exchange: Exchange, head: ResponseHead) -> None:
            """Nothing."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    with primed(entrance) as pair:
        route = pair.gateway.app._gateway.snapshot.router.routes[-1]
        before = route.pipeline
        policy = Fails()
        setattr(policy, hook, fail)
        route.pipeline = Pipeline([policy])
        answer = get(pair.port, "/x")
        assert answer.status == 500
        assert b"secret" not in answer.body
        route.pipeline = before
        assert get(pair.port, "/x").body == b"ok"


@pytest.mark.parametrize("whole", [True, False])
@on_both
def test_a_cache_that_fails_over_an_answer_is_a_500_and_the_next_request_is_served(entrance: Entrance, whole: bool):
    with primed(entrance) as pair:
        rules = fetches(pair).rules
        fetches(pair).rules = SimpleNamespace(heed_requests=True)  # and nothing to judge by
        pair.play(respond(200, b"ok", FRESH) if whole else raw(PIECES + b"abc"))
        answer = get(pair.port, "/x")
        assert answer.status == 500
        assert b"Namespace" not in answer.body
        fetches(pair).rules = rules
        pair.play(respond(200, b"fine", FRESH))
        assert get(pair.port, "/x").body == b"fine"


@on_both
def test_another_target_answers_in_place_of_one_that_is_overloaded(entrance: Entrance):
    with origin(respond(200, b"ok"), respond(503)) as one, origin(respond(200, b"other", FRESH)) as other:
        with gateway(forwarding(one.url, other.url, cache=True, balance="first"), entrance) as front:
            get(front.port, "/first")
            answer = get(front.port, "/x")
            assert (answer.status, answer.body, answer.get("cache-status")) == (200, b"other", b"gateway; fwd=uri-miss; stored")
            assert get(front.port, "/x").body == b"other"
            assert (len(one.requests), len(other.requests)) == (2, 1)


@on_both
def test_a_second_attempt_is_given_up_as_a_first_one_is(entrance: Entrance):
    with origin(respond(200, b"ok"), respond(503)) as one, origin(hang("left")) as other:
        with gateway(forwarding(one.url, other.url, cache=True, balance="first"), entrance) as front:
            get(front.port, "/first")
            with connected(front.port) as client:
                client.request("/x")
                other.wait("left")
            other.wait("left gone")


@on_both
def test_others_share_the_fetch_on_though_its_client_has_left_and_its_connection_had_died(entrance: Entrance):
    async def dies(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("die")
        await reset()(visit)

    def readers(count: int) -> bool:
        return are_waiting(fetches(pair), count)

    with primed(entrance) as pair, ExitStack() as stack:
        pair.play(dies, respond(200, b"again", FRESH))
        with connected(pair.port) as leader:
            leader.request("/x")
            pair.origin.wait("asked")
            followers = [stack.enter_context(connected(pair.port)) for _ in range(5)]
            for follower in followers:
                follower.request("/x")
            pair.gateway.until(lambda: readers(6))
        pair.gateway.until(lambda: readers(5))
        pair.origin.event("die").set()
        assert {follower.read().body for follower in followers} == {b"again"}
        assert len(pair.origin.requests) == 2


@on_both
def test_errors_in_pieces_open_the_circuit_too(entrance: Entrance):
    breaker = {"error_rate": "50%", "min_requests": 4, "window": "1h", "open_for": "1h"}
    with primed(entrance, circuit_breaker=breaker, retry=False) as pair:
        pair.play(raw(b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"))
        assert {get(pair.port, f"/{number}").status for number in range(8)} == {503}
        assert len(pair.origin.requests) < 8


@pytest.mark.parametrize("entrance", ["express", "http1"])
def test_a_client_that_leaves_in_the_moment_that_its_answer_begins(entrance: Entrance):
    async def stream(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("go")
        await visit.send(b"HTTP/1.1 200 OK\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        visit.server.event("sent").set()
        await visit.closed()
        visit.server.event("closed").set()

    with primed(entrance) as pair:
        pair.play(stream)
        with connected(pair.port) as client:
            client.request("/x")
            pair.origin.wait("asked")
            with held(pair.gateway):
                client.sock.close()
                pair.origin.event("go").set()
                pair.origin.wait("sent")
        pair.origin.wait("closed")


@on_both
def test_a_store_that_fails_over_an_answer_in_pieces_keeps_nothing_of_it(entrance: Entrance):
    async def answers(visit: Visit) -> None:
        await visit.send(PIECES + b"abc")
        await visit.server.waited("rest")
        await visit.send(b"def")

    with primed(entrance) as pair:
        store = pair.gateway.app._gateway.snapshot.caching.store
        pair.play(answers, respond(200, b"fine", FRESH))
        with connected(pair.port) as client:
            client.request("/x")
            assert client.read_head().status == 200
            shelves, store._shelves = store._shelves, None
            pair.origin.event("rest").set()
            pair.gateway.until(lambda: not fetches(pair).under_way)
            store._shelves = shelves
        assert get(pair.port, "/x").body == b"fine"


@pytest.mark.parametrize("entrance", ["express", "http1"])
def test_an_event_stream_is_not_stored_when_we_end_it(entrance: Entrance):
    async def stream(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await visit.closed()

    async def drain() -> None:
        pair.gateway.app.drain()

    with in_front(entrance, cache={"ttl": "1m"}) as pair:
        get(pair.port, "/first")
        pair.play(stream, respond(200, b"fine"))
        with connected(pair.port) as client:
            client.request("/x")
            assert client.read_head().get("cache-status") == b"gateway; fwd=uri-miss; detail=event-stream"
            pair.gateway.run(drain())
            assert (client.read_chunk(), client.read_chunk()) == (b"abc", b"")
        assert get(pair.port, "/x").body == b"fine"


@pytest.mark.parametrize("line", ["Cookie: session=1", "X-Own: 1"])
@on_both
def test_what_goes_past_the_cache_does_so_by_all_roads(entrance: Entrance, line: str):
    with in_front(entrance, cache={"bypass": ["cookie:session", "header:X-Own"]}) as pair:
        pair.play(respond(200, b"one", FRESH), respond(200, b"two", FRESH), respond(200, b"three", FRESH))
        assert [get(pair.port, "/x", line).body for _ in range(2)] == [b"one", b"two"]
        assert status_of(pair, "/x", line) == b"gateway; fwd=bypass"




# ---------------------------------------------------------------- who waits for an answer in one piece


@contextmanager
def waiting(pair: Pair, count: int, *fields: str) -> Iterator[list[Client]]:
    """So many clients that wait for a fetch which another one leads."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(pair.port)) for _ in range(count)]
        for client in clients:
            client.request("/x", *fields)
        pair.gateway.until(lambda: are_waiting(fetches(pair), count + 1))
        yield clients


def answers_when_told(*lines: str, body: bytes = b"shared", status: int = 200) -> Any:
    async def answer(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("answer")
        await respond(status, body, *lines)(visit)

    return answer


@on_both
def test_who_follows_a_fetch_gets_its_answer_and_under_gateway_run_without_a_task(entrance: Entrance):
    with primed(entrance) as pair, tasks(pair.gateway) as made, connected(pair.port) as leader:
        pair.play(answers_when_told(FRESH, "Set-Cookie: a=b"), respond(500))
        leader.request("/x")
        pair.origin.wait("asked")
        with waiting(pair, 20) as followers:
            pair.origin.event("answer").set()
            for follower in followers:
                answer = follower.read()
                assert (answer.body, answer.get("age"), answer.get("set-cookie")) == (b"shared", b"0", b"a=b")
                assert answer.get("cache-status") == b"gateway; fwd=uri-miss; collapsed"
        assert leader.read().get("cache-status") == b"gateway; fwd=uri-miss; stored"
        assert len(pair.origin.requests) == 1
        assert entrance != "express" or made == []


@on_both
def test_followers_of_what_can_not_be_shared_go_for_themselves_at_once_and_together(entrance: Entrance):
    with primed(entrance) as pair, connected(pair.port) as leader:
        pair.play(answers_when_told("Cache-Control: max-age=60, private"), raw(PIECES + b"own"))
        leader.request("/x")
        pair.origin.wait("asked")
        with waiting(pair, 3):
            pair.origin.event("answer").set()
            assert leader.read().body == b"shared"
            pair.gateway.until(lambda: len(pair.origin.requests) == 4)


@on_both
def test_a_follower_that_the_answer_is_not_for_gets_another(entrance: Entrance):
    with primed(entrance) as pair, connected(pair.port) as leader:
        pair.play(answers_when_told(FRESH, "Vary: Accept-Language"), respond(200, b"andere", FRESH, "Vary: Accept-Language"))
        leader.request("/x")
        pair.origin.wait("asked")
        with waiting(pair, 1, "Accept-Language: de") as [follower]:
            pair.origin.event("answer").set()
            assert (leader.read().body, follower.read().body) == (b"shared", b"andere")


@on_both
def test_when_all_who_wait_have_left_the_target_learns_it(entrance: Entrance):
    with primed(entrance) as pair:
        pair.play(hang("left"), respond(200, b"fine", FRESH))
        with connected(pair.port) as leader:
            leader.request("/x")
            pair.origin.wait("left")
            with waiting(pair, 2):
                leader.sock.close()
                pair.gateway.until(lambda: are_waiting(fetches(pair), 2))
        pair.origin.wait("left gone")
        assert get(pair.port, "/x").body == b"fine"


@on_both
def test_a_follower_that_leaves_is_missed_by_nobody(entrance: Entrance):
    with primed(entrance) as pair, connected(pair.port) as leader:
        pair.play(answers_when_told(FRESH))
        leader.request("/x")
        pair.origin.wait("asked")
        with waiting(pair, 2) as [gone, stays]:
            gone.sock.close()
            pair.gateway.until(lambda: are_waiting(fetches(pair), 2))
            pair.origin.event("answer").set()
            assert (leader.read().body, stays.read().body) == (b"shared", b"shared")


@on_both
def test_nobody_follows_a_fetch_for_long(entrance: Entrance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.cache.serve.COALESCE_WAIT", 0.2)
    monkeypatch.setattr("gateway.express_follow.COALESCE_WAIT", 0.2)
    with primed(entrance) as pair, connected(pair.port) as leader:
        pair.play(answers_when_told(FRESH), respond(200, b"own", FRESH))
        leader.request("/x")
        pair.origin.wait("asked")
        assert get(pair.port, "/x").body == b"own"
        pair.origin.event("answer").set()
        assert leader.read().body == b"shared"


@on_both
def test_after_a_purge_nobody_follows_what_was_asked_before_it(entrance: Entrance):
    with primed(entrance) as pair, connected(pair.port) as leader:
        pair.play(answers_when_told(FRESH), respond(200, b"new", FRESH))
        leader.request("/x")
        pair.origin.wait("asked")
        store = pair.gateway.app._gateway.snapshot.caching.store
        asyncio.run_coroutine_threadsafe(store.purge(Purge(Scope.ALL)), pair.gateway.loop).result(10)
        assert get(pair.port, "/x").body == b"new"
        pair.origin.event("answer").set()
        assert leader.read().body == b"shared"
        assert get(pair.port, "/x").body == b"new"


@on_both
def test_a_target_that_fails_followers_and_leader_is_asked_again_by_each(entrance: Entrance):
    async def dies(visit: Visit) -> None:
        visit.server.event("asked").set()
        await visit.server.waited("die")
        await visit.send(b"no HTTP\r\n\r\n")

    with primed(entrance, retry=False) as pair, connected(pair.port) as leader:
        pair.play(dies, respond(200, b"own", FRESH))
        leader.request("/x")
        pair.origin.wait("asked")
        with waiting(pair, 3) as followers:
            pair.origin.event("die").set()
            assert leader.read().status == 502
            assert [follower.read().body for follower in followers] == [b"own"] * 3


@on_both
def test_what_policies_do_to_an_answer_reaches_no_entry_and_no_other_answer(entrance: Entrance):
    """The two answers have the same head, byte for byte, which is remembered and shared."""
    date = "Date: Tue, 01 Dec 2099 00:00:00 GMT"
    edits = {"set": {"X-Own": "1"}, "add": {"X-Added": "2"}, "remove": ["X-Secret"]}
    with primed(entrance, response_headers=edits) as pair:
        pair.play(*[respond(200, b"body", FRESH, date, "X-Own: 0", "X-Secret: s")] * 4)
        for path in ("/x", "/y", "/x", "/y", "/z"):
            answer = get(pair.port, path)
            assert [answer.all(name) for name in ("x-own", "x-added", "x-secret")] == [[b"1"], [b"2"], []]
            assert len(answer.all("cache-status")) == len(answer.all("x-request-id")) == 1
        entries = [shelf.entries[0] for _, shelf in pair.gateway.app._gateway.snapshot.caching.store.shelves()]
        held = [dict(entry.headers) for entry in entries if entry.length == 4]
        assert len(held) == 3
        for fields in held:
            assert (fields[b"x-own"], fields[b"x-secret"], b"x-added" in fields, b"cache-status" in fields) == (b"0", b"s", False, False)
