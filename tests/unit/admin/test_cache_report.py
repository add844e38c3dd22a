"""What all processes say about their caches, as a text."""

from __future__ import annotations

from typing import Any

from gateway.admin.cache_report import overview, size, verdict
from gateway.cache.status import WORDS


def process(hits: int, limit: int = 1 << 20) -> dict[str, Any]:
    counts = {**dict.fromkeys(WORDS, 0), "hit": hits, "miss": 1}
    route = {"requests": hits + 1, **counts, "hit_ratio": hits / (hits + 1)}
    idle = {"requests": 0, **dict.fromkeys(WORDS, 0), "hit_ratio": None}
    return {
        "pid": 1,
        "store": {"kind": "memory", "entries": 2, "bytes": 3 << 10, "limit": limit, "purged": 1, "current": True},
        "redis": None,
        "routes": {"shop": route, "idle": idle},
        "top_keys": [{"key": "https://a/b shop", "hits": hits, "bytes": 1, "entries": 1}],
        "top_tags": [{"tag": "red", "keys": 2}],
    }


def test_the_numbers_of_all_processes_are_added():
    assert overview([process(1), process(4)]).splitlines() == [
        "memory: 6.0 KiB of 2.0 MiB in 2 processes, 4 entries, 2 purged",
        "",
        "route  requests  hit  stale  revalidated  miss  bypass  collapsed  hit ratio",
        "shop          7    5      0            0     2       0          0      71.4%",
        "idle          0    0      0            0     0       0          0          -",
        "",
        "hits  key",
        "   5  https://a/b shop",
        "",
        "keys  tag",
        "   4  red",
    ]


def test_what_is_empty_or_unbounded_is_left_out():
    one = {**process(1, limit=0), "top_keys": [], "top_tags": []}
    assert overview([one]).splitlines()[0] == "memory: 3.0 KiB, 2 entries, 1 purged"
    assert len(overview([one]).splitlines()) == 5


def test_what_redis_holds_is_said_once():
    told = {**process(1), "redis": {"keys": 7, "used": 2 << 20, "limit": 0}}
    told["store"] |= {"kind": "redis", "entries": 0, "bytes": 0, "limit": 0}
    assert overview([told, told]).splitlines()[:3] == ["redis: 2 purged", "redis: 2.0 MiB, without a limit, 7 keys", ""]


def test_a_process_that_is_told_of_no_purges_says_so():
    alone = process(1)
    alone["store"] |= {"kind": "tiered", "current": False}
    assert overview([process(1), alone]).splitlines()[0].endswith("2 purged; redis is away")


def test_a_stale_entry_is_said_to_be_so():
    entry = {
        "status": 200, "bytes": 5, "verdict": "validate", "age": 70, "fresh_for": -10, "kept_for": 50, "part": [0, 4, 10], "vary": {},
        "tags": [], "etag": "", "last_modified": "", "stale_while_revalidate": 10.0, "stale_if_error": 0.0, "forms": {"br": 3},
    }  # fmt: skip
    assert verdict({"pid": 7, "url": "http://a", "route": "r", "verdict": "1 stored", "entries": [entry]}).splitlines() == [
        "process 7: http://a",
        "  route: r",
        "  verdict: 1 stored",
        "  1. status 200, 5 bytes: validate",
        "     70 s old, stale for 10 s, kept for 50 s",
        "     part: [0, 4, 10]",
        "     stale-while-revalidate: 10.0",
        "     forms: {'br': 3}",
    ]


def test_sizes_are_for_people():
    assert [size(count) for count in (0, 1023, 1024, 1536, 1 << 40, 1 << 51)] == ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 TiB", "2048.0 TiB"]
