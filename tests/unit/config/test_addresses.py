"""Where the gateway listens, and where targets are."""

from __future__ import annotations

import pytest

from gateway.config.addresses import Listen, split_listen, target_url, upstream_reference
from gateway.config.faults import Wrong


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:8080", Listen("127.0.0.1", 8080)),
        ("localhost:80", Listen("localhost", 80)),
        (":443", Listen("", 443)),
        ("*:443", Listen("", 443)),
        ("[::1]:8080", Listen("::1", 8080)),
        ("[::]:0", Listen("::", 0)),
        ("unix:/run/gateway.sock", Listen("", 0, "/run/gateway.sock")),
    ],
)
def test_an_address_to_listen_on_has_its_parts(text: str, parts: Listen):
    assert split_listen(text) == parts


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost", "host:port"),
        ("8080", '":8080"'),
        ("::1:8080", 'write "[::1]:8080"'),
        ("[::1]", "host:port"),
        ("[x]:1", "host:port"),
        ("a b:1", "host:port"),
        ("a:x", "host:port"),
        ("https://a:1", "HTTPS comes by tls"),
        ("unix:run/a.sock", 'write "unix:/run/a.sock"'),
        ("unix:///run/a.sock", 'write "unix:/run/a.sock"'),
        ("unix:", 'write "unix:/run/gateway.sock"'),
    ],
)
def test_what_is_no_address_to_listen_on_is_refused_with_one_that_is(text: str, hint: str):
    with pytest.raises(Wrong) as caught:
        split_listen(text)
    assert hint in caught.value.hint


def test_a_port_has_sixteen_bits():
    with pytest.raises(Wrong, match="above 65535"):
        split_listen(":65536")


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "http://a:9000",
        "https://a.example",
        "http://127.0.0.1:1",
        "http://[::1]:9000",
        "unix:/run/a.sock",
        "asgi://shop.main:app",
        "asgi://main:site.app",
    ],
)
def test_a_target_has_a_url(url: str):
    assert target_url(url) == url
    assert upstream_reference(url) == url


def test_a_final_slash_is_no_path():
    assert target_url("http://a:9000/") == "http://a:9000"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("a:9000", 'write "http://a:9000"'),
        ("[::1]:9000", 'write "http://[::1]:9000"'),
        ("a", "asgi://module:app"),
        ("http://", "http://host:port"),
        ("http://a:0", "http://host:port"),
        ("http://a:99999", "http://host:port"),
        ("http://[::1", "http://host:port"),
        ("http://a b", "http://host:port"),
        ("http://a/v1", 'use add_prefix = "/v1"'),
        ("http://u:secret@a", "Authorization"),
        ("http://a?x=1", ""),
        ("http://a#x", ""),
        ("ws://a", 'write "http://a"'),
        ("wss://a", 'write "https://a"'),
        ("HTTP://a", 'write "http://a"'),
        ("ftp://a", "asgi://module:app"),
        ("asgi://main", 'write "asgi://package.module:app"'),
        ("asgi://main:", 'write "asgi://package.module:app"'),
        ("unix:a.sock", 'write "unix:/a.sock"'),
    ],
)
def test_what_is_no_url_of_a_target_is_refused_with_one_that_is(url: str, hint: str):
    with pytest.raises(Wrong) as caught:
        target_url(url)
    assert hint in caught.value.hint


def test_a_password_is_not_shown():
    with pytest.raises(Wrong) as caught:
        target_url("http://user:secret@a")
    assert "secret" not in str(caught.value)
