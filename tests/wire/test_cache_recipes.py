"""The recipes of docs/caching.md, as they stand there, do what the text around them says.

How old an answer is says the origin, by `Age`; so nobody has to wait until it is stale.
"""

from __future__ import annotations

import gzip
import re
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.client import get
from support.origin import Visit, origin, reset, respond
from support.process import ROOT, finished, running
from support.serving import Entrance, Pair, gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.client import Answer
    from support.origin import Step

DOCUMENT = ROOT / "docs" / "caching.md"
TARGET = "http://127.0.0.1:9000"  # as the document calls it
DAY = 86400  # seconds
API, ASSETS, PAGES, PRIVATE = "An API", "Assets", "HTML", "What must never be stored"


def recipes() -> list[tuple[str, str]]:
    """Of each recipe the text before it and its configuration."""
    section = DOCUMENT.read_text("utf-8").partition("\n## Recipes\n")[2].partition("\n## ")[0]
    return [
        (text.strip(), toml)
        for text, toml in re.findall(r"(.*?)^```toml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    ]


def recipe(beginning: str, url: str) -> str:
    """The configuration of the recipe whose text begins so, with this target."""
    [found] = [toml for text, toml in recipes() if text.startswith(beginning)]
    assert TARGET in found
    return found.replace(TARGET, url)


@contextmanager
def cooked(beginning: str, entrance: Entrance, *script: Step) -> Iterator[Pair]:
    """A gateway with a recipe, and its origin."""
    with origin(*script) as server, gateway(tomllib.loads(recipe(beginning, server.url)), entrance) as front:
        yield Pair(server, front)


def said(answer: Answer) -> str:
    """Its Cache-Status, with `N` for the seconds of `ttl`."""
    [value] = answer.all("cache-status")
    return re.sub(r"ttl=(-?)\d+", r"ttl=\1N", value.decode())


def ttl(answer: Answer) -> int:
    found = re.search(rb"ttl=(-?\d+)", answer.get("cache-status") or b"")
    assert found is not None, answer.fields
    return int(found[1])


def fetched_beside(pair: Pair, count: int) -> None:
    """Until the origin has had so many requests, and what they brought is stored."""
    [cache] = pair.gateway.app._gateway.snapshot.caching.routes.values()
    pair.gateway.until(lambda: len(pair.origin.requests) == count and not cache.fetches.under_way)


def test_all_recipes_are_tried_here():
    assert [text for text, _ in recipes() if not text.startswith((API, ASSETS, PAGES, PRIVATE))] == []
    assert len(recipes()) == 4


# ---------------------------------------------------------------- an API


@on_both
def test_an_answer_of_the_api_is_used_for_ten_seconds(entrance: Entrance):
    with cooked(
        API,
        entrance,
        respond(200, b"one"),
        respond(200, b"two", "Age: 4"),
        respond(200, b"three", "Cache-Control: no-store"),
    ) as pair:
        assert said(get(pair.port, "/api/a")) == "gateway; fwd=uri-miss; stored"
        again = get(pair.port, "/api/a")
        assert (said(again), again.body) == ("gateway; hit; ttl=N", b"one")
        assert 6 < ttl(again) < 10
        get(pair.port, "/api/b")
        assert 0 < ttl(get(pair.port, "/api/b")) < 6
        assert (
            said(get(pair.port, "/api/c")) == "gateway; fwd=uri-miss; detail=no-store"
        )  # what the target says comes first
        assert len(pair.origin.requests) == 3


@on_both
def test_an_answer_of_the_api_is_used_for_ten_more_while_a_new_one_is_fetched(entrance: Entrance):
    with cooked(API, entrance, respond(200, b"old", "Age: 12"), respond(200, b"new")) as pair:
        get(pair.port, "/api/a")
        stale = get(pair.port, "/api/a")
        assert (said(stale), stale.body) == ("gateway; hit; ttl=-N", b"old")
        fetched_beside(pair, 2)
        fresh = get(pair.port, "/api/a")
        assert (said(fresh), fresh.body) == ("gateway; hit; ttl=N", b"new")

        pair.play(respond(200, b"older", "Age: 25"), respond(200, b"new"))
        get(pair.port, "/api/b")
        assert (said(answer := get(pair.port, "/api/b")), answer.body) == ("gateway; fwd=stale; stored", b"new")


@on_both
@pytest.mark.parametrize(
    ("failure", "status", "told"),
    [
        (reset(), 502, "gateway; fwd=stale; ttl=-N"),
        (respond(503, b"down"), 503, "gateway; fwd=stale; fwd-status=503; ttl=-N"),
    ],
)
def test_the_api_survives_a_minute_of_outage_and_no_more(entrance: Entrance, failure: Step, status: int, told: str):
    with cooked(API, entrance, respond(200, b"a", "Age: 30"), respond(200, b"b", "Age: 80"), failure) as pair:
        get(pair.port, "/api/a")
        get(pair.port, "/api/b")
        helped = get(pair.port, "/api/a")
        assert (helped.status, helped.body, said(helped)) == (200, b"a", told)
        late = get(pair.port, "/api/b")
        assert (late.status, said(late).partition("; detail")[0]) == (status, "gateway; fwd=stale")


@on_both
def test_a_404_of_the_api_is_used_for_five_seconds(entrance: Entrance):
    with cooked(API, entrance, respond(404, b"none"), respond(500, b"broken")) as pair:
        assert said(get(pair.port, "/api/a")) == "gateway; fwd=uri-miss; stored"
        again = get(pair.port, "/api/a")
        assert (again.status, said(again)) == (404, "gateway; hit; ttl=N")
        assert 1 < ttl(again) < 5
        assert said(get(pair.port, "/api/b")) == "gateway; fwd=uri-miss; detail=freshness"
        assert get(pair.port, "/api/b").status == 500


@on_both
def test_whoever_has_credentials_goes_past_the_store_of_the_api(entrance: Entrance):
    with cooked(
        API, entrance, respond(200, b"for all"), respond(200, b"for one", "Cache-Control: public, max-age=60")
    ) as pair:
        get(pair.port, "/api/a")
        one = get(pair.port, "/api/a", "Authorization: Bearer x")
        assert (said(one), one.body) == ("gateway; fwd=bypass", b"for one")
        assert get(pair.port, "/api/a").body == b"for all"


# ---------------------------------------------------------------- assets


SCRIPT = b"console.log('hello');\n" * 200
JAVASCRIPT = "Content-Type: application/javascript"


@on_both
def test_an_asset_is_fetched_once_whatever_marketing_adds_to_its_url(entrance: Entrance):
    with cooked(ASSETS, entrance, respond(200, SCRIPT, JAVASCRIPT)) as pair:
        asked = ["?utm_source=mail&fbclid=1", "", "?gclid=2", "?utm_campaign=x&utm_medium=y", "?fbclid="]
        answers = [get(pair.port, f"/assets/app.5d1f.js{query}") for query in asked]
        assert {answer.body for answer in answers} == {SCRIPT}
        assert [said(answer) for answer in answers] == ["gateway; fwd=uri-miss; stored", *["gateway; hit; ttl=N"] * 4]
        assert [request.target for request in pair.origin.requests] == [b"/assets/app.5d1f.js"]
        assert 364 * DAY < ttl(answers[-1]) < 365 * DAY


@on_both
def test_what_counts_of_the_query_of_an_asset_is_sent_and_kept_apart(entrance: Entrance):
    with cooked(ASSETS, entrance, respond(200, b"one"), respond(200, b"two")) as pair:
        asked = ["?v=1&utm_source=mail", "?v=2", "?fbclid=x&v=1"]
        assert [get(pair.port, f"/assets/a.css{query}").body for query in asked] == [b"one", b"two", b"one"]
        assert [request.target for request in pair.origin.requests] == [b"/assets/a.css?v=1", b"/assets/a.css?v=2"]


@on_both
def test_an_asset_comes_compressed_from_the_store(entrance: Entrance):
    with cooked(ASSETS, entrance, respond(200, SCRIPT, JAVASCRIPT)) as pair:
        get(pair.port, "/assets/a.js")

        def coded() -> Answer:
            return get(pair.port, "/assets/a.js", "Accept-Encoding: gzip")

        while (answer := coded()).get("content-length") is None:  # encoded on its way, until the form is made
            assert said(answer) == "gateway; hit; ttl=N"
        assert (said(answer), answer.get("content-encoding")) == ("gateway; hit; ttl=N", b"gzip")
        assert gzip.decompress(answer.body) == SCRIPT
        assert len(pair.origin.requests) == 1


@on_both
def test_an_asset_that_is_not_there_yet_is_asked_for_again(entrance: Entrance):
    with cooked(ASSETS, entrance, respond(404, b"none"), respond(200, SCRIPT, JAVASCRIPT)) as pair:
        assert said(get(pair.port, "/assets/a.js")) == "gateway; fwd=uri-miss; detail=freshness"
        assert get(pair.port, "/assets/a.js").status == 200


# ---------------------------------------------------------------- pages


def page(body: bytes, *fields: str, tags: str = "article-7 front") -> Step:
    """As the text says that the application answers."""
    told = (
        "CDN-Cache-Control: max-age=86400",
        "Cache-Control: no-cache",
        "Content-Type: text/html",
        f"Surrogate-Key: {tags}",
    )
    return respond(200, body, *told, *fields)


def test_the_text_says_what_the_application_sends():
    [text] = [text for text, _ in recipes() if text.startswith(PAGES)]
    for field in ("Surrogate-Key: article-7 front", "CDN-Cache-Control: max-age=86400", "Cache-Control: no-cache"):
        assert f"`{field}`" in text


@on_both
def test_a_page_is_stored_for_a_day_and_no_browser_keeps_it(entrance: Entrance):
    with cooked(PAGES, entrance, page(b"<p>hello" * 500, 'ETag: "1"')) as pair:
        assert said(get(pair.port, "/news")) == "gateway; fwd=uri-miss; stored"
        again = get(pair.port, "/news")
        assert (said(again), again.get("cache-control")) == ("gateway; hit; ttl=N", b"no-cache")
        assert DAY - 60 < ttl(again) < DAY
        assert get(pair.port, "/news", 'If-None-Match: "1"').status == 304  # which is how the browser asks again
        assert get(pair.port, "/news", "Accept-Encoding: gzip").get("content-encoding") == b"gzip"
        assert len(pair.origin.requests) == 1


@on_both
def test_whoever_is_logged_in_goes_past_what_is_stored_of_pages(entrance: Entrance):
    with cooked(PAGES, entrance, page(b"for all"), page(b"hello Ann"), page(b"other")) as pair:
        get(pair.port, "/news")
        own = get(pair.port, "/news", "Cookie: theme=dark; session=1")
        assert (said(own), own.body) == ("gateway; fwd=bypass", b"hello Ann")
        assert get(pair.port, "/news", "Cookie: theme=dark").body == b"for all"
        assert said(get(pair.port, "/first", "Cookie: session=1")) == "gateway; fwd=bypass"
        assert said(get(pair.port, "/first")) == "gateway; fwd=uri-miss; stored"


@on_both
def test_a_page_is_used_stale_for_a_minute_beside_and_for_a_day_of_outage(entrance: Entrance):
    first = (
        page(b"old", f"Age: {DAY + 30}"),
        page(b"older", f"Age: {2 * DAY - 600}"),
        page(b"oldest", f"Age: {2 * DAY + 60}"),
    )
    with cooked(PAGES, entrance, *first, reset()) as pair:
        for path in ("/old", "/older", "/oldest"):
            get(pair.port, path)
        older, oldest = get(pair.port, "/older"), get(pair.port, "/oldest")
        assert (older.body, said(older)) == (b"older", "gateway; fwd=stale; ttl=-N")
        assert (oldest.status, said(oldest)) == (502, "gateway; fwd=stale")
        pair.play(page(b"new"))
        old = get(pair.port, "/old")
        assert (old.body, said(old)) == (b"old", "gateway; hit; ttl=-N")
        fetched_beside(pair, 1)
        assert get(pair.port, "/old").body == b"new"


def test_a_page_is_purged_by_each_of_its_tags(tmp_path: Path):
    async def step(visit: Visit) -> None:
        path = visit.request.target.decode()
        await page(
            b"%d" % len(visit.server.requests), tags={"/": "front", "/7": "article-7 front", "/8": "article-8"}[path]
        )(visit)

    def words(*paths: str) -> list[str]:
        return [said(get(process.port(), path)).removeprefix("gateway; ").partition(";")[0] for path in paths]

    with origin(step) as server:
        path = tmp_path / "routes.toml"
        path.write_text('[server]\nlisten = "127.0.0.1:0"\n' + recipe(PAGES, server.url))
        with running("gateway", "run", "-c", path) as process:
            assert words("/", "/7", "/8") == ["fwd=uri-miss"] * 3
            assert words("/", "/7", "/8") == ["hit"] * 3
            code, told, faults = finished("gateway", "purge", "-c", path, "--tag", "article-7")
            assert (code, told, faults) == (0, "purged by 1 process; 1 of their entries in memory were taken\n", "")
            assert words("/", "/7", "/8") == ["hit", "fwd=uri-miss", "hit"]
            assert finished("gateway", "purge", "-c", path, "--tag", "front")[0] == 0
            assert words("/", "/7", "/8") == ["fwd=uri-miss", "fwd=uri-miss", "hit"]
            assert process.stop() == 0


# ---------------------------------------------------------------- what is never stored


@on_both
@pytest.mark.parametrize(
    "path", ["/account", "/account/", "/account/orders?page=2", "/%61ccount/orders", "/x/../account/orders"]
)
def test_of_private_paths_nothing_is_stored(entrance: Entrance, path: str):
    public = "Cache-Control: public, max-age=60"
    with cooked(PRIVATE, entrance, respond(200, b"one", public), respond(200, b"two", public)) as pair:
        answers = [get(pair.port, path) for _ in range(2)]
        assert [(answer.body, answer.get("cache-status")) for answer in answers] == [(b"one", None), (b"two", None)]
        assert pair.gateway.app._gateway.snapshot.caching.store.usage().entries == 0


@on_both
def test_what_is_not_private_is_stored_beside_it(entrance: Entrance):
    with cooked(PRIVATE, entrance, respond(200, b"one", "Cache-Control: max-age=60"), respond(200, b"two")) as pair:
        for path in ("/", "/accounting"):
            get(pair.port, path)
        assert said(get(pair.port, "/")) == "gateway; hit; ttl=N"
        assert pair.gateway.app._gateway.snapshot.caching.store.usage().entries == 1
