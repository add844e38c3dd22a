"""Conditional requests."""

from __future__ import annotations

import pytest

from gateway.rfc.conditional import (
    entity_tags,
    is_not_modified,
    is_strong,
    matches,
    not_modified_fields,
    opaque,
    range_applies,
)
from gateway.rfc.dates import format_date

NOW = 1_800_000_000.0
MODIFIED = format_date(NOW - 1000)


@pytest.mark.parametrize(
    ("value", "etag", "matched"),
    [
        (b'"a"', b'"a"', True),
        (b'W/"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),
        (b'"a", "b", "c"', b'"b"', True),
        (b'"x", "y", W/"b"', b'"b"', True),
        (b', ,"a" ,', b'"a"', True),
        (b'"a,b"', b'"a,b"', True),
        (b"*", b'"a"', True),
        (b' * ', b'"a"', True),
        (b'"caf\xe9"', b'"caf\xe9"', True),
        (b'"a"', b'"b"', False),
        (b"a", b'"a"', False),
        (b'"a"', b"a", False),
        (b'w/"a"', b'"a"', False),
        (b'"x" "a"', b'"a"', False),
        (b'bad, "a"', b'"a"', False),
        (b"", b'"a"', False),
    ],
)
def test_entity_tags_are_compared_weakly(value: bytes, etag: bytes, matched: bool):
    assert matches([value], etag) is matched
    assert is_not_modified([(b"if-none-match", value)], etag, b"", NOW, NOW) is matched


def test_all_lines_of_if_none_match_count():
    assert matches([b'"a"', b'"b"'], b'"b"')


def test_a_list_is_read_up_to_its_fault():
    assert entity_tags(b'"a", W/"b", c, "d"') == [b'"a"', b'W/"b"']


@pytest.mark.parametrize(
    ("since", "unchanged"),
    [
        (MODIFIED, True),
        (format_date(NOW - 999), True),
        (format_date(NOW - 1001), False),
        (b"nonsense", False),
    ],
)
def test_if_modified_since_is_compared_with_last_modified(since: bytes, unchanged: bool):
    assert is_not_modified([(b"if-modified-since", since)], b"", MODIFIED, NOW, NOW) is unchanged


def test_without_last_modified_the_date_is_used():
    assert is_not_modified([(b"if-modified-since", format_date(NOW))], b"", b"", NOW, NOW)
    assert not is_not_modified([(b"if-modified-since", format_date(NOW - 1))], b"", b"", NOW, NOW)
    assert not is_not_modified([(b"if-modified-since", format_date(NOW))], b"", b"no date", NOW, NOW)


def test_if_none_match_goes_before_if_modified_since():
    request = [(b"if-modified-since", MODIFIED), (b"if-none-match", b'"b"')]
    assert not is_not_modified(request, b'"a"', MODIFIED, NOW, NOW)
    assert not is_not_modified(request, b"", MODIFIED, NOW, NOW)
    assert is_not_modified(request, b'"b"', format_date(NOW), NOW, NOW)


def test_two_dates_are_no_condition():
    assert not is_not_modified([(b"if-modified-since", MODIFIED)] * 2, b"", MODIFIED, NOW, NOW)
    assert not is_not_modified([], b'"a"', MODIFIED, NOW, NOW)


@pytest.mark.parametrize(
    ("value", "etag", "last_modified", "date", "applies"),
    [
        (None, b"", b"", NOW, True),
        (b'"a"', b'"a"', b"", NOW, True),
        (b'"a"', b'"b"', b"", NOW, False),
        (b'W/"a"', b'W/"a"', b"", NOW, False),
        (b'"a"', b"", MODIFIED, NOW, False),
        (MODIFIED, b"", MODIFIED, NOW, True),
        (MODIFIED, b"", MODIFIED, NOW - 950, False),
        (format_date(NOW - 1), b"", MODIFIED, NOW, False),
        (b"word", b"", b"word", NOW, False),
    ],
)
def test_if_range_takes_a_strong_validator(value: bytes | None, etag: bytes, last_modified: bytes, date: float, applies: bool):
    assert range_applies(value, etag, last_modified, date, NOW) is applies


@pytest.mark.parametrize(("etag", "strong"), [(b'"a"', True), (b'""', True), (b'W/"a"', False), (b"a", False), (b'"', False), (b"", False)])
def test_only_quoted_tags_without_a_mark_are_strong(etag: bytes, strong: bool):
    assert is_strong(etag) is strong
    assert opaque(b"W/" + etag) == etag


def test_a_304_has_no_fields_about_content():
    fields = [(b"content-type", b"a/b"), (b"content-length", b"3"), (b"last-modified", MODIFIED), (b"vary", b"a"), (b"x-own", b"1")]
    assert not_modified_fields(fields) == [(b"last-modified", MODIFIED), (b"vary", b"a"), (b"x-own", b"1")]
    assert not_modified_fields([*fields, (b"etag", b'"1"')]) == [(b"vary", b"a"), (b"x-own", b"1"), (b"etag", b'"1"')]
