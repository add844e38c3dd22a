"""A second attempt beside a first one that is slower than nearly all."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from support.client import connected, get
from support.origin import Origin, Step, Visit, hang, origin, reset, respond
from support.serving import gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.serving import Entrance, Served

USUAL = 60  # requests after which it is known what is slow


@contextmanager
def warm(*steps: Step, entrance: Entrance = "express", **retry: Any) -> Iterator[tuple[Served, list[Origin]]]:
    """A gateway before one origin for each step, which has seen how fast they usually are."""
    with ExitStack() as stack:
        servers = [stack.enter_context(origin()) for _ in steps]
        upstream = {
            "targets": [server.url for server in servers], "balance": "first", "passive": False,
            "retry": {"hedge": True, "min_per_second": 10, **retry}, "timeouts": {"first_byte": "10s"},
        }  # fmt: skip
        options = {"upstreams": {"u": upstream}, "routes": [{"path": "/*", "upstream": "u"}]}
        front = stack.enter_context(gateway(options, entrance))
        with connected(front.port) as client:
            for _ in range(USUAL):
                assert client.get().status == 200
        for server, step in zip(servers, steps, strict=True):
            server.script[:] = [step]
            server.requests.clear()
        yield front, servers


def slow(front: Served) -> Step:
    """Answer long after what is usual."""

    async def step(visit: Visit) -> None:
        began = front.loop.time()
        await asyncio.to_thread(front.until, lambda: front.loop.time() - began > 0.2)
        await respond(200, b"first")(visit)

    return step


def quiet(front: Served) -> None:
    """All attempts have been given back."""
    targets = front.app._gateway.snapshot.upstreams["u"].targets
    front.until(lambda: [target.in_flight for target in targets] == [0] * len(targets))


@on_both
def test_the_answer_of_the_faster_one_counts_and_the_slower_one_is_dropped(entrance: Entrance) -> None:
    with warm(hang(), respond(200, b"second"), entrance=entrance) as (front, servers):
        before = front.target(1, "u").requests  # a busy machine makes a slow one among those that went before
        assert get(front.port).body == b"second"
        servers[0].wait("hanging gone")
        quiet(front)
        assert [front.target(index, "u").failures for index in (0, 1)] == [0, 0]
        assert front.target(1, "u").requests == before + 1


def test_the_first_one_may_still_win() -> None:
    with warm(respond(), hang()) as (front, servers):

        async def late(visit: Visit) -> None:
            await servers[1].waited("hanging")
            await respond(200, b"first")(visit)

        servers[0].script[:] = [late]
        assert get(front.port).body == b"first"
        servers[1].wait("hanging gone")
        quiet(front)


def test_a_second_attempt_that_fails_is_not_told() -> None:
    with warm(respond(), reset()) as (front, servers):

        async def late(visit: Visit) -> None:
            await asyncio.to_thread(front.until, lambda: servers[1].requests)
            await respond(200, b"first")(visit)

        servers[0].script[:] = [late]
        assert get(front.port).body == b"first"
        quiet(front)
        assert front.target(1, "u").failures == 1


def test_when_the_first_one_fails_meanwhile_the_second_one_counts() -> None:
    with warm(respond(), respond()) as (front, servers):

        async def fails(visit: Visit) -> None:
            await servers[1].waited("asked")
            visit.close()

        async def late(visit: Visit) -> None:
            servers[1].event("asked").set()
            await asyncio.to_thread(front.until, lambda: front.target(0, "u").connections == set())
            await respond(200, b"second")(visit)

        servers[0].script[:] = [fails]
        servers[1].script[:] = [late]
        assert get(front.port).body == b"second"
        quiet(front)


def test_a_client_that_leaves_ends_both() -> None:
    with warm(hang(), hang()) as (front, servers):
        with connected(front.port) as client:
            client.request()
            for server in servers:
                server.wait("hanging")
        for server in servers:
            server.wait("hanging gone")
        quiet(front)
        assert [front.target(index, "u").failures for index in (0, 1)] == [0, 0]


def test_a_post_and_a_request_with_a_body_are_not_hedged() -> None:
    with warm(respond(), respond(200, b"second")) as (front, servers):
        servers[0].script[:] = [slow(front)]
        assert get(front.port, method="POST", body=b"x").body == b"first"
        assert get(front.port, method="PUT", body=b"x").body == b"first"
        assert not servers[1].requests


def test_the_budget_bounds_second_attempts() -> None:
    with warm(respond(), respond(200, b"second"), min_per_second=0, budget="1%", retries=1) as (front, servers):
        servers[0].script[:] = [slow(front)]
        bodies = [get(front.port).body for _ in range(6)]
        assert bodies.count(b"second") <= 1


def test_nothing_is_asked_twice_without_the_word() -> None:
    with warm(respond(), respond(200, b"second"), hedge=False) as (front, servers):
        servers[0].script[:] = [slow(front)]
        assert get(front.port).body == b"first"
        assert not servers[1].requests
