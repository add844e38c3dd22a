"""`gateway cache` and `GET /cache`: what a running gateway says about its cache."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from support.client import get
from support.origin import Origin, Visit, origin, raw, respond
from support.process import Running, finished, running
from support.redis import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Running, Origin]]:
    path = tmp_path_factory.mktemp("cache") / "routes.toml"
    with origin(respond(200, b"hello", "Cache-Control: max-age=60", 'ETag: "1"', "Surrogate-Key: red blue")) as server:
        path.write_text(
            '[server]\nlisten = "127.0.0.1:0"\n[access_log]\nformat = "off"\n'
            f'[[routes]]\nname = "all"\npath = "/a/*"\nupstream = "{server.url}"\ncache = true\n'
            f'[[routes]]\nname = "none"\npath = "/b/*"\nupstream = "{server.url}"\n'
        )
        with running("gateway", "run", "-c", path) as process:
            for _ in range(3):
                get(process.port(), "/a/x?y=1", "Host: shop.example")
            yield path, process, server
            process.stop()


def test_it_shows_fill_results_keys_and_tags(served: tuple[Path, Running, Origin]):
    code, text, errors = finished("gateway", "cache", "-c", served[0])
    assert (code, errors) == (0, "")
    lines = [re.sub(r"\.[0-9a-f]{12}$", "", line).split() for line in text.splitlines()]
    assert text.startswith("memory: ")
    assert "1 entries" in text
    assert ["all", "3", "2", "0", "0", "1", "0", "0", "66.7%"] in lines
    assert ["http://shop.example/a/x?y=1", "all"] in [line[1:] for line in lines]
    assert ["1", "red"] in lines


def test_it_says_all_about_one_url(served: tuple[Path, Running, Origin]):
    code, text, _ = finished("gateway", "cache", "-c", served[0], "http://shop.example/a/x?y=1")
    assert code == 0
    assert re.search(r"key: http://shop\.example/a/x\?y=1 all\.[0-9a-f]{12}\n", text)
    for line in ("route: all", "verdict: 1 stored", "1. status 200, 5 bytes: use", "tags: ['red', 'blue']"):
        assert line in text


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("http://shop.example/a/other", "nothing is stored"),
        ("http://shop.example/a/b%2fx", "passes: the path can be read in two ways, or Connection names fields"),
        ("http://shop.example/b/x", "its route has no cache"),
        ("http://shop.example/c", "no route: no route for b'shop.example' b'/c'"),
    ],
)
def test_it_says_why_nothing_is_stored(served: tuple[Path, Running, Origin], url: str, verdict: str):
    code, text, _ = finished("gateway", "cache", "-c", served[0], "--json", url)
    assert code == 0
    assert [process["verdict"] for process in json.loads(text)] == [verdict]


@pytest.mark.parametrize("url", ["shop.example/a", "ftp://shop.example/a", "http:///a", "http://shop.example/\xe4"])
def test_what_is_no_url_is_refused(served: tuple[Path, Running, Origin], url: str):
    code, text, errors = finished("gateway", "cache", "-c", served[0], url)
    assert (code, text) == (1, "")
    assert "is not a URL" in errors


@pytest.mark.parametrize("store", ["memory", "tiered", "redis"])
def test_a_request_counts_once_as_a_use_however_its_answer_comes_about(tmp_path: Path, store: str):
    async def step(visit: Visit) -> None:
        path = visit.request.target
        if visit.request.get("if-none-match"):
            await raw(b"HTTP/1.1 304 Not Modified\r\ncache-control: no-cache\r\n\r\n")(visit)
        else:
            control = "no-cache" if path == b"/validated" else "max-age=60"
            await respond(200, b"x" * (300_000 if path == b"/large" else 1000), f"Cache-Control: {control}", 'ETag: "1"')(visit)

    def uses() -> dict[str, int]:
        """By path, of what a gateway says that it holds."""
        [process] = json.loads(finished("gateway", "cache", "-c", path, "--json")[1])
        return {one["key"].partition(" ")[0].removeprefix("http://test"): one["hits"] for one in process["top_keys"]}

    asked = ("/small", "/large", "/validated")
    with redis_server() as redis, origin(step) as server:
        path = tmp_path / "routes.toml"
        path.write_text(
            f'[server]\nlisten = "127.0.0.1:0"\n[access_log]\nformat = "off"\n[redis]\nurl = "{redis.url}"\n'
            f'[cache]\nstore = "{store}"\n[[routes]]\nname = "all"\nupstream = "{server.url}"\ncache = true\n'
        )
        with running("gateway", "run", "-c", path) as process:
            for target in asked:
                while b"uri-miss" in (get(process.port(), target).get("cache-status") or b""):
                    pass  # until it has come to the store
            before = uses()
            for target in asked:
                for _ in range(3):
                    assert get(process.port(), target).status == 200
                get(process.port(), target, "Range: bytes=0-9")
            if store != "redis":  # where looking costs what a request costs; elsewhere who only looks uses nothing
                finished("gateway", "cache", "-c", path, "http://test/small")
            assert {target: uses()[target] - before[target] for target in asked} == dict.fromkeys(asked, 4)
            assert process.stop() == 0


def test_without_a_gateway_it_says_so(tmp_path: Path):
    path = tmp_path / "routes.toml"
    path.write_text('[[routes]]\nupstream = "http://127.0.0.1:1"\n')
    code, _, errors = finished("gateway", "cache", "-c", path)
    assert code == 1
    assert errors == f"gateway: no gateway runs with {path}\n"


def test_a_gateway_without_a_cache_says_so(tmp_path: Path):
    path = tmp_path / "routes.toml"
    path.write_text('[server]\nlisten = "127.0.0.1:0"\n[[routes]]\nupstream = "http://127.0.0.1:1"\n')
    with running("gateway", "run", "-c", path) as process:
        process.port()
        code, _, errors = finished("gateway", "cache", "-c", path)
        process.stop()
    assert code == 1
    assert "no route of this gateway has a cache" in errors


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--url", "http://shop.example/a/x?y=1"], b"gateway; fwd=uri-miss; stored"),
        (["--url", "/a/x?y=1", "--url", "/a/other"], b"gateway; fwd=uri-miss; stored"),
        (["--prefix", "http://shop.example/a/"], b"gateway; fwd=uri-miss; stored"),
        (["--soft", "--prefix", "/a/"], b"gateway; fwd=stale; stored"),
        (["--all"], b"gateway; fwd=uri-miss; stored"),
    ],
)
def test_what_it_is_told_is_purged(served: tuple[Path, Running, Origin], words: list[str], status: bytes):
    path, process, _ = served
    get(process.port(), "/a/x?y=1", "Host: shop.example")
    said = finished("gateway", "purge", "-c", path, *words)
    assert said == (0, "purged by 1 process; 1 of their entries in memory were taken\n", "")
    assert get(process.port(), "/a/x?y=1", "Host: shop.example").get("cache-status") == status


def test_what_cannot_be_purged_is_refused(served: tuple[Path, Running, Origin]):
    code, text, faults = finished("gateway", "purge", "-c", served[0], "--prefix", "/a/*")
    assert (code, text) == (1, "")
    assert 'write "/a/": all that begins with it is meant' in faults


@pytest.mark.parametrize("answer", ["Location: /a/x", "Cache-Group-Invalidation: \"news\""])
def test_what_one_worker_learns_to_be_invalid_all_forget(tmp_path: Path, answer: str):
    async def step(visit: Visit) -> None:
        if visit.request.method == b"POST":
            await respond(201, b"done", answer)(visit)
        else:
            await respond(200, b"old", "Cache-Control: max-age=60", 'Cache-Groups: "news"')(visit)

    def held() -> list[int]:
        code, text, _ = finished("gateway", "cache", "-c", path, "--json")
        assert code == 0
        return [process["store"]["entries"] for process in json.loads(text)]

    with origin(step) as server:
        path = tmp_path / "routes.toml"
        path.write_text(
            f'[server]\nlisten = "127.0.0.1:0"\nworkers = 2\n[access_log]\nformat = "off"\n'
            f'[[routes]]\nmethods = ["GET"]\nupstream = "{server.url}"\ncache = true\n[[routes]]\nupstream = "{server.url}"\n'
        )
        with running("gateway", "run", "-c", path) as process:
            process.wait_for("Application startup complete", 2)
            for _ in range(200):  # whom the kernel gives a connection is not ours to say
                get(process.port(), "/a/x")
                if held() == [1, 1]:
                    break
            assert held() == [1, 1]
            assert get(process.port(), "/others", method="POST").status == 201
            assert held() == [0, 0]
            assert process.stop() == 0
        assert "Traceback" not in process.output


@pytest.mark.parametrize("store", ["redis", "tiered"])
def test_it_shows_how_full_redis_is_and_what_was_found_there(tmp_path: Path, store: str):
    with redis_server("--maxmemory", "50mb") as redis, origin(respond(200, b"hello", "Cache-Control: max-age=60", "Surrogate-Key: red", "Vary: Accept-Language")) as server:
        path = tmp_path / "routes.toml"
        path.write_text(
            f'[server]\nlisten = "127.0.0.1:0"\n[access_log]\nformat = "off"\n[redis]\nurl = "{redis.url}"\n[cache]\nstore = "{store}"\n'
            f'[[routes]]\nname = "all"\nupstream = "{server.url}"\n'
            '[routes.cache]\nkey = ["host", "path", "query", "header:X-Tenant"]\nbypass = ["query:fresh"]\nstale_while_revalidate = "10s"\n'
        )
        with running("gateway", "run", "-c", path) as process:
            url, fields = "http://shop.example/a", ("X-Tenant: acme", "Accept-Language: de")
            while b"hit" not in (get(process.port(), "/a", "Host: shop.example", *fields).get("cache-status") or b""):
                pass  # until it has come to Redis, and back
            code, text, faults = finished("gateway", "cache", "-c", path)
            assert (code, faults) == (0, "")
            lines = text.splitlines()
            assert lines[0].startswith("redis: 0 purged" if store == "redis" else "tiered: ")
            assert re.fullmatch(r"redis: [\d.]+ [KM]iB of 50\.0 MiB, \d+ keys", lines[1])
            assert any(re.fullmatch(r"1  red", line.strip()) for line in lines)
            assert any("http://shop.example/a all." in line for line in lines)

            code, text, _ = finished("gateway", "cache", "-c", path, url, "-H", fields[0], "--header", fields[1])
            assert "verdict: 1 stored" in text
            assert "bytes: use\n" in text
            assert "stale-while-revalidate: 10.0" in text
            assert "bytes: for-others\n" in finished("gateway", "cache", "-c", path, url, "-H", fields[0])[1]
            assert "verdict: nothing is stored" in finished("gateway", "cache", "-c", path, url)[1]
            assert "verdict: passes: a bypass of the route" in finished("gateway", "cache", "-c", path, f"{url}?fresh=1")[1]
            assert 'write "Name: value"' in finished("gateway", "cache", "-c", path, url, "-H", "what")[2]
            redis.kill()
            code, text, _ = finished("gateway", "cache", "-c", path)
            assert code == 0
            assert "redis is away" in text
            assert process.stop() == 0
