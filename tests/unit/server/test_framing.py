"""Heads of answers as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Reply
from gateway.outgoing import response_headers
from gateway.rfc.message import read_answer_head
from gateway.server.framing import Stamps, answer_lines, chunk, passed_on, with_id

NAMES = st.sampled_from([b"a", b"b", b"date", b"etag", b"content-length", b"set-cookie"])
VALUES = st.sampled_from([b"", b"1", b"two words", b"\xff"])
STAMPS = Stamps([(b"date", b"today"), (b"server", b"us")])
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


def fields_of(lines: bytes) -> list[bytes]:
    """A status line and, whatever their order between different names, the field lines."""
    first, *fields = lines.split(b"\r\n")
    return [first, *sorted(fields, key=lambda field: field.partition(b":")[0])]


@given(HEADERS, HEADERS, st.sampled_from(["keep", "drop the first", "change the first"]), st.sampled_from([200, 404]))
def test_what_policies_left_as_it_was_is_written_as_if_it_were_made_anew(received, added, change, status):
    lines = [b"HTTP/1.1 200 OK", *(name + b": " + value for name, value in received if name != b"content-length")]
    head = read_answer_head(b"\r\n".join(lines), b"GET")
    for stamps in (STAMPS, STAMPS, Stamps([(b"date", b"tomorrow")])):  # the second time from what was kept
        headers = response_headers(head)
        forwarded = head.forwarded
        assert forwarded is not None
        if change == "drop the first":
            del headers[0]
        elif change == "change the first":
            headers[0] = (headers[0][0], b"other")
        headers += added
        written, says_length = passed_on(head, status, headers, stamps)
        names = {name for name, _ in headers}
        assert says_length == (b"content-length" in names)
        own = [pair for pair in stamps._fields if pair[0] not in names]
        assert fields_of(written) == fields_of(answer_lines(status, [*headers, *own]))


ADDED = st.sampled_from([(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"1"), (b"date", b"1"), (b"content-length", b"0")])


@given(st.lists(st.lists(ADDED, max_size=3), max_size=8))
def test_what_was_added_to_a_head_before_is_not_written_again(rounds):
    head = read_answer_head(b"HTTP/1.1 200 OK\r\na: b\r\nETag: 1", b"GET")
    for added in rounds:
        headers = response_headers(head) + added
        names = {name for name, _ in headers}
        written, says_length = passed_on(head, 200, headers, STAMPS)
        own = [pair for pair in STAMPS._fields if pair[0] not in names]
        assert fields_of(written) == fields_of(answer_lines(200, [*headers, *own]))
        assert says_length == (b"content-length" in names)


@given(HEADERS, st.lists(st.sampled_from([b"a", b"x-id", b"date"]), min_size=1, max_size=4), st.sampled_from([200, 204, 404]))
def test_a_reply_with_one_field_more_is_written_as_if_it_were_made_anew(fields, names, status):
    reply = Reply(status, fields, b"body")
    for name in names:
        for stamps in (STAMPS, STAMPS, Stamps([(b"date", b"tomorrow")])):
            written = with_id(reply, name, b"7", stamps)
            said = {field for field, _ in reply.fields}
            if name in said or name in stamps.names:
                assert written is None
            else:
                assert written == passed_on(reply, status, [*reply.fields, (name, b"7")], stamps)


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
def test_a_line_break_that_a_policy_lets_in_never_leaves(value):
    head = read_answer_head(b"HTTP/1.1 200 OK\r\na: b", b"GET")
    headers = response_headers(head)
    forwarded = head.forwarded
    assert forwarded is not None
    with pytest.raises(RuntimeError):
        answer_lines(200, [(b"x", value)])
    with pytest.raises(RuntimeError):
        passed_on(head, 200, [*headers, (b"x", value)], STAMPS)
    with pytest.raises(RuntimeError):
        passed_on(head, 200, [*headers, (b"x" + value, b"y")], STAMPS)
    with pytest.raises(RuntimeError):
        with_id(Reply(200), b"x", value, STAMPS)
    with pytest.raises(RuntimeError):
        passed_on(head, 404, [*headers, (b"x", value)], STAMPS)


def test_the_server_adds_what_the_answer_does_not_say():
    assert STAMPS.beside([(b"a", b"b")]).block == b"date: today\r\nserver: us\r\n"
    assert STAMPS.beside([(b"date", b"then")]).block == b"server: us\r\n"
    assert STAMPS.beside([(b"server", b"them"), (b"date", b"then")]).block == b""
    assert STAMPS.beside([(b"x-date", b"then")]).block == b"date: today\r\nserver: us\r\n"


def test_no_data_makes_no_chunk():
    assert chunk(b"") == b""
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
