"""What a purge takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.purge import Purge, Scope, path_of, url_of, urls_meant

KEY = b"https://shop.example/a/b?x=1 api"
HOSTLESS = b"/a/b?x=1 api"
URLS = st.builds(
    lambda scheme, host, path: scheme + b"://" + host + path,
    st.sampled_from([b"http", b"https"]), st.sampled_from([b"a", b"b.example", b"a:8080"]), st.sampled_from([b"/", b"/x", b"/x?y=/z://"]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "value", "key", "taken"),
    [
        (Scope.KEY, KEY, KEY, True),
        (Scope.KEY, b"https://shop.example/a/b?x=1", KEY, False),
        (Scope.URL, b"https://shop.example/a/b?x=1", KEY, True),
        (Scope.URL, b"http://shop.example/a/b?x=1", KEY, False),
        (Scope.URL, b"https://other.example/a/b?x=1", KEY, False),
        (Scope.URL, b"https://shop.example/a/b", KEY, False),
        (Scope.URL, b"/a/b?x=1", KEY, True),
        (Scope.URL, b"https://any.example/a/b?x=1", HOSTLESS, True),
        (Scope.URL, b"/a/b?x=1", HOSTLESS, True),
        (Scope.URL, b"/a/b?x=2", HOSTLESS, False),
        (Scope.PREFIX, b"https://shop.example/a/", KEY, True),
        (Scope.PREFIX, b"https://shop.example/", KEY, True),
        (Scope.PREFIX, b"https://shop.example/b", KEY, False),
        (Scope.PREFIX, b"/a/", KEY, True),
        (Scope.PREFIX, b"/b", KEY, False),
        (Scope.PREFIX, b"https://any.example/a", HOSTLESS, True),
        (Scope.TAG, b"red", KEY, True),
        (Scope.TAG, b"re", KEY, False),
    ],
)
def test_a_purge_takes_what_it_names(scope: Scope, value: bytes, key: bytes, taken: bool):
    assert Purge(scope, (b"nothing", value)).takes(key, (b"blue", b"red")) is taken


def test_a_purge_of_all_takes_everything_and_one_of_nothing_nothing():
    assert Purge(Scope.ALL).takes(KEY, ())
    for scope in (Scope.KEY, Scope.URL, Scope.PREFIX, Scope.TAG):
        assert not Purge(scope).takes(KEY, (b"red",))


def test_the_url_of_a_key_ends_at_its_first_space():
    assert url_of(KEY) == b"https://shop.example/a/b?x=1"
    assert url_of(HOSTLESS) == b"/a/b?x=1"


@given(URLS)
def test_a_url_means_itself_and_its_path(url: bytes):
    whole, path = urls_meant(url)
    assert whole == url
    assert path == path_of(url)
    assert path.startswith(b"/")
    assert urls_meant(path) == (path,)
    assert Purge(Scope.URL, (url,)).takes(path + b" r", ())
    assert Purge(Scope.URL, (path,)).takes(url + b" r", ())
    assert Purge(Scope.PREFIX, (url,)).takes(url + b"more r", ())
