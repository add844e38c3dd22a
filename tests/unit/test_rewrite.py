"""The target on its way to the upstream: untouched, or inside the prefix that it is put below."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.exchange import Exchange
from gateway.rewrite import PathRewrite, request_target
from gateway.rfc.uri import match_path


def asked(path: bytes, query: bytes | None = None, /, host: bytes = b"a", **captures: bytes) -> Exchange:
    exchange = Exchange(b"GET", path, query, [])
    exchange.host = host
    exchange.match_path = match_path(path)
    exchange.captures = captures or None
    return exchange


SEGMENTS = st.lists(
    st.sampled_from([b"api", b"v2", b"a", b".", b"..", b"", b"%2e%2e", b"%2E.", b"..%2f..", b"%252e%252e", b"%2F", b"a%20b", b"%61pi", b"\xff", b"x.", b"%"]),
    max_size=7,
)  # fmt: skip
PATHS = SEGMENTS.map(lambda parts: b"/" + b"/".join(parts))


@given(PATHS, st.none() | st.binary(max_size=5))
def test_without_a_rewrite_the_target_goes_on_byte_for_byte(path: bytes, query: bytes | None):
    assert request_target(asked(path, query), None) == path + (b"" if query is None else b"?" + query)


def test_the_asterisk_of_options_is_never_rewritten():
    assert request_target(asked(b"*"), PathRewrite(add="/v2")) == b"*"


@pytest.mark.parametrize(
    ("strip", "add", "path", "rewritten"),
    [
        ("/api", "", b"/api/x%2Fy", b"/x%2Fy"),
        ("/api", "", b"/api", b"/"),
        ("/api", "", b"/api/", b"/"),
        ("/api/", "", b"/api//x", b"//x"),
        ("/api", "", b"/apix", b"/apix"),
        ("/api", "", b"/other", b"/other"),
        ("/api", "", b"/%61pi/x%20y", b"/x%20y"),
        ("/api", "", b"//api/x", b"/x"),
        ("/api", "", b"/api%2Fx", b"/x"),
        ("/api", "/v2", b"/api/x", b"/v2/x"),
        ("/api", "/v2/", b"/api", b"/v2/"),
        ("", "/v2", b"/x;y=%7E", b"/v2/x;y=%7E"),
        ("", "/v2", b"/", b"/v2/"),
        ("", "/v2", b"/../x", b"/v2/x"),
        ("", "/v2", b"/%2e%2e/x", b"/v2/x"),
        ("", "/v2", b"/a/..%2f../x", b"/v2/x"),
        ("", "/v2", b"/a//x", b"/v2/a//x"),
        ("", "/v2", b"/%252e%252e/x", b"/v2/%252e%252e/x"),
        ("", "/v2", b"/.hidden/..x", b"/v2/.hidden/..x"),
        ("/api", "/v2", b"/api/../api/x y"[:13], b"/v2/x"),
        ("/a b", "/c d", b"/a%20b/x", b"/c%20d/x"),
        ("/ü", "/ö", b"/%C3%BC/%C3%BC", b"/%C3%B6/%C3%BC"),
        ("", "/c%20d", b"/x", b"/c%20d/x"),
    ],
)
def test_prefixes_are_taken_off_and_put_before(strip: str, add: str, path: bytes, rewritten: bytes):
    assert request_target(asked(path), PathRewrite(strip, add)) == rewritten


@given(PATHS, st.sampled_from(["", "/api", "/api/v2"]), st.sampled_from(["/v2", "/in/side", "/a b"]))
def test_no_request_climbs_out_of_the_added_prefix(path: bytes, strip: str, add: str):
    exchange = asked(path)
    rewritten = request_target(exchange, PathRewrite(strip, add))
    prefix = add.encode()
    assert match_path(rewritten).startswith(prefix + b"/") or match_path(rewritten) == prefix
    meaning = exchange.match_path
    if strip and (meaning + b"/").startswith(strip.encode() + b"/"):
        meaning = meaning[len(strip) :] or b"/"
    if match_path(path) != b"/":
        assert match_path(rewritten).rstrip(b"/") == (prefix + meaning).rstrip(b"/")


@given(st.lists(st.sampled_from([b"a", b"", b"%2F", b"%2f%41", b"x.", b".x", b"...", b"\xff", b"%", b"%252e"]), max_size=6))
def test_what_has_no_dot_segments_is_put_below_the_prefix_as_it_is_spelled(parts: list[bytes]):
    path = b"/" + b"/".join(parts)
    assert request_target(asked(path), PathRewrite(add="/v2")) == b"/v2" + path


@pytest.mark.parametrize(
    ("template", "query", "target"),
    [
        ("/new", None, b"/new"),
        ("/new/{path}", b"a=1", b"/new/x%20y?a=1"),
        ("/new?id={id}", b"a=1", b"/new?id=7&a=1"),
        ("/new?id={id}", None, b"/new?id=7"),
        ("/new", b"", b"/new?"),
        ("/{missing}/x", None, b"//x"),
        ("{id}", None, b"/7"),
        ("/a b/ü/{host}", None, b"/a%20b/%C3%BC/a"),
        ("/%7e/{id}", None, b"/%7e/7"),
    ],
)
def test_a_template_makes_a_whole_new_path(template: str, query: bytes | None, target: bytes):
    assert request_target(asked(b"/x", query, path=b"x%20y", id=b"7"), PathRewrite(template=template)) == target


def test_a_template_without_captures_has_empty_places():
    assert request_target(asked(b"/x"), PathRewrite(template="/y/{id}")) == b"/y/"


@pytest.mark.parametrize("value", [b"..", b".", b"%2e%2e", b"a/../..", b"%2e%2e%2f", b"..%2fa"])
def test_nothing_that_a_client_sends_climbs_out_of_a_template(value: bytes):
    for exchange in (asked(b"/x", host=value), asked(b"/x", id=value)):
        with pytest.raises(BadRequest):
            request_target(exchange, PathRewrite(template="/sites/{host}/{id}" if exchange.captures is None else "/sites/{id}/x"))


def test_dots_in_a_templates_query_are_nobodys_business():
    assert request_target(asked(b"/x", id=b".."), PathRewrite(template="/x?p=/{id}/")) == b"/x?p=/../"


@pytest.mark.parametrize(
    ("strip", "add", "path", "public"),
    [
        ("/api", "", b"/login", b"/api/login"),
        ("/api", "", b"/", b"/api/"),
        ("", "/v2", b"/v2/login?a=b#c", b"/login?a=b#c"),
        ("", "/v2", b"/v2", b"/"),
        ("", "/v2", b"/v2?a", b"/?a"),
        ("", "/v2", b"/v2#a", b"/#a"),
        ("", "/v2", b"/v2x", b"/v2x"),
        ("", "/v2", b"/login", b"/login"),
        ("/api", "/v2", b"/v2/login", b"/api/login"),
        ("/api", "/v2", b"/login", b"/login"),
        ("/a b", "", b"/x", b"/a%20b/x"),
        ("", "", b"/x", b"/x"),
    ],
)
def test_a_targets_path_has_its_public_one(strip: str, add: str, path: bytes, public: bytes):
    assert PathRewrite(strip, add).public_path(path) == public


@pytest.mark.parametrize(
    ("strip", "add", "path", "public"),
    [
        ("/api", "", b"/", b"/api"),
        ("/api", "", b"/x", b"/api/x"),
        ("", "/v2", b"/", b"/"),
        ("", "/v2", b"/v2", b"/"),
        ("", "/v2/x", b"/v2/", b"/"),
        ("/api", "/v2/x", b"/v2", b"/api"),
        ("/api", "/v2", b"/v2/y", b"/api/y"),
        ("/api", "/v2", b"/other", b"/other"),
        ("", "", b"/", b"/"),
    ],
)
def test_a_cookies_path_covers_what_is_served_below_it(strip: str, add: str, path: bytes, public: bytes):
    assert PathRewrite(strip, add).public_scope(path) == public


@given(
    st.lists(st.sampled_from([b"api", b"v2", b"a%20b", b"%2F", b"x"]), max_size=5).map(lambda parts: b"/" + b"/".join(parts)),
    st.sampled_from(["", "/api"]),
    st.sampled_from(["", "/v2"]),
)
def test_a_public_path_leads_back_to_the_target(path: bytes, strip: str, add: str):
    rewrite = PathRewrite(strip, add)
    target_path = add.encode() + path
    forwarded = request_target(asked(rewrite.public_path(target_path)), rewrite)
    assert match_path(forwarded) == match_path(target_path)


def test_a_template_has_no_way_back():
    assert PathRewrite(template="/x/{id}").public_path(b"/y") == b"/y"
    assert PathRewrite(template="/x/{id}").public_scope(b"/y") == b"/y"
