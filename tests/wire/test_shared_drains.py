"""A target that is taken out at one gateway is out at all that share its Redis."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.process import finished, running
from support.redis import redis_server, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.redis import RedisServer

A, B = "api/10.0.0.1:80", "api/10.0.0.2:80"
NAMED = b"api/http://10.0.0.1:80"


def put(folder: Path, redis: RedisServer) -> Path:
    folder.mkdir()
    path = folder / "routes.toml"
    path.write_text(
        f'[server]\nlisten = "127.0.0.1:0"\n[access_log]\nformat = "off"\n[redis]\nurl = "{redis.url}"\n'
        '[upstreams.api]\ntargets = ["http://10.0.0.1:80", "http://10.0.0.2:80"]\n[[routes]]\nname = "all"\nupstream = "api"\n'
    )
    return path


@contextmanager
def serving(*paths: Path) -> Iterator[None]:
    if not paths:
        yield
        return
    with running("gateway", "run", "-c", paths[0]) as process:
        process.wait_for("Application startup complete")
        with serving(*paths[1:]):
            yield
        assert process.stop() == 0
    assert "Traceback" not in process.output


def order(path: Path, *words: str) -> None:
    code, _, err = finished("gateway", words[0], "-c", path, *words[1:])
    assert (code, err) == (0, "")


def out(path: Path) -> list[str]:
    """The targets that are drained, as the gateway says."""
    code, told, _ = finished("gateway", "status", "-c", path, "--json")
    assert code == 0
    [process] = json.loads(told)
    return [f"api/{target['name']}" for target in process["upstreams"]["api"]["targets"] if target["state"] == "drained"]


def members(redis: RedisServer) -> set[bytes]:
    return set(redis.raw("SMEMBERS", "gw:drained"))


def test_what_one_gateway_is_told_all_of_them_follow(tmp_path: Path):
    with redis_server() as redis:
        one, two = put(tmp_path / "one", redis), put(tmp_path / "two", redis)
        with serving(one, two):
            order(one, "drain", A)
            until(lambda: out(two) == [A])
            order(two, "drain", B)
            until(lambda: out(one) == [A, B])
            order(two, "enable", A)
            until(lambda: out(one) == [B])


def test_a_gateway_that_was_away_knows_when_it_comes(tmp_path: Path):
    with redis_server() as redis:
        one, two = put(tmp_path / "one", redis), put(tmp_path / "two", redis)
        with serving(one):
            order(one, "drain", A)
            with serving(two):
                assert out(two) == [A]
            order(one, "enable", A)
            order(one, "drain", B)
        with serving(two):  # its own file says something else
            assert out(two) == [B]


def test_what_redis_has_lost_the_gateways_tell_it_again(tmp_path: Path):
    with redis_server() as redis:
        one, two = put(tmp_path / "one", redis), put(tmp_path / "two", redis)
        with serving(one, two):
            order(one, "drain", A)
            until(lambda: out(two) == [A])
            redis.kill()
            redis.start()
            until(lambda: NAMED in members(redis))
            assert (out(one), out(two)) == ([A], [A])
        redis.raw("FLUSHALL")
        with serving(two):
            assert out(two) == [A]
            until(lambda: NAMED in members(redis))


def test_a_redis_that_was_lost_while_an_order_came_is_told_of_all_that_is_drained(tmp_path: Path):
    with redis_server() as redis:
        one, two = put(tmp_path / "one", redis), put(tmp_path / "two", redis)
        with serving(one, two):
            order(one, "drain", A)
            until(lambda: out(two) == [A])
            redis.raw("FLUSHALL")
            order(one, "drain", B)
            until(lambda: out(two) == [A, B])
            until(lambda: NAMED in members(redis))
            assert out(one) == [A, B]


def test_an_order_while_redis_is_away_is_passed_on_when_it_is_back(tmp_path: Path):
    with redis_server() as redis:
        one, two = put(tmp_path / "one", redis), put(tmp_path / "two", redis)
        with serving(one, two):
            redis.kill()
            order(one, "drain", A)
            assert (out(one), out(two)) == ([A], [])
            redis.start()
            until(lambda: out(two) == [A])
