"""The first route in file order that takes a request, found by index or by walking."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import router as module
from gateway.exchange import Exchange
from gateway.pipeline import Pipeline
from gateway.rfc.uri import match_path
from gateway.route import Route
from gateway.router import (
    FieldMatch,
    Match,
    PathPattern,
    Rejected,
    Router,
    compile_path,
    quoted,
)


def route(path: str = "/*", name: str = "", **conditions: object) -> Route:
    return Route(name or path, Match(compile_path(path), **conditions), Pipeline([]))  # type: ignore[arg-type]


def asked(
    path: bytes = b"/",
    host: bytes = b"a",
    method: bytes = b"GET",
    query: bytes | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> Exchange:
    exchange = Exchange(method, path, query, headers or [])
    exchange.host = host
    exchange.match_path = match_path(path)
    return exchange


def found(routes: list[Route], exchange: Exchange) -> str | Rejected | None:
    result = Router(routes).find(exchange)
    return result[0].name if isinstance(result, tuple) else result


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("pattern", "path", "captures"),
    [
        ("/x", b"/x", {}),
        ("/x", b"/x/", None),
        ("/x", b"/X", None),
        ("/x/", b"/x/", {}),
        ("/x/", b"/x", None),
        ("/", b"/", {}),
        ("/", b"/x", None),
        ("/*", b"/", {"path": b""}),
        ("/*", b"/x/y", {"path": b"x/y"}),
        ("/*", b"*", {"path": b""}),
        ("/x/*", b"/x", {"path": b""}),
        ("/x/*", b"/x/", {"path": b""}),
        ("/x/*", b"/x/y/z", {"path": b"y/z"}),
        ("/x/*", b"/xy", None),
        ("/x/*", b"*", None),
        ("/u/{id}", b"/u/7", {"id": b"7"}),
        ("/u/{id}", b"/u/", None),
        ("/u/{id}", b"/u/7/", None),
        ("/u/{id}", b"/u/a\nb", {"id": b"a\nb"}),
        ("/u/{id}/*", b"/u/7", {"id": b"7", "path": b""}),
        ("/u/{id}/*", b"/u/7/a/b", {"id": b"7", "path": b"a/b"}),
        ("/u/{id}/*", b"/u/7x", {"id": b"7x", "path": b""}),
        ("/u/v{id}.{ext}", b"/u/v1.2.js", {"id": b"1.2", "ext": b"js"}),
        ("/a.b/{id}", b"/axb/1", None),
        ("/ü", "/ü".encode(), {}),
    ],
)
def test_a_pattern_takes_a_path_and_captures(pattern: str, path: bytes, captures: dict[str, bytes] | None):
    compiled = compile_path(pattern)
    assert compiled.match(path) == captures
    assert captures is None or set(compiled.names) == set(captures)


@pytest.mark.parametrize("text", ["", "x", "*", "/a/*/b", "/a*", "/{Id}", "/{a}{", "/{a}/{a}", "/{path}/*", "/{}", "/a{*}", "/a}/{b}", "/{a}*"])
def test_what_is_no_pattern_is_refused_with_its_reason(text: str):
    with pytest.raises(ValueError, match="\""):
        compile_path(text)


def test_an_expression_matches_the_whole_path():
    pattern = PathPattern.from_regex(r"/(?P<lang>[a-z]{2})(?P<rest>/.*)?")
    assert pattern.names == ("lang", "rest")
    assert pattern.match(b"/de") == {"lang": b"de", "rest": b""}
    assert pattern.match(b"/de/x\ny") == {"lang": b"de", "rest": b"/x\ny"}
    assert pattern.match(b"/dex") is None
    with pytest.raises(ValueError, match="is not a regular expression"):
        PathPattern.from_regex("(")


def test_a_route_is_found_by_what_its_path_means():
    routes = [route("/admin/*"), route("/*")]
    for spelled in (b"/admin/x", b"/%61dmin/x", b"//admin//x", b"/a/../admin", b"/a/%2e%2e%2Fadmin", b"/./admin/.."[:9]):
        assert found(routes, asked(spelled)) == "/admin/*"


def test_captures_are_encoded_for_a_target():
    assert quoted({"path": b"a b/\xc3?#%", "id": b"x"}) == {"path": b"a%20b/%C3%3F%23%25", "id": b"x"}


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize(
    ("pattern", "host", "taken"),
    [
        ("example.com", b"example.com", True),
        ("Example.com", b"EXAMPLE.COM:8080", True),
        ("example.com", b"example.com.", True),
        ("example.com", b"www.example.com", False),
        ("example.com", b"", False),
        ("*.example.com", b"example.com", False),
        ("*.example.com", b"www.example.com:1", True),
        ("*.example.com", b"a.b.example.com", True),
        ("*.example.com", b"wwwexample.com", False),
        ("*.example.com", b"www.example.com.evil", False),
        ("[2001:db8::1]", b"[2001:DB8::1]:443", True),
        ("10.0.0.1", b"10.0.0.1:80", True),
    ],
)
def test_a_host_is_exact_or_below_a_wildcard(pattern: str, host: bytes, taken: bool):
    assert (found([route(hosts=[pattern])], asked(host=host)) == "/*") is taken


def test_hosts_that_no_route_names_share_one_table():
    router = Router([route(name="a", hosts=["a.example", "*.b.example"]), route(name="any")])
    for number in range(3 * module._HOSTS):
        result = router.find(asked(host=b"h%d.example" % number))
        assert isinstance(result, tuple)
        assert result[0].name == "any"
        assert isinstance(router.find(asked(host=b"h%d.b.example" % number)), tuple)
    assert len(router._tables) == 2
    assert len(router._known) <= module._HOSTS


# ---------------------------------------------------------------- methods, fields, query


def test_a_method_alone_makes_405_with_all_that_would_do():
    routes = [
        route("/x", methods=["GET"]),
        route("/x", methods=["POST"], headers={"X-A": "1"}),
        route("/x", methods=["PUT"], query={"a": "1"}),
        route("/*", methods=["DELETE"], hosts=["b"]),
    ]
    assert found(routes, asked(b"/x", method=b"PATCH")) == Rejected(frozenset({b"GET", b"HEAD"}))
    assert found(routes, asked(b"/x", method=b"PATCH", headers=[(b"x-a", b"1")], query=b"a=1")) == Rejected(
        frozenset({b"GET", b"HEAD", b"POST", b"PUT"})
    )
    assert found(routes, asked(b"/y", method=b"PATCH")) is None
    assert found([*routes, route("/*")], asked(b"/x", method=b"PATCH")) == "/*"


def test_who_serves_get_serves_head_and_methods_have_a_case():
    assert found([route(methods=["GET"])], asked(method=b"HEAD")) == "/*"
    assert found([route(methods=["GET"])], asked(method=b"get")) == Rejected(frozenset({b"GET", b"HEAD"}))
    assert found([route(methods=["POST"])], asked(method=b"HEAD")) == Rejected(frozenset({b"POST"}))


@pytest.mark.parametrize(
    ("wanted", "values", "accepted"),
    [
        ("1", [b"1"], True), ("1", [b"0", b"1"], True), ("1", [b"1, 2"], False), ("1", [], False), ("*", [b""], True), ("*", [], False),
        ("re:[0-9]+", [b"42"], True), ("re:[0-9]+", [b"42x"], False), ("re:a.b", [b"a\nb"], True), ("ü", ["ü".encode()], True),
    ],
)  # fmt: skip
def test_a_field_is_exact_any_or_an_expression(wanted: str, values: list[bytes], accepted: bool):
    assert FieldMatch("x", wanted).accepts(values) is accepted
    headers = [(b"x-a", value) for value in values]
    assert (found([route(headers={"X-A": wanted})], asked(headers=headers)) == "/*") is accepted


def test_a_wrong_expression_for_a_field_is_named():
    with pytest.raises(ValueError, match='"\\(" is not a regular expression'):
        FieldMatch("x", "re:(")


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        (b"v=2", True), (b"a=1&v=2", True), (b"v=1&v=2", True), (b"%76=%32", True), (b"v=2+", False), (b"v", False), (b"v=", False),
        (b"", False), (None, False), (b"V=2", False), (b"\xff=\xfe&v=2", True), (b"&&v=2&", True), (b"v=2;x=1", False), (b"v=2=3", False),
    ],
)  # fmt: skip
def test_a_query_parameter_is_read_decoded(query: bytes | None, taken: bool):
    assert (found([route(query={"v": "2"})], asked(query=query)) == "/*") is taken


def test_a_plus_in_a_query_is_a_blank_and_other_bytes_stay():
    assert found([route(query={"q": "a b"})], asked(query=b"q=a+b")) == "/*"
    assert found([route(query={"q": "re:\\xff."})], asked(query=b"q=\xff\xfe")) == "/*"
    assert found([route(query={"q": "*", "r": "1"})], asked(query=b"q&r=1")) == "/*"


# ---------------------------------------------------------------- against a plain model

SEGMENT = st.sampled_from(["a", "b", "ab", "{x}", "a{y}", "c.d"])
ROUTE_PATHS = st.builds(
    lambda segments, end: ("/" + "/".join(dict.fromkeys(segments))).rstrip("/") + end or "/",
    st.lists(SEGMENT, max_size=3),
    st.sampled_from(["", "", "/*", "/*", "/"]),
)
ROUTE_HOSTS = st.lists(st.sampled_from(["a.x", "b.a.x", "*.x", "*.a.x", "Y", "[::1]"]), max_size=2, unique=True)
METHODS = st.lists(st.sampled_from(["GET", "POST", "PUT"]), max_size=2, unique=True)
REQUEST_HOSTS = st.sampled_from([b"a.x", b"A.X:80", b"a.x.", b"b.a.x", b"c.b.a.x", b"x", b"y:1", b"[::1]:5", b"z", b"", b".x"[1:]])
REQUEST_PATHS = st.lists(st.sampled_from([b"a", b"b", b"ab", b"abc", b"c.d", b"c%2Ed", b"", b"..", b"x"]), max_size=5).map(
    lambda parts: b"/" + b"/".join(parts)
)


def path_takes(pattern: str, path: bytes) -> bool:
    wanted, given_ = pattern.removesuffix("/*").split("/")[1:], path.decode().split("/")[1:]
    if pattern.endswith("/*"):
        if len(given_) < len(wanted):
            return False
        given_ = given_[: len(wanted)]
    elif len(given_) != len(wanted):
        return False
    return all(
        actual != "" and actual.startswith(expected[:-3]) and len(actual) > len(expected) - 3 if "{" in expected else actual == expected
        for expected, actual in zip(wanted, given_, strict=True)
    )


def host_takes(patterns: list[str], host: bytes) -> bool:
    name = host.decode().lower()
    name = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0].removesuffix(".")
    return not patterns or any(
        (name.endswith(pattern[1:]) and name != pattern[1:]) if pattern.startswith("*.") else name == pattern.lower() for pattern in patterns
    )


@settings(max_examples=150)
@given(
    st.lists(st.tuples(ROUTE_PATHS, ROUTE_HOSTS, METHODS, st.booleans()), max_size=24),
    st.lists(st.tuples(REQUEST_PATHS, REQUEST_HOSTS, st.sampled_from([b"GET", b"HEAD", b"POST", b"DELETE"]), st.booleans()), max_size=6),
)
def test_the_index_finds_what_walking_in_file_order_finds(
    described: list[tuple[str, list[str], list[str], bool]], requests: list[tuple[bytes, bytes, bytes, bool]]
):
    routes = [
        route(path, str(number), hosts=hosts, methods=methods, headers={"x-a": "1"} if field else {})
        for number, (path, hosts, methods, field) in enumerate(described)
    ]
    router = Router(routes)
    for path, host, method, field in requests * 2:
        expected: str | None = None
        allow: set[bytes] = set()
        for number, (pattern, hosts, methods, wants_field) in enumerate(described):
            if not (path_takes(pattern, match_path(path)) and host_takes(hosts, host) and (field or not wants_field)):
                continue
            allowed = {m.encode() for m in methods} | ({b"HEAD"} if "GET" in methods else set())
            if not methods or method in allowed:
                expected = str(number)
                break
            allow |= allowed
        result = router.find(asked(path, host, method, headers=[(b"x-a", b"1")] if field else []))
        if expected is not None:
            assert isinstance(result, tuple)
            assert result[0].name == expected
            assert result[1] == routes[int(expected)].match.path.match(match_path(path))
        else:
            assert result == (Rejected(frozenset(allow)) if allow else None)


def test_the_asterisk_of_options_is_for_those_who_take_everything():
    many = [route(f"/r{number}") for number in range(10)]
    assert found([*many, route("/*")], asked(b"*", method=b"OPTIONS")) == "/*"
    assert found(many, asked(b"*", method=b"OPTIONS")) is None


def test_a_deep_path_costs_no_more_than_the_deepest_route():
    table = Router([route(f"/r{number}/*") for number in range(10)])._everywhere
    assert table is not None
    path = b"/r7" + b"/a" * 8000
    assert [candidate.name for candidate in table.candidates(path)] == ["/r7/*"]
    assert table._depth == 1
