"""What an order to purge may say."""

from __future__ import annotations

import pytest

from gateway.admin.guard import Refused
from gateway.admin.purge import read_purges
from gateway.cache.purge import Purge, Scope


@pytest.mark.parametrize(
    ("body", "purges"),
    [
        ({"url": "https://Shop.Example/A?b=C#d"}, [Purge(Scope.URL, (b"https://shop.example/A?b=C",))]),
        ({"url": ["HTTP://a", "/b?c", "https://a?b/c"]}, [Purge(Scope.URL, (b"http://a/", b"/b?c", b"https://a/?b/c"))]),
        ({"tag": "https://a group"}, [Purge(Scope.TAG, (b"https://a group",))]),
        ({"prefix": "https://a/News/", "soft": True}, [Purge(Scope.PREFIX, (b"https://a/News/",), soft=True)]),
        ({"tag": ["a", "b"], "all": True}, [Purge(Scope.TAG, (b"a", b"b")), Purge(Scope.ALL)]),
        ({"tag": "é", "all": False}, [Purge(Scope.TAG, ("é".encode(),))]),
    ],
)
def test_it_names_what_it_takes(body: dict[str, object], purges: list[Purge]):
    assert read_purges(body) == purges


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name what is to be purged"),
        ({"soft": True}, "name what is to be purged"),
        ({"all": False}, "name what is to be purged"),
        ({"tags": "a"}, 'there is no "tags"'),
        ({"tag": []}, '"tag" is a text'),
        ({"tag": [""]}, '"tag" is a text'),
        ({"tag": [1]}, '"tag" is a text'),
        ({"tag": "a b"}, "none holds a space"),
        ({"prefix": "/news/*"}, 'write "/news/"'),
        ({"tag": ["t"] * 1001}, "up to 1000"),
        ({"url": "shop.example/a"}, "neither a URL nor a path"),
        ({"prefix": "ftp://a/"}, "neither a URL nor a path"),
        ({"all": "yes"}, "true or false"),
        ({"tag": "t", "soft": 1}, "true or false"),
    ],
)
def test_what_it_cannot_mean_is_refused(body: dict[str, object], message: str):
    with pytest.raises(Refused) as caught:
        read_purges(body)
    assert caught.value.status == 422
    assert message in caught.value.message
