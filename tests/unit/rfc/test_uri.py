"""Targets, hosts and the meaning of paths."""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc import uri
from gateway.rfc.uri import (
    host_name,
    match_path,
    parse_absolute_form,
    strip_root_path,
    valid_host,
    valid_origin_form,
)

SEGMENTS = st.lists(
    st.sampled_from([b"a", b"b.c", b".", b"..", b"", b"%2e", b"%2E%2e", b".%2e", b"%2F", b"%25", b"%", b"%zz", b"...", b"%00"]),
    max_size=8,
)
PATHS = SEGMENTS.map(lambda parts: b"/" + b"/".join(parts))


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize(
    "host",
    [
        b"example.com", b"example.com.", b"EXAMPLE.com:8080", b"a_b", b"192.0.2.1:80", b"localhost:", b"[::1]", b"[::1]:8080",
        b"[2001:db8::192.0.2.1]:1", b"[v1.a:b]", b"xn--bcher-kva.example", b"a%20b", b"x" * 255,
    ],
)  # fmt: skip
def test_a_host_with_or_without_port_is_valid(host: bytes):
    assert valid_host(host)
    assert valid_host(host)  # remembered


@pytest.mark.parametrize(
    "host",
    [
        b"", b":80", b"a b", b"a,b", b"user@a", b"a/b", b"a?b", b"a#b", b"a\\b", b"a:b", b"a:80:80", b"a:123456", b"a:-1", b"a:+1",
        b"[::1", b"::1", b"[::1]x", b"[]", b"[:::]", b"[1.2.3.4]", b"[::1%25eth0]", b"[v.a]", b"a%2", b"a\x00", b"a\x7f", b"\xe4",
        b"a\"b", b"<a>", b"..", b".", b"a..b", b".a", b"a..", b"%2e..", b"x" * 262,
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(host: bytes):
    assert not valid_host(host)


def test_the_memo_of_valid_hosts_is_bounded():
    for number in range(3 * uri._HOST_MEMO):
        assert valid_host(b"h%d.example" % number)
    assert len(uri._valid_hosts) <= uri._HOST_MEMO


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        (b"Example.COM", b"example.com"),
        (b"example.com.:80", b"example.com"),
        (b"example.com:", b"example.com"),
        (b"[2001:DB8::1]:443", b"[2001:db8::1]"),
        (b"[::1]", b"[::1]"),
        (b"", b""),
    ],
)
def test_a_host_is_named_without_port_case_and_final_dot(authority: bytes, name: bytes):
    assert host_name(authority) == name


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize("target", [b"/", b"//", b"/a?b=/c", b"/%zz", b"/a?", b"/\xff", b"/a\"<>^`{|}", b"/a;b"])
def test_an_origin_form_may_hold_what_clients_send(target: bytes):
    assert valid_origin_form(target)


@pytest.mark.parametrize("target", [b"", b"a", b"*", b"/a#b", b"/a\\b", b"/a b", b"/a\tb", b"/a\x7f", b"/a\n", b"http://a/"])
def test_an_origin_form_holds_nothing_that_others_would_cut_it_at(target: bytes):
    assert not valid_origin_form(target)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"http://a/b?c", (b"http", b"a", b"/b?c")),
        (b"HTTPS://A:443", (b"https", b"A:443", b"/")),
        (b"http://a?b", (b"http", b"a", b"/?b")),
        (b"http://[::1]:80//x", (b"http", b"[::1]:80", b"//x")),
        (b"http://u@a/", None),
        (b"http:///b", None),
        (b"http://a/b#c", None),
        (b"http://a\\b/", None),
        (b"http://a..b/", None),
        (b"ftp://a/", None),
        (b"http:/a", None),
        (b"a:80", None),
    ],
)
def test_an_absolute_form_is_taken_apart(target: bytes, parts: tuple[bytes, bytes, bytes] | None):
    assert parse_absolute_form(target) == parts


# ---------------------------------------------------------------- the mount prefix


