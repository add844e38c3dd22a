"""By what a fetch is found."""

from __future__ import annotations

from itertools import combinations

from gateway.cache.fetching import trail_of

KEY = b"https://a/ r"


def test_trails_differ_where_values_do():
    values = [(), (None,), (b"",), (b"-",), (b"=a",), (b"a",), (None, None), (b"", None), (None, b""), (b"-", b"a")]
    for one, other in combinations(values, 2):
        assert trail_of(KEY, one) != trail_of(KEY, other)
    assert trail_of(KEY, (b"a",)) != trail_of(KEY + b"b", (b"a",))


def test_the_trail_of_a_key_alone_is_the_key():
    assert trail_of(KEY) == KEY
