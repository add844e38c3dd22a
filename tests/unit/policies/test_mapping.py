"""A target's own addresses, as the client knows them."""

from __future__ import annotations

import pytest

from gateway.deadlines import Deadlines
from gateway.exchange import Exchange, ResponseHead
from gateway.policies.mapping import PublicAddresses
from gateway.rewrite import PathRewrite
from gateway.upstream.address import Address
from gateway.upstream.local_target import LocalTarget
from gateway.upstream.target import Target

STRIPPED = PathRewrite(strip="/api")


class Loop:
    """As much of a loop as a target needs that never connects."""

    def time(self) -> float:
        return 0.0


def mapped(
    value: bytes,
    *,
    name: bytes = b"location",
    rewrite: PathRewrite | None = STRIPPED,
    host: bytes = b"public.example",
    sent: bytes | None = None,
    mount: bytes = b"",
    scheme: bytes = b"https",
    url: str = "http://10.0.0.5:9000",
) -> bytes:
    exchange = Exchange(b"GET", b"/api/x", None, [], scheme=scheme, mount=mount)
    exchange.host = host
    exchange.target = Target(Address(url), Deadlines(Loop()))  # type: ignore[arg-type]
    exchange.host_sent = exchange.target.address.authority if sent is None else sent
    head = ResponseHead(302, [(b"a", b"b"), (name, value)])
    PublicAddresses(rewrite).amend(exchange, head)
    assert head.headers[0] == (b"a", b"b")
    return head.headers[1][1]


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        (b"/login?a=/b#c", b"/api/login?a=/b#c"),
        (b"/", b"/api/"),
        (b"http://10.0.0.5:9000/login", b"https://public.example/api/login"),
        (b"HTTP://10.0.0.5:9000", b"https://public.example/api/"),
        (b"http://10.0.0.5:9000?a=b", b"https://public.example/api/?a=b"),
        (b"https://10.0.0.5:9000/x", b"https://public.example/api/x"),
        (b"//10.0.0.5:9000/login", b"//public.example/api/login"),
        (b"https://public.example/x", b"https://public.example/api/x"),
        (b"http://PUBLIC.example/x", b"http://PUBLIC.example/api/x"),
        (b"https://public.example:443/x", b"https://public.example:443/api/x"),
        (b"//public.example/x", b"//public.example/api/x"),
        (b"https://public.example:8443/x", b"https://public.example:8443/x"),
        (b"https://other.example/x", b"https://other.example/x"),
        (b"//other.example/x", b"//other.example/x"),
        (b"https://public.example.evil/x", b"https://public.example.evil/x"),
        (b"http://user@10.0.0.5:9000/x", b"http://user@10.0.0.5:9000/x"),
        (b"https://public.example@evil/x", b"https://public.example@evil/x"),
        (b"https:///x", b"https:///x"),
        (b"login", b"login"),
        (b"../login", b"../login"),
        (b"?a=b", b"?a=b"),
        (b"#top", b"#top"),
        (b"", b""),
        (b"mailto:a@b", b"mailto:a@b"),
        (b"ftp://10.0.0.5:9000/x", b"ftp://10.0.0.5:9000/x"),
    ],
)
@pytest.mark.parametrize("name", [b"location", b"content-location"])
def test_a_reference_to_the_target_leads_through_us(name: bytes, location: bytes, seen: bytes):
    assert mapped(location, name=name) == seen


def test_other_fields_are_left_alone():
    assert mapped(b"/x", name=b"link") == b"/x"


def test_a_target_is_known_by_the_name_it_was_asked_by_and_by_its_own():
    assert mapped(b"http://inner.example/x", sent=b"inner.example") == b"https://public.example/api/x"
    assert mapped(b"http://10.0.0.5:9000/x", sent=b"inner.example") == b"https://public.example/api/x"
    assert mapped(b"http://10.0.0.5:80/x", url="http://10.0.0.5", rewrite=None) == b"https://public.example/x"


def test_a_host_that_looks_like_a_scheme_is_still_a_host():
    assert mapped(b"http://http/x", host=b"http") == b"http://http/api/x"


def test_a_client_without_a_host_is_led_by_path():
    assert mapped(b"http://10.0.0.5:9000/x", host=b"") == b"/api/x"
    assert mapped(b"https:///x", host=b"") == b"https:///x"


def test_the_mount_prefix_is_put_before_all():
    assert mapped(b"/x", mount=b"/gw") == b"/gw/api/x"
    assert mapped(b"/x", mount=b"/gw", rewrite=None, sent=b"public.example") == b"/gw/x"
    assert mapped(b"http://10.0.0.5:9000/x", mount=b"/gw", rewrite=None) == b"https://public.example/gw/x"


