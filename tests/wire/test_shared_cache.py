"""A fleet with one cache: whole processes and a real Redis. What may happen to that is in `test_redis_faults`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.admin.api import Order
from gateway.admin.client import give
from support.fleet import Load, Member, Site, all_at_once, fleet, site
from support.process import finished
from support.redis import redis_server, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

PATHS = [f"/news/{number}" for number in range(40)]


@pytest.fixture
def origin() -> Iterator[Site]:
    with site() as server:
        yield server


def purge(member: Member, **what: object) -> None:
    assert give(member.config, Order("POST", "/cache/purge", what)).well


# ---------------------------------------------------------------- one fetch


@pytest.mark.parametrize(("workers", "store"), [(1, "tiered"), (4, "tiered"), (1, "redis")])
def test_two_hundred_clients_of_one_cold_key_are_one_request(tmp_path: Path, origin: Site, workers: int, store: str):
    origin.delay = 1.0
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, workers=workers, store=store) as members:
        results = all_at_once([member.port for member in members], "/cold", 200)
    assert [result.problem for result in results if not result.well] == []
    assert len({result.body for result in results}) == 1
    assert len(results) == 200
    assert origin.asked == {"/cold": 1}


@pytest.mark.parametrize(("cacheable", "status"), [("no-store", 200), ("max-age=60", 503)])
def test_an_answer_that_cannot_be_shared_frees_the_others_at_once(tmp_path: Path, origin: Site, cacheable: str, status: int):
    origin.delay, origin.cacheable, origin.status = 0.3, cacheable, status
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, store="redis") as members:
        started = time.perf_counter()
        results = all_at_once([member.port for member in members], "/mine", 20)
        assert time.perf_counter() - started < 4
    assert {(result.problem, result.status) for result in results} == {("", status)}


# ---------------------------------------------------------------- purges


def test_after_a_purge_no_member_serves_the_old_answer(tmp_path: Path, origin: Site):
    wanted: list[dict[str, object]] = [{"tag": "news"}, {"prefix": "/news/"}, {"all": True}, {"tag": "news", "soft": True}]
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, workers=2) as members:
        with Load([member.port for member in members], PATHS) as load:
            load.until(400)
            assert sum(origin.asked.values()) <= len(PATHS)
            for version, what in enumerate(wanted, 2):
                origin.version = version
                purge(members[version % 2], **what)
                done = time.perf_counter()
                load.until(300)
                late = [result for result in list(load.results) if result.at > done + 0.1]
                assert len(late) > 100
                assert {result.body.split()[2] for result in late} == {b"%d" % version}, what
    assert all(result.well for result in load.results)


def test_the_command_purges_what_all_workers_hold_in_memory(tmp_path: Path, origin: Site):
    with fleet(tmp_path, origin.url, "", gateways=1, workers=2, store="memory", coalesce="local") as [member]:
        with Load([member.port], PATHS) as load:
            load.until(400)
        origin.version = 2
        assert finished("gateway", "purge", "-c", member.config) == (
            2, "", "gateway purge: name what is to be purged: --url, --prefix, --tag or --all\n",
        )  # fmt: skip
        code, said, faults = finished("gateway", "purge", "-c", member.config, "--tag", "nothing", "--tag", "news")
        assert (code, faults) == (0, "")
        assert said.startswith("purged by 2 processes; ")
        with Load([member.port], PATHS) as load:
            load.until(200)
        assert {result.body.split()[2] for result in load.results} == {b"2"}
    code, said, faults = finished("gateway", "purge", "-c", member.config, "--all")
    assert (code, said) == (1, "")
    assert faults == f"gateway: no gateway runs with {member.config}\n"


def test_a_purge_that_redis_was_not_told_of_says_so(tmp_path: Path, origin: Site):
    with redis_server() as redis, fleet(tmp_path, origin.url, redis.url, gateways=1) as [member]:
        redis.kill()

        def is_refused() -> bool:
            return give(member.config, Order("POST", "/cache/purge", {"tag": "news"})).status == 503

        until(is_refused)
        code, _, faults = finished("gateway", "purge", "-c", member.config, "--all")
        assert code == 1
        assert "redis is away" in faults
