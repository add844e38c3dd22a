"""The answers that entries give."""

from __future__ import annotations

import pytest

from gateway.cache.render import render
from support.caching import NOW, asking, date, stored

CONTROL = "Cache-Control: max-age=600"
BODY = b"0123456789"


def rendered(*lines: str, held: tuple[str, ...] = (), method: str = "GET", **options: int) -> tuple[int, dict[bytes, bytes], tuple[int, int]]:
    entry = stored(CONTROL, f"Date: {date()}", *held, body=BODY, **options)  # type: ignore[arg-type]
    found = render(entry, asking(*lines, method=method), NOW + 30)
    assert found is not None
    return found.status, dict(found.headers), found.span


def test_a_plain_answer_has_all_fields_and_its_age():
    status, headers, span = rendered(held=('ETag: "1"', "Content-Length: 10", "X: y"))
    assert (status, span) == (200, (0, 10))
    assert headers[b"age"] == b"30"
    assert headers[b"x"] == b"y"
    assert b"content-length" not in headers


def test_an_age_is_never_negative():
    found = render(stored(CONTROL), asking(), NOW - 100)
    assert found is not None
    assert (b"age", b"0") in found.headers


@pytest.mark.parametrize("line", ['If-None-Match: "1"', f"If-Modified-Since: {date()}"])
def test_a_condition_that_holds_gets_304_without_a_body(line: str):
    status, headers, span = rendered(line, held=('ETag: "1"', "Content-Type: a/b"))
    assert (status, span) == (304, (0, 0))
    assert headers[b"etag"] == b'"1"'
    assert headers[b"age"] == b"30"
    assert b"content-type" not in headers


def test_a_condition_that_fails_gets_the_whole():
    assert rendered('If-None-Match: "2"', held=('ETag: "1"',))[::2] == (200, (0, 10))


def test_conditions_are_for_a_200_alone():
    assert rendered('If-None-Match: "1"', held=('ETag: "1"',), status=404)[0] == 404


def test_conditions_go_before_ranges():
    assert rendered('If-None-Match: "1"', "Range: bytes=0-1", held=('ETag: "1"',))[0] == 304


@pytest.mark.parametrize(
    ("line", "status", "span", "content_range"),
    [
        ("Range: bytes=0-1", 206, (0, 2), b"bytes 0-1/10"),
        ("Range: bytes=8-", 206, (8, 10), b"bytes 8-9/10"),
        ("Range: bytes=-1", 206, (9, 10), b"bytes 9-9/10"),
        ("Range: bytes=0-", 206, (0, 10), b"bytes 0-9/10"),
        ("Range: bytes=10-", 416, (0, 0), b"bytes */10"),
        ("Range: bytes=0-1,4-5", 200, (0, 10), None),
    ],
)
def test_a_range_is_cut_from_the_whole(line: str, status: int, span: tuple[int, int], content_range: bytes | None):
    found = rendered(line)
    assert (found[0], found[2], found[1].get(b"content-range")) == (status, span, content_range)


@pytest.mark.parametrize(("condition", "status"), [('"1"', 206), ('"2"', 200), (date(), 200)])
def test_if_range_decides_whether_the_range_counts(condition: str, status: int):
    assert rendered("Range: bytes=0-1", f"If-Range: {condition}", held=('ETag: "1"',))[0] == status


def test_a_head_has_no_ranges():
    assert rendered("Range: bytes=0-1", method="HEAD")[0] == 200


def test_ranges_of_a_part_are_counted_from_the_beginning_of_the_whole():
    held = ("Content-Range: bytes 5-14/20",)
    status, headers, span = rendered("Range: bytes=6-8", held=held, status=206)
    assert (status, headers[b"content-range"], span) == (206, b"bytes 6-8/20", (1, 4))


def test_a_part_does_not_answer_for_the_whole():
    entry = stored(CONTROL, 'ETag: "1"', "Content-Range: bytes 5-14/20", status=206, body=BODY)
    for lines in ([], ["Range: bytes=0-5"], ['If-None-Match: "2"'], ["Range: bytes=6-7", 'If-Range: "2"']):
        assert render(entry, asking(*lines), NOW) is None
