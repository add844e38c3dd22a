"""Which requests select a response that varies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.vary import normalised, selects, vary_names

MEMBERS = st.lists(st.sampled_from([b"en", b"de", b"fr;q=0.5", b"*"]), unique=True, max_size=4)
SPACES = st.sampled_from([b"", b" ", b"\t", b"  "])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], ()), ([b""], ()), ([b"Foo"], (b"foo",)), ([b"Foo, bar"], (b"bar", b"foo")), ([b"b", b"a, B"], (b"a", b"b")),
        ([b"*"], None), ([b"*, *"], None), ([b"*", b"*"], None), ([b", *"], None), ([b"", b"*"], None), ([b"*, Foo"], None),
        ([b"Foo, *"], None), ([b"foo bar"], None), ([b"foo;x"], None),
    ],
)  # fmt: skip
def test_vary_names_fields_or_everything(values: list[bytes], names: tuple[bytes, ...] | None):
    assert vary_names(values) == names


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        (b"foo", [b"1, 2"], [b"1", b"2"], True),
        (b"foo", [b"1,2"], [b" 1, 2 "], True),
        (b"foo", [b"a"], [b"A"], False),
        (b"foo", [b"1, 2"], [b"2, 1"], False),
        (b"foo", [b""], [], False),
        (b"accept-language", [b"en, de"], [b"eN ,   De"], True),
        (b"accept-language", [b"en, de"], [b"de, en"], True),
        (b"accept-language", [b"en;q=0.5"], [b"en ; q = 0.5"], True),
        (b"accept-language", [b"en;q=0.5"], [b"en"], False),
        (b"accept-encoding", [b"gzip, br"], [b"BR", b"gzip"], True),
        (b"accept", [b"a/b,,c/d"], [b"c/d, a/b"], True),
    ],
)
def test_values_are_compared_as_far_as_http_lets_them_differ(name: bytes, one: list[bytes], other: list[bytes], same: bool):
    values = [normalised(name, [(b"x", b"y"), *((name, line) for line in lines)]) for lines in (one, other)]
    assert (values[0] == values[1]) is same


def test_an_absent_field_is_not_an_empty_one():
    assert normalised(b"foo", []) is None
    assert normalised(b"foo", [(b"foo", b"")]) == b""
    assert not selects([(b"foo", None)], [(b"foo", b"")])
    assert selects([(b"foo", None)], [(b"bar", b"1")])


@given(MEMBERS, st.permutations([0, 1, 2, 3]), SPACES)
def test_order_case_and_space_of_languages_do_not_matter(members: list[bytes], order: list[int], space: bytes):
    shuffled = [members[index] for index in order if index < len(members)]
    one = normalised(b"accept-language", [(b"accept-language", b",".join(members))])
    other = normalised(b"accept-language", [(b"accept-language", (space + b"," + space).join(shuffled).upper())])
    assert one == other


@pytest.mark.parametrize(
    ("accepted", "language", "selected"),
    [
        (b"fr;q=0.5, de;q=1.0", b"de", True),
        (b"de", b"De", True),
        (b"fr, de;q=0.9", b"de", False),
        (b"fr, de", b"de", False),
        (b"fr", b"de", False),
        (b"de;q=0", b"de", False),
        (b"de;q=2", b"de", False),
        (b"de-AT", b"de", False),
        (b"de", b"", False),
        (b"", b"de", False),
        (b"*;q=0.1, de", b"de", True),
    ],
)
def test_a_language_is_selected_where_the_request_prefers_it_to_all_others(accepted: bytes, language: bytes, selected: bool):
    assert selects([(b"accept-language", b"de,en")], [(b"accept-language", accepted)], language) is selected


def test_every_field_has_to_match():
    vary = [(b"a", b"1"), (b"b", b"2")]
    assert selects(vary, [(b"b", b"2"), (b"a", b"1")])
    assert not selects(vary, [(b"b", b"2"), (b"a", b"2")])
    assert not selects(vary, [(b"a", b"1")])
