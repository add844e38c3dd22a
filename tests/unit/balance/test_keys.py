"""What of a request is hashed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.balance.keys import WORDS, key_source
from gateway.exchange import Exchange


def exchange(*fields: tuple[bytes, bytes], query: bytes | None = None) -> Exchange:
    return Exchange(b"GET", b"/a/../b", query, list(fields), peer="192.0.2.7")


def test_the_client_is_the_one_behind_trusted_proxies():
    asked = exchange()
    asked.client = "203.0.113.9"
    assert key_source(["client_ip"])(asked) == b"203.0.113.9"


def test_the_path_is_the_one_that_routes_are_matched_on():
    asked = exchange()
    asked.match_path = b"/b"
    assert key_source(["path"])(asked) == b"/b"


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("header:X-Tenant", b"acme"),
        ("header:x-tenant", b"acme"),
        ("header:X-Other", b""),
        ("cookie:session", b"s1"),
        ("cookie:Session", b""),
        ("query:user", b"7"),
        ("query:empty", b""),
        ("query:use", b""),
        ("query:x[]", b"%20"),
    ],
)
def test_named_parts_are_taken_as_they_came(source: str, key: bytes):
    asked = exchange((b"x-tenant", b"acme"), (b"cookie", b"a=b; session=s1"), query=b"empty=&myuse=1&user=7&x[]=%20&user=8")
    assert key_source([source])(asked) == key


@pytest.mark.parametrize("source", ["header:X-Tenant", "cookie:session", "query:user"])
def test_what_a_request_does_not_have_is_an_empty_key(source: str):
    assert key_source([source])(exchange()) == b""


def test_of_several_the_first_that_is_there_counts():
    source = key_source(["cookie:session", "header:X-Tenant", "client_ip"])
    assert source(exchange((b"x-tenant", b"acme"), (b"cookie", b"session=s1"))) == b"s1"
    assert source(exchange((b"x-tenant", b"acme"))) == b"acme"
    assert source(exchange()) == b"192.0.2.7"
    assert key_source(["cookie:a", "query:b"])(exchange()) == b""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ip", '"ip" is nothing to hash'),
        ("", '"" is nothing to hash'),
        ("body:x", '"body:x" is nothing to hash'),
        ("client_ip:x", '"client_ip:x" is nothing to hash'),
        ("header:", '"" is not the name of a header field'),
        ("header:a b", '"a b" is not the name of a header field'),
        ("cookie:a;b", '"a;b" is not the name of a cookie'),
        ("query:a=b", '"a=b" is not the name of a query parameter'),
    ],
)
def test_what_is_no_source_is_refused(text: str, told: str):
    with pytest.raises(ValueError, match="^" + told.replace("(", r"\(")):
        key_source([text])


@given(st.text(max_size=20))
def test_any_text_is_a_source_or_refused(text: str):
    for kind in ("", "header:", "cookie:", "query:"):
        try:
            source = key_source([kind + text])
        except ValueError:
            continue
        assert isinstance(source(exchange(query=b"a=1")), bytes)


def test_the_words_are_those_that_are_understood():
    for word in WORDS:
        key_source([word])
