"""What a response's head says to a cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.answered import Answered
from gateway.cache.ask import Ask
from gateway.cache.entry import Entry
from gateway.cache.rules import Rules
from gateway.cache.storable import storable
from gateway.errors import BadTransferCoding
from gateway.outgoing import answer_fields
from gateway.rfc.cache_fields import (
    AGED,
    CHOSEN,
    CONTROL,
    COOKIE,
    DATED,
    ETAGGED,
    GROUPED,
    MODIFIED,
    OURS,
    TAGGED,
    TARGETED,
    TOLD,
)
from gateway.rfc.message import AnswerHead, read_answer_head
from support.caching import NOW, URL, answer, date, fields

KINDS = {
    "Cache-Control": CONTROL, "CDN-Cache-Control": TARGETED, "Gateway-Cache-Control": OURS, "Date": DATED, "Age": AGED, "ETag": ETAGGED,
    "Last-Modified": MODIFIED, "Vary": CHOSEN, "Content-Encoding": CHOSEN, "Surrogate-Key": TAGGED, "Cache-Tag": TAGGED,
    "Cache-Groups": GROUPED, "Set-Cookie": COOKIE, "Cache-Status": TOLD, "Content-Type": 0, "X-Own": 0,
}  # fmt: skip


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=20))
def test_every_field_that_is_there_is_found_in_any_order(names: list[str]):
    kinds = 0
    for name in names:
        kinds |= KINDS[name]
    assert answer(*(f"{name}: x" for name in names)).kinds == kinds


def test_of_a_field_that_comes_twice_the_first_counts():
    found = answer(f"Date: {date(-7)}", f"Date: {date(-9)}", 'ETag: "1"', 'ETag: "2"', "Last-Modified: 1", "Last-Modified: 2")
    assert (found.sent_at, found.etag, found.last_modified) == (NOW - 7, b'"1"', b"1")


def test_lines_of_cache_control_are_one_list():
    assert answer().control == b""
    assert answer("Cache-Control: a", "X: y", "Cache-Control: b=1", "Cache-Control: c").control == b"a,b=1,c"


@pytest.mark.parametrize(
    ("lines", "seconds"), [([], 0), (["30"], 30), (["7200, 0"], 7200), (["7200", "0"], 7200), (["0", "7200"], 0), (["abc"], 0)]
)
def test_the_first_member_of_age_counts(lines: list[str], seconds: int):
    assert NOW - answer("Cache-Status: other", *(f"Age: {line}" for line in lines)).born_at == seconds


@given(st.integers(-200_000, 200_000), st.integers(0, 200_000), st.floats(0, 100))
def test_the_age_is_at_least_what_date_and_age_say_and_never_negative(sent: int, age: int, delay: float):
    born = Answered(200, fields(f"Date: {date(sent)}", f"Age: {age}"), 5, NOW - delay, NOW, URL).born_at
    assert NOW - born >= max(age, -sent) - 0.001
    assert NOW - born == pytest.approx(max(-sent, age + delay, 0), abs=0.001)


@pytest.mark.parametrize("lines", [(), ("Date: ?",)])
def test_without_a_date_it_was_sent_when_it_came(lines: tuple[str, ...]):
    assert answer(*lines).sent_at == NOW


LINES = st.lists(
    st.sampled_from(
        [
            "Date: Sun, 06 Nov 1994 08:49:37 GMT", 'ETag: "1"', 'ETag: "2"', "Cache-Control: max-age=1", "Cache-Control: private", "Age: 3",
            "Connection: keep-alive", "Connection: close", "Connection: Date, etag", "Connection: Cache-Control", "Keep-Alive: 5",
            "Content-Length: 5", "Transfer-Encoding: chunked", "Via: 1.0 other", "Vary: a", "Last-Modified: x", "X-Own: y",
            "Gateway-Cache-Control: max-age=2", "Set-Cookie: a=b", "Cache-Status: other",
        ]
    ),
    max_size=12,
)  # fmt: skip


@given(LINES, st.sampled_from([200, 204, 304]), st.sampled_from([b"GET", b"HEAD"]))
def test_a_head_says_the_same_by_its_lines_and_by_its_fields(lines: list[str], status: int, method: bytes):
    text = "\r\n".join([f"HTTP/1.1 {status} OK", *lines]).encode()
    try:
        head = read_answer_head(text, method)
    except BadTransferCoding:
        return  # there were several
    passed = answer_fields(head)
    assert passed == answer_fields(AnswerHead(status, 1, head.headers))
    by_fields = Answered(status, passed, 5, NOW, NOW, URL)
    by_lines = Answered(status, passed, 5, NOW, NOW, URL, lines=head.lines)
    for name in ("kinds", "control", "etag", "last_modified", "sent_at", "born_at"):
        assert getattr(by_lines, name) == getattr(by_fields, name), name
    assert by_lines.is_lasting == (head.lines is not None)


@pytest.mark.parametrize(
    ("lines", "shares"),
    [
        ((f"Date: {date(0)}",), True),
        ((), False),
        ((f"Date: {date(0)}", "Age: 1"), False),
        ((f"Date: {date(0)}", 'Cache-Control: no-cache="x"', "X: y", 'ETag: "1"'), False),
    ],
)
def test_an_entry_has_the_very_list_of_its_answer_where_that_is_kept_as_it_is(lines: tuple[str, ...], shares: bool):
    head = read_answer_head("\r\n".join(["HTTP/1.1 200 OK", "Cache-Control: max-age=60", *lines]).encode(), b"GET")
    passed = answer_fields(head)
    before = passed.copy()
    made = storable(Ask(b"GET", []), Answered(200, passed, 5, NOW, NOW, URL, lines=head.lines), Rules())
    assert isinstance(made, Entry)
    assert (made.headers is passed) is shares
    assert head.forwarded == before
