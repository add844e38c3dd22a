"""What a cache holds in memory is answered by the express lane: no task is made for a hit, whatever is asked of it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.cache.tiered import TieredStore
from support.client import connected, get
from support.origin import origin, respond
from support.redis import RedisServer, redis_server
from support.serving import forwarding, gateway, tasks

if TYPE_CHECKING:
    from pathlib import Path

    from support.client import Client
    from support.origin import Origin
    from support.serving import Served

TEXT: Final = b"compress me " * 1000
MODIFIED: Final = "Tue, 15 Nov 2022 12:45:26 GMT"
CODINGS: Final = ("gzip", "br", "zstd")
AGAIN: Final = 20  # times that each is asked for

# What is asked, and the status and coding of its answer.
ASKED: Final[dict[str, tuple[list[str], int, bytes | None]]] = {
    "plain": ([], 200, None),
    **{coding: ([f"Accept-Encoding: {coding}"], 200, coding.encode()) for coding in CODINGS},
    "by its tag": (['If-None-Match: "1"'], 304, None),
    **{
        f"{coding} by its tag": ([f"Accept-Encoding: {coding}", 'If-None-Match: W/"1"'], 304, None)
        for coding in CODINGS
    },
    "by its time": ([f"If-Modified-Since: {MODIFIED}"], 304, None),
    "by another tag": (["Accept-Encoding: gzip", 'If-None-Match: "0"'], 200, b"gzip"),
    "a part": (["Range: bytes=0-11"], 206, None),
}


def page() -> Any:
    return origin(
        respond(
            200,
            TEXT,
            "Cache-Control: max-age=60",
            'ETag: "1"',
            f"Last-Modified: {MODIFIED}",
            "Content-Type: text/plain",
        )
    )


def options_of(server: Origin, redis: RedisServer | None, log: Path) -> dict[str, Any]:
    forwarded = forwarding(server.url, cache=True, compression=True, access_log={"path": str(log)})
    if redis is None:
        return forwarded
    return {**forwarded, "redis": {"url": redis.url}, "cache": {"store": "tiered"}}


def warm(front: Served) -> None:
    """Hold the page in all its forms."""
    store = front.app._gateway.snapshot.caching.store
    memory = store.memory if isinstance(store, TieredStore) else store
    for fields in ([], *([f"Accept-Encoding: {coding}"] for coding in CODINGS)):
        get(front.port, "/", *fields)
    front.until(
        lambda: [len(entry.forms) for _, shelf in memory.shelves() for entry in shelf.entries] == [len(CODINGS)]
    )


def ask_for_all(front: Served, client: Client) -> None:
    for what, (fields, status, coding) in ASKED.items():
        for _ in range(AGAIN):
            answer = client.get("/", *fields)
            assert (answer.status, answer.get("content-encoding")) == (status, coding), what
            assert (answer.get("cache-status") or b"").startswith(b"gateway; hit; ttl="), what
    assert client.get("/", method="HEAD").status == 200


@pytest.mark.parametrize("store", ["memory", "tiered"])
def test_a_hit_makes_no_task(tmp_path: Path, store: str):
    log = tmp_path / "access.log"
    with redis_server() if store == "tiered" else nullcontext() as redis, page() as server:
        with gateway(options_of(server, redis, log)) as front, connected(front.port) as client:
            with tasks(front) as made:
                client.get("/")
                assert made  # for the first request there is neither an entry nor a connection to the target
            warm(front)
            with tasks(front) as made:
                ask_for_all(front, client)
                assert made == []
            assert len(server.requests) == 1
    hits = list(map(json.loads, log.read_text().splitlines()[-AGAIN * len(ASKED) - 1 :]))
    assert {(line["entrance"], line["cache"]) for line in hits} == {("express", "hit")}


def test_what_another_gateway_has_stored_makes_no_task_once_it_was_found(tmp_path: Path):
    with redis_server() as redis, page() as server:
        for log in (tmp_path / "one.log", tmp_path / "other.log"):
            with gateway(options_of(server, redis, log)) as front, connected(front.port) as client:
                warm(front)
                with tasks(front) as made:
                    ask_for_all(front, client)
                    assert made == []
        assert len(server.requests) == 1
