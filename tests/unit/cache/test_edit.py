"""How a client's request becomes the cache's own."""

from __future__ import annotations

import pytest

from gateway.cache.edit import FetchEdit, missing
from gateway.cache.entry import Entry
from gateway.cache.key import KeyRule
from gateway.exchange import Exchange
from gateway.rfc.lines import read_lines
from gateway.rfc.message import HeadFields
from support.caching import date, fields, stored

KEYS = KeyRule("r", ["path"])
SENT = fields("Accept: a/b", "Range: bytes=0-1", "If-Range: x", 'If-None-Match: "client"', "If-Modified-Since: y", "Cookie: a=b")
MODIFIED = f"Last-Modified: {date(-9)}"


def part(first: int, last: int, etag: str = 'ETag: "1"') -> Entry:
    return stored("Cache-Control: max-age=60", etag, f"Content-Range: bytes {first}-{last}/10", status=206, body=b"x" * (last + 1 - first))


def test_the_clients_conditions_stay_here():
    edit = FetchEdit(KEYS)
    assert edit.headers(SENT) == fields("Accept: a/b", "Cookie: a=b")
    assert edit.target(b"/a?b") == b"/a"


@pytest.mark.parametrize("line", ["", *(f"{name.decode()}: {value.decode()}" for name, value in SENT)])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("etag", ["", 'ETag: "1"'])
def test_what_is_said_to_stay_as_it_is_does(line: str, plain: bool, etag: str):
    lines, _ = read_lines([text.encode() for text in ("Host: a", "Accept: a/b", "Accept-Encoding: gzip", line) if text])
    sent = HeadFields(lines)
    exchange = Exchange(b"GET", b"/a", None, sent.headers, fields=sent)
    edit = FetchEdit(KEYS, validate=stored("Cache-Control: max-age=60", etag) if etag else None, plain=plain)
    assert edit.keeps(exchange) == (edit.headers(sent.headers) == sent.headers)
    exchange.headers = list(sent.headers)  # edited, or not: nobody knows
    assert not edit.keeps(exchange)


def test_a_range_goes_along_with_its_condition_where_it_is_wanted():
    assert FetchEdit(KEYS, keep_range=True).headers(SENT) == fields("Accept: a/b", "Range: bytes=0-1", "If-Range: x", "Cookie: a=b")


@pytest.mark.parametrize(
    ("held", "added"),
    [
        (['ETag: "1"', MODIFIED], ['If-None-Match: "1"', f"If-Modified-Since: {date(-9)}"]),
        (['ETag: W/"1"'], ['If-None-Match: W/"1"']),
        ([MODIFIED], [f"If-Modified-Since: {date(-9)}"]),
        ([], []),
    ],
)
def test_an_entry_is_validated_by_all_that_it_has(held: list[str], added: list[str]):
    entry = stored("Cache-Control: max-age=60", *held)
    assert FetchEdit(KEYS, validate=entry).headers(fields("A: b")) == fields("A: b", *added)


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (part(0, 4), b"bytes=5-"),
        (part(5, 9), b"bytes=0-4"),
        (part(3, 5), None),
        (part(0, 4, 'ETag: W/"1"'), None),
        (part(0, 4, "X: y"), None),
        (part(0, 4).copy(chunks=None), None),
        (stored("Cache-Control: max-age=60", 'ETag: "1"'), None),
    ],
)
def test_the_rest_is_asked_for_where_it_could_be_joined(entry: Entry, wanted: bytes | None):
    assert missing(entry) == wanted
    added = FetchEdit(KEYS, complete=entry).headers([])
    assert added == ([] if wanted is None else [(b"range", wanted), (b"if-range", b'"1"')])