def test_an_added_prefix_is_taken_off():
    rewrite = PathRewrite(strip="/api", add="/v2")
    assert mapped(b"/v2/x", rewrite=rewrite) == b"/api/x"
    assert mapped(b"/elsewhere", rewrite=rewrite) == b"/elsewhere"


def test_a_targets_own_address_is_not_shown_though_it_was_asked_by_the_clients_host():
    assert mapped(b"http://10.0.0.5:9000/x", rewrite=None, sent=b"public.example") == b"https://public.example/x"


@pytest.mark.parametrize(
    ("cookie", "seen"),
    [
        (b"a=b; Path=/", b"a=b; Path=/api"),
        (b"a=b; path = /x ; Secure", b"a=b; path = /api/x; Secure"),
        (b"a=b;PATH=/x", b"a=b;PATH=/api/x"),
        (b"a=b; Path=x", b"a=b; Path=x"),
        (b"a=b; Path=", b"a=b; Path="),
        (b"a=b; Path", b"a=b; Path"),
        (b"a=path=/x", b"a=path=/x"),
        (b"path=/x; HttpOnly", b"path=/x; HttpOnly"),
        (b"domain=10.0.0.5; HttpOnly", b"domain=10.0.0.5; HttpOnly"),
        (b'a="path=/x"; Path=/y', b'a="path=/x"; Path=/api/y'),
        (b'a="x, path=/x"', b'a="x, path=/x"'),
        (b"a=b; xpath=/x", b"a=b; xpath=/x"),
        (b"a=b; Domain=10.0.0.5", b"a=b; Domain=public.example"),
        (b"a=b; domain=.10.0.0.5; Path=/x", b"a=b; domain=public.example; Path=/api/x"),
        (b"a=b; Domain=other.example", b"a=b; Domain=other.example"),
        (b"a=b; Domain=public.example", b"a=b; Domain=public.example"),
        (b"__Host-a=b; Secure; Path=/", b"__Host-a=b; Secure; Path=/"),
        (b"__Secure-a=b; Secure; Path=/", b"__Secure-a=b; Secure; Path=/api"),
    ],
)
def test_a_cookie_is_for_what_the_client_sees(cookie: bytes, seen: bytes):
    assert mapped(cookie, name=b"set-cookie") == seen


def test_a_semicolon_ends_a_value_even_in_quotes_as_browsers_read_it():
    assert mapped(b'a="x; Path=/y"', name=b"set-cookie") == b'a="x; Path=/api/y"'


def test_a_cookies_path_is_below_the_mount():
    assert mapped(b"a=b; Path=/", name=b"set-cookie", rewrite=None, mount=b"/gw") == b"a=b; Path=/gw"
    assert mapped(b"a=b; Path=/", name=b"set-cookie", rewrite=None) == b"a=b; Path=/"
    assert mapped(b"a=b; Path=/x", name=b"set-cookie", mount=b"/gw") == b"a=b; Path=/gw/api/x"
    assert mapped(b"a=b; Path=/", name=b"set-cookie", rewrite=PathRewrite(add="/v2")) == b"a=b; Path=/"


def test_a_cookie_of_an_ipv6_target_has_its_domain_mapped():
    cookie = b"a=b; Domain=[2001:db8::1]"
    assert mapped(cookie, name=b"set-cookie", url="http://[2001:db8::1]:9000") == b"a=b; Domain=public.example"


def test_every_cookie_is_mapped_and_the_list_edited_in_place():
    exchange = Exchange(b"GET", b"/", None, [])
    exchange.host = b"a"
    exchange.target = Target(Address("http://b"), Deadlines(Loop()))  # type: ignore[arg-type]
    exchange.host_sent = b"b"
    headers = [(b"set-cookie", b"a=1; Path=/x"), (b"set-cookie", b"b=2; Path=/y")]
    PublicAddresses(STRIPPED).amend(exchange, ResponseHead(200, headers))
    assert headers == [(b"set-cookie", b"a=1; Path=/api/x"), (b"set-cookie", b"b=2; Path=/api/y")]


def test_our_own_replies_and_local_apps_speak_for_themselves():
    for target in (None, LocalTarget(Address("asgi://tests.app:app"), 1)):
        exchange = Exchange(b"GET", b"/", None, [], mount=b"/gw")
        exchange.target = target  # type: ignore[assignment]
        headers = [(b"location", b"/x")]
        PublicAddresses(STRIPPED).amend(exchange, ResponseHead(302, headers))
        assert headers == [(b"location", b"/x")]
