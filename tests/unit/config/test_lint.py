"""Warnings about what can never happen, and only about that."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.config import RespondOptions, RouteOptions, lint, parse
from gateway.config.lint import takes_all_of
from gateway.router import Match, compile_path


def warnings(text: str) -> list[str]:
    return [str(fault) for fault in lint(parse(text, environ={}))]


def a_route(**keys: object) -> RouteOptions:
    return RouteOptions.model_validate({"respond": {}, **keys})


def test_a_route_behind_one_that_takes_all_is_told():
    text = '[[routes]]\nname = "all"\nrespond = {}\n[[routes]]\npath = "/a"\nrespond = {}'
    assert warnings(text) == [
        'routes.toml:4: routes[1]: can never match: the earlier route "all" takes all of its requests; '
        "put it before that one"
    ]


def test_no_routes_at_all_are_told():
    assert warnings("version = 1") == ["routes.toml: there are no routes: every request gets 404"]


def test_an_upstream_that_no_route_uses_is_told():
    text = '[upstreams.a]\ntargets = ["http://a"]\n[[routes]]\nrespond = {}'
    assert warnings(text) == ["routes.toml:1: upstreams.a: no route uses this upstream"]


def test_a_redis_that_nothing_uses_is_told():
    route = '[[routes]]\nupstream = "http://a"\n'
    assert warnings(f'[redis]\nurl = "redis://a"\n{route}') == [
        'routes.toml:1: redis: nothing uses this Redis; write store = "tiered" in [cache]'
    ]
    assert warnings(f'[redis]\nurl = "redis://a"\n[cache]\nstore = "redis"\n{route}') == [
        "routes.toml:4: cache.store: no route has a cache; add cache = true to a route"
    ]
    assert warnings(f'[redis]\nurl = "redis://a"\n[cache]\nstore = "redis"\n{route}cache = true') == []
    assert warnings(f'[redis]\nurl = ""\n{route}') == []


def test_a_cache_over_a_split_is_told():
    split = 'split = [{ upstream = "http://a" }, { upstream = "http://b" }]\n'
    assert warnings(f"[[routes]]\n{split}cache = true") == [
        "routes.toml:2: routes[0].split: the cache gives the answers of one share to the clients of all; "
        "leave the cache of this route out, or give each share a route of its own"
    ]
    assert warnings(f"[[routes]]\n{split}") == []


def test_objects_that_the_memory_can_not_hold_are_told():
    route = '[[routes]]\nupstream = "http://a"\ncache = {'
    message = "is more than the memory of the cache; make it smaller, or cache.memory larger"
    assert warnings(f'[cache]\nmemory = "1MiB"\n{route} }}') == [f"routes.toml:1: cache.max_object: {message}"]
    small = '[cache]\nmemory = "1MiB"\nmax_object = "1MiB"\n'
    assert warnings(f'{small}{route} max_object = "2MiB" }}') == [f"routes.toml:6: routes[0].cache.max_object: {message}"]
    assert warnings(f"{small}{route} }}") == []
    assert warnings('[cache]\nmemory = "1MiB"\n[[routes]]\nupstream = "http://a"') == []


def test_a_prefix_that_no_path_begins_with_is_told():
    text = '[[routes]]\npath = "/api/*"\nstrip_prefix = "/v1"\nupstream = "http://a"'
    assert warnings(text) == ['routes.toml:3: routes[0].strip_prefix: no path of "/api/*" begins with "/v1"']


@pytest.mark.parametrize(
    ("path", "prefix"), [("/api/*", "/api"), ("/api/v1/*", "/api"), ("/api/*", "/api/v1"), ("/*", "/v1"), ("/{a}/*", "/v1"), ("/api", "/api")]
)  # fmt: skip
def test_a_prefix_that_some_path_begins_with_is_not_told(path: str, prefix: str):
    assert warnings(f'[[routes]]\npath = "{path}"\nstrip_prefix = "{prefix}"\nupstream = "http://a"') == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"path": "/a"}),
        ({}, {"path_regex": "/a.*"}),
        ({"path_regex": "/a"}, {"path_regex": "/a"}),
        ({"path": "/a/*"}, {"path": "/a"}),
        ({"path": "/a/*"}, {"path": "/a/b/*"}),
        ({"path": "/a/*"}, {"path": "/a/"}),
        ({"path": "/{x}"}, {"path": "/a"}),
        ({"path": "/{x}/b"}, {"path": "/{y}/b"}),
        ({"path": "/{x}/*"}, {"path": "/a/b/{c}"}),
        ({"path": "/a-{x}"}, {"path": "/a-{x}"}),
        ({}, {"host": "a.b"}),
        ({"host": "*.b"}, {"host": ["a.b", "x.y.b"]}),
        ({"host": "*.b"}, {"host": "*.a.b"}),
        ({"host": ["a", "b"]}, {"host": "b"}),
        ({"methods": ["GET", "POST"]}, {"methods": ["GET"]}),
        ({"methods": ["GET"]}, {"methods": ["HEAD"]}),
        ({"headers": {"X-A": "*"}}, {"headers": {"x-a": "1", "X-B": "2"}}),
        ({"query": {"a": "1"}}, {"query": {"a": "1"}}),
    ],
)
def test_one_route_takes_all_of_the_other(first: dict[str, object], second: dict[str, object]):
    assert takes_all_of(a_route(**first), a_route(**second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "/a"}, {}),
        ({"path": "/a"}, {"path": "/a/*"}),
        ({"path": "/a/*"}, {"path": "/ab"}),
        ({"path": "/a"}, {"path": "/{x}"}),
        ({"path": "/{x}"}, {"path": "/"}),
        ({"path": "/{x}"}, {"path": "/a/b"}),
        ({"path": "/a-{x}"}, {"path": "/a-b"}),
        ({"path": "/a/b/*"}, {"path": "/a/*"}),
        ({"path_regex": ".*"}, {"path": "/a"}),
        ({"path": "/a/*"}, {"path_regex": "/a/.*"}),
        ({"host": "a"}, {}),
        ({"host": "*.b"}, {"host": "b"}),
        ({"host": "a"}, {"host": ["a", "b"]}),
        ({"host": "a.b"}, {"host": "*.b"}),
        ({"methods": ["GET"]}, {}),
        ({"methods": ["HEAD"]}, {"methods": ["GET"]}),
        ({"headers": {"a": "1"}}, {}),
        ({"headers": {"a": "1"}}, {"headers": {"a": "*"}}),
        ({"query": {"a": "*"}}, {"query": {"A": "1"}}),
    ],
)
def test_one_route_leaves_something_to_the_other(first: dict[str, object], second: dict[str, object]):
    assert not takes_all_of(a_route(**first), a_route(**second))


_segments = st.sampled_from(["a", "b", "{x}", "a{x}", "{x}b"])
_paths = st.builds(
    lambda segments, end: (
        "/" + "/".join(f.replace("{x}", f"{{x{i}}}") for i, f in enumerate(segments)) + end if segments else "/*"
    ),
    st.lists(_segments, max_size=3),
    st.sampled_from(["", "/", "/*"]),
)
_requests = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4).map(
    lambda parts: ("/" + "/".join(parts)).encode()
)


@given(_paths, _paths, st.lists(_requests, max_size=20))
def test_no_request_of_a_shadowed_route_gets_past_the_earlier_one(one: str, other: str, requests: list[bytes]):
    assume(
        takes_all_of(
            RouteOptions(path=one, respond=RespondOptions()), RouteOptions(path=other, respond=RespondOptions())
        )
    )
    first, second = Match(compile_path(one)), Match(compile_path(other))
    for path in requests:
        if second.path.match(path) is not None:
            assert first.path.match(path) is not None