@pytest.mark.parametrize(
    ("path", "root", "rest"),
    [
        (b"/api/x", b"/api", b"/x"),
        (b"/api/x", b"/api/", b"/x"),
        (b"/api", b"/api", b"/"),
        (b"/api/", b"/api", b"/"),
        (b"/api//x", b"/api", b"//x"),
        (b"/apix", b"/api", None),
        (b"/ap", b"/api", None),
        (b"/API/x", b"/api", None),
        (b"/x", b"", b"/x"),
        (b"/x", b"/", b"/x"),
        (b"", b"", b"/"),
        (b"*", b"/api", None),
        (b"/%61pi/%2e", b"/api", b"/%2e"),
        (b"/%61pi", b"/api", b"/"),
        (b"/%61pix", b"/api", None),
        (b"/%61p", b"/api", None),
        (b"/%62pi/x", b"/api", None),
        (b"/api%2Fx", b"/api", None),
        (b"/a%20b/x", b"/a b", b"/x"),
        (b"/a%20b/x", b"/a%20b", b"/x"),
        (b"/%C3%BC/x", "/ü".encode(), b"/x"),
        (b"/%zz/x", b"/api", None),
        (b"/%", b"/%a", None),
    ],
)
def test_a_mount_prefix_ends_at_a_slash(path: bytes, root: bytes, rest: bytes | None):
    assert strip_root_path(path, root) == rest


@given(st.binary(min_size=1, max_size=8), PATHS)
def test_a_mount_prefix_is_found_however_it_is_spelled(root: bytes, rest: bytes):
    root = b"/" + root.replace(b"/", b"x").replace(b"%", b"x")
    spelled = b"".join(b"%%%02x" % byte for byte in root[1:])
    assert strip_root_path(b"/" + spelled + rest, root) == rest


# ---------------------------------------------------------------- the meaning of a path


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        (b"/a/b", b"/a/b"),
        (b"/a/%2e%2e/b", b"/b"),
        (b"/a/%2e%2E/%2e/b/", b"/b/"),
        (b"/a/..", b"/"),
        (b"/a/b/..", b"/a/"),
        (b"/a/.", b"/a/"),
        (b"/..", b"/"),
        (b"/../../etc", b"/etc"),
        (b"/..%2f..%2fetc", b"/etc"),
        (b"//", b"/"),
        (b"//a//b//", b"/a/b/"),
        (b"/a%2Fb", b"/a/b"),
        (b"/a%2F%2fb", b"/a/b"),
        (b"/%252e%252e/a", b"/%2e%2e/a"),
        (b"/.well-known/x", b"/.well-known/x"),
        (b"/a/...", b"/a/..."),
        (b"/a%", b"/a%"),
        (b"/%zz", b"/%zz"),
        (b"/%C3%BC", "/ü".encode()),
        (b"*", b"*"),
    ],
)
def test_a_path_means_what_its_decoded_segments_say(path: bytes, meaning: bytes):
    assert match_path(path) == meaning


def test_a_plain_path_is_not_copied():
    path = b"/a/b-c"
    assert match_path(path) is path


@given(PATHS)
def test_a_meaning_has_no_segment_left_that_means_something_else(path: bytes):
    segments = match_path(path).split(b"/")
    assert segments[0] == b""
    assert not {b".", b".."} & set(segments)
    assert b"" not in segments[1:-1]


@given(PATHS)
def test_the_meaning_of_a_meaning_is_the_same(path: bytes):
    meaning = match_path(path)
    assert match_path(quote_from_bytes(meaning).encode()) == meaning
    if b"%" not in meaning:
        assert match_path(meaning) == meaning


@given(PATHS)
def test_a_meaning_never_climbs_above_the_root(path: bytes):
    stack: list[bytes] = []
    for segment in unquote_to_bytes(path).split(b"/"):
        if segment == b"..":
            del stack[-1:]
        elif segment not in (b"", b"."):
            stack.append(segment)
    assert match_path(path).strip(b"/") == b"/".join(stack)
    assert match_path(b"/.." * 3 + path) == match_path(path)
