"""Reading heads, strictly: every message has exactly one framing, and httptools is asked whether it sees the same."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import (
    BadRequest,
    BadResponse,
    BadTransferCoding,
    GatewayError,
    UnsupportedCoding,
    VersionNotSupported,
)
from gateway.rfc import lines as field_lines
from gateway.rfc import message
from gateway.rfc.chunked import BadChunk, ChunkedDecoder
from gateway.rfc.lines import MalformedField, lines_of, read_fields
from gateway.rfc.message import (
    CHUNKED,
    UNTIL_CLOSE,
    AnswerHead,
    RequestHead,
    read_answer_head,
    read_request_head,
)


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> RequestHead:
    return read_request_head(b"\r\n".join([start, *([host] if host else []), *lines]))


def refusal(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> type[GatewayError] | None:
    try:
        request(*lines, start=start, host=host)
    except GatewayError as error:
        return type(error)
    return None


def answer(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> AnswerHead:
    return read_answer_head(b"\r\n".join([start, *lines]), method)


# ---------------------------------------------------------------- field lines


def test_names_are_lowercased_and_values_lose_their_outer_blanks_only():
    assert read_fields([b"X-A:\t b  c \t", b"a:", b"B:x:y", b"c: \xff"]) == [
        (b"x-a", b"b  c"), (b"a", b""), (b"b", b"x:y"), (b"c", b"\xff"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"", b"a", b": b", b"a : b", b" a: b", b"\ta: b", b"a\t: b", b"a b: c", b"a(b: c", b"\xffa: b", b"a: b\x00", b"a: \x7f",
        b"a: b\rc", b"a: b\nc", b"a: b\n c", b"a: \x0b", b"a: b\r", b"a\r: b",
    ],
)  # fmt: skip
def test_what_is_no_field_line_is_refused(line: bytes):
    with pytest.raises(MalformedField):
        read_fields([line])
    assert refusal(line) is BadRequest
    with pytest.raises(BadResponse):
        answer(line)


def test_the_memo_of_field_lines_is_bounded_in_lines_and_bytes():
    long = b"a: " + b"x" * field_lines.MEMO_LINE
    read_fields([long])
    assert long not in field_lines._memo
    for start in range(0, 3 * field_lines.MEMO_LINES, 64):
        read_fields([b"x-%d: a" % number for number in range(start, start + 64)])
        assert len(field_lines._memo) <= field_lines.MEMO_LINES


@given(st.lists(st.sampled_from([b"A: b", b"a:b", b"a: b ", b"A: B"]), max_size=6))
def test_the_memo_changes_nothing(lines: list[bytes]):
    first = read_fields(lines)
    assert read_fields(lines) == first
    field_lines._memo.clear()
    assert read_fields(lines) == first


def test_the_memo_of_pairs_is_bounded_and_changes_nothing():
    long = (b"a", b"x" * field_lines.MEMO_LINE)
    assert [line.pair for line in lines_of([long])] == [long]
    assert long not in field_lines._of_pairs
    for start in range(0, 3 * field_lines.MEMO_LINES, 64):
        pairs = [(b"x-%d" % number, b"a") for number in range(start, start + 64)]
        assert [line.pair for line in lines_of(pairs)] == pairs == [line.pair for line in lines_of(pairs)]
        assert len(field_lines._of_pairs) <= field_lines.MEMO_LINES


# ---------------------------------------------------------------- the request line


@pytest.mark.parametrize(
    "start",
    [
        b"", b"GET /", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1",
        b"GET / a HTTP/1.1", b"GET / http/1.1", b"GET / HTTP/1", b"GET / HTTP/11", b"GET / HTTP/1.10", b"GET / HTTP/ 1.1",
        b"G\x00T / HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET /?\x00 HTTP/1.1", b"G(T / HTTP/1.1", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r", b"GET /\x7f HTTP/1.1", b"GET",
        b"GET a HTTP/1.1", b"GET * HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET /a\\b HTTP/1.1", b"GET http:///a HTTP/1.1",
        b"GET http://u@a/ HTTP/1.1", b"GET ftp://a/ HTTP/1.1", b"CONNECT a:80 HTTP/1.1", b"CONNECT http://a/ HTTP/1.1",
        b"OPTIONS ** HTTP/1.1",
    ],
)  # fmt: skip
def test_a_malformed_request_line_is_refused(start: bytes):
    assert refusal(start=start) is BadRequest


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.0", b"9.9"])
def test_another_major_version_is_refused_as_such(version: bytes):
    assert refusal(start=b"GET / HTTP/" + version) is VersionNotSupported


def test_a_later_minor_version_is_read_as_the_one_we_know():
    assert request(start=b"GET / HTTP/1.7").minor == 1


@pytest.mark.parametrize("method", [b"M-SEARCH", b"get", b"PROPFIND", b"!#$%&'*+-.^_`|~9"])
def test_any_token_is_a_method_in_its_own_case(method: bytes):
    assert request(start=method + b" / HTTP/1.1").method == method


def test_the_target_is_kept_byte_for_byte():
    assert request(start=b"GET //a/../%2F?%zz HTTP/1.1").origin_form == b"//a/../%2F?%zz"


def test_an_absolute_target_replaces_host_and_keeps_the_other_fields():
    head = request(b"X-A: b", start=b"GET HTTP://Other:81?q HTTP/1.1", host=b"HOST: a")
    assert (head.fields.host, head.origin_form) == (b"Other:81", b"/?q")
    assert head.fields.headers == [(b"host", b"Other:81"), (b"x-a", b"b")]


def test_options_of_a_whole_server_are_asked_with_an_asterisk():
    assert request(start=b"OPTIONS * HTTP/1.1").origin_form == b"*"
    assert request(start=b"OPTIONS http://b:80 HTTP/1.1").origin_form == b"*"
    assert request(start=b"OPTIONS http://b:80/ HTTP/1.1").origin_form == b"/"
    assert request(start=b"GET http://b:80 HTTP/1.1").origin_form == b"/"


# ---------------------------------------------------------------- Host


@pytest.mark.parametrize("host", [b"", b"Host:", b"Host: a\r\nHost: a", b"Host: a, b", b"Host: u@a", b"Host: a/b", b"Host: a b"])
def test_a_request_has_exactly_one_valid_host(host: bytes):
    assert refusal(host=host) is BadRequest
    assert refusal(host=host, start=b"GET http://a/ HTTP/1.1") is BadRequest


def test_an_old_client_may_leave_host_out():
    assert request(start=b"GET / HTTP/1.0", host=b"").fields.host == b""
    assert refusal(start=b"GET / HTTP/1.0", host=b"Host: a\r\nHost: a") is BadRequest
    assert refusal(start=b"GET / HTTP/1.0", host=b"Host:") is BadRequest


# ---------------------------------------------------------------- framing of a request


def test_the_length_of_a_body_is_declared_or_chunked_or_none():
    assert request().fields.length == 0
    assert request(b"Content-Length: 007").fields.length == 7
    assert request(b"Content-Length: 999999999999999999").fields.length == 10**18 - 1
    assert request(b"Transfer-Encoding: CHUNKED").fields.length == CHUNKED


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: " + value]
        for value in (b"", b"+5", b"-5", b"5 5", b"5,5", b"5, 5", b"0x5", b"1_0", b"5.0", b"\xb2", b"1" * 19, b"5;", b'"5"')
    ]
    + [
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"content-length: 6"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: gzip", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"],
    ]
    + [
        [b"Transfer-Encoding: " + value]
        for value in (b"", b"chunked, chunked", b"chunked, identity", b"gzip, chunked", b",chunked", b"chunked;a=b", b'"chunked"', b"chunked x")
    ],
)  # fmt: skip
def test_more_or_less_than_one_framing_is_refused(lines: list[bytes]):
    assert refusal(*lines) is BadRequest


@pytest.mark.parametrize("coding", [b"gzip", b"identity", b"xchunke", b"gzip, br"])
def test_a_coding_that_we_do_not_know_is_said_to_be_so(coding: bytes):
    assert refusal(b"Transfer-Encoding: " + coding) is UnsupportedCoding


def test_an_old_client_can_not_send_chunks():
    assert refusal(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0") is BadRequest


# ---------------------------------------------------------------- connection, expectation, upgrade


@pytest.mark.parametrize(
    ("version", "lines", "kept"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: x, Close"], False),
        (b"1.1", [b"Connection: keep-alive", b"Connection: close"], False),
        (b"1.1", [b"Connection: closed"], True),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
        (b"1.0", [b"Connection: keep-alive", b"Connection: close"], False),
        (b"1.0", [b"Connection: close", b"Connection: keep-alive"], False),
        (b"1.0", [b"Proxy-Connection: keep-alive"], False),
    ],
)
def test_a_connection_is_kept_as_version_and_options_say(version: bytes, lines: list[bytes], kept: bool):
    assert request(*lines, start=b"GET / HTTP/" + version).fields.keep_alive is kept
    assert answer(b"Content-Length: 0", *lines, start=b"HTTP/%b 200 OK" % version).keep_alive is kept


def test_only_a_client_of_1_1_waits_for_100():
    assert request(b"Expect: 100-Continue").fields.expects_continue
    assert not request(b"Expect: 100-continue", start=b"GET / HTTP/1.0").fields.expects_continue
    assert not request(b"Expect: something").fields.expects_continue


def test_an_upgrade_counts_where_connection_names_it():
    assert request(b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket").fields.upgrade == b"websocket"
    assert request(b"Upgrade: websocket").fields.upgrade == b""
    assert request(b"Connection: upgrade").fields.upgrade == b""
    assert request(b"Connection: upgrade", b"Upgrade: websocket", start=b"GET / HTTP/1.0").fields.upgrade == b""


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("start", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xe4 ok", b"HTTP/1.0 999 x"])
def test_a_reason_may_be_anything_or_missing(start: bytes):
    assert answer(start=start).status in (200, 999)


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1", b"HTTP/1.1 20", b"HTTP/1.1 2000", b"HTTP/1.1 099 x", b"HTTP/2 200", b"HTTP/1.2 200", b"http/1.1 200", b"HTTP/1.1  200",
     b"HTTP/1.1 200\tOK", b"HTTP/1.1 200 a\nb", b"ICY 200 OK", b" HTTP/1.1 200 OK", b"HTTP/1.1 +20 OK"],
)  # fmt: skip
def test_a_malformed_status_line_is_refused(start: bytes):
    with pytest.raises(BadResponse):
        answer(start=start)


def test_the_length_of_an_answer_is_that_of_rfc_9112_section_6_3():
    assert answer(b"Content-Length: 5").length == 5
    assert answer(b"Transfer-Encoding: Chunked").length == CHUNKED
    assert answer().length == UNTIL_CLOSE
    assert answer(b"Content-Length: 5", method=b"HEAD").length == 0
    for status in (b"100", b"103", b"204", b"304"):
        assert answer(b"Content-Length: 5", start=b"HTTP/1.1 " + status).length == 0
        assert answer(b"Transfer-Encoding: chunked", start=b"HTTP/1.1 " + status).length == 0


def test_an_answers_other_fields_do_not_frame_it():
    assert answer(b"Content-Length: 5", b"Upgrade: h2c", b"Host: a").length == 5


def test_an_answer_that_ends_with_its_connection_is_the_last_on_it():
    assert not answer().keep_alive
    assert not answer(b"Connection: keep-alive", start=b"HTTP/1.0 200 OK").keep_alive


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_length_beside_chunks_is_dropped_and_the_connection_not_trusted(method: bytes):
    head = answer(b"A: b", b"Content-Length: 5", b"Transfer-Encoding: chunked", method=method)
    assert head.headers == [(b"a", b"b"), (b"transfer-encoding", b"chunked")]
    assert not head.keep_alive


def test_equal_lengths_become_one():
    head = answer(b"Content-Length: 5", b"A: b", b"Content-Length: 05", b"Content-Length: 5")
    assert (head.length, head.headers) == (5, [(b"a", b"b"), (b"content-length", b"5")])


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Content-Length: 6"], [b"Content-Length: 0", b"Content-Length: 6"], [b"Content-Length: 5, 5"],
        [b"Content-Length: -1"], [b"Content-Length:"], [b"Content-Length: " + b"1" * 19],
    ],
)  # fmt: skip
def test_a_doubtful_length_is_an_error(lines: list[bytes]):
    with pytest.raises(BadResponse):
        answer(*lines)
    with pytest.raises(BadResponse):
        answer(*lines, method=b"HEAD")


@pytest.mark.parametrize(
    "lines",
    [
        [b"Transfer-Encoding: gzip"], [b"Transfer-Encoding:"], [b"Transfer-Encoding: gzip, chunked"], [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], [b"Transfer-Encoding:", b"Transfer-Encoding: chunked"],
    ],
)  # fmt: skip
def test_a_doubtful_transfer_coding_is_an_error(lines: list[bytes]):
    with pytest.raises(BadTransferCoding):
        answer(*lines)


def test_a_server_of_1_0_can_not_send_chunks():
    with pytest.raises(BadTransferCoding):
        answer(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK")


# ---------------------------------------------------------------- against httptools

Seen = tuple[bytes, bytes, bytes]  # method, target, body

NEXT = b"GET /next HTTP/1.1\r\nHost: n\r\n\r\n"
SEEDS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
    b"PUT http://h/x HTTP/1.0\r\nConnection: keep-alive\r\nHost: b:80\r\nContent-Length: 0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n0",
]
PIECES = [
    b"\r", b"\n", b"\r\n", b"\r\n ", b"\t", b" ", b":", b",", b";", b"=", b"\x00", b"\x0b", b"\x7f", b"\xff", b"+", b"-", b"_", b"0", b"1",
    b"/", b"#", b"\\", b'"', b"%", b"X", b"chunked", b"HTTP/1.1", b"Content-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Host: b\r\n", b"",
]  # fmt: skip
EDITS = st.lists(
    st.tuples(st.integers(0, 120), st.sampled_from(PIECES) | st.binary(max_size=2), st.integers(0, 5)), min_size=1, max_size=4
)


def edited(seed: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    for at, piece, width in edits:
        place = at % (len(seed) + 1)
        seed = seed[:place] + piece + seed[place + width :]
    return seed


def first_of_ours(data: bytes) -> tuple[Seen, bytes] | None:
    """The first request and the bytes behind it; None where it is refused or not whole."""
    data = data.lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    try:
        head = read_request_head(data[:end])
    except GatewayError:
        return None
    rest = data[end + 4 :]
    target = data.split(b" ", 2)[1]
    length = head.fields.length
    if length != CHUNKED:
        body, rest = rest[: length], rest[length :]
        return ((head.method, target, body), rest) if len(body) == length else None
    chunks = ChunkedDecoder()
    try:
        body = chunks.feed(rest)
    except BadChunk:
        return None
    return ((head.method, target, body), chunks.rest) if chunks.done else None


class Oracle:
    """What httptools makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.requests: list[Seen] = []
        self.complaint = ""
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.complaint = "upgrade"
        except httptools.HttpParserError as exc:
            self.complaint = str(exc)

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.requests.append((self._parser.get_method(), self._url, self._body))


def is_judged_fine(complaint: str, data: bytes) -> bool:
    """What httptools refuses and RFC 9110 and 9112 allow, or what the design lets through on purpose."""
    return (
        # extension methods are tokens (RFC 9110 section 16.1.1)
        complaint in ("Invalid method encountered", "Expected space after method")
        # obs-text in a target is forwarded as it is
        or ("Invalid char in url" in complaint and any(byte >= 0x80 for byte in data))
        # blanks behind a value are no part of it, a tab neither (RFC 9112 section 5.1)
        or (complaint == "Request has invalid `Transfer-Encoding`" and b"chunked\t" in data)
        # bad whitespace before an extension must be parsed (RFC 9112 section 7.1.1)
        or (complaint.startswith("Invalid character in chunk") and any(ws + b";" in data for ws in (b" ", b"\t")))
        or (complaint.startswith("Invalid character in chunk ext") and any(c in data for c in (b"; ", b";\t", b"= ", b"=\t", b" =", b"\t=", b'"')))
        # trailers are kept apart, so framing fields among them frame nothing (RFC 9110 section 6.5.1)
        or (("Transfer-Encoding" in complaint or "Content-Length" in complaint) and b"\r\n0" in data)
    )  # fmt: skip


@settings(max_examples=600)
@given(st.sampled_from(SEEDS), EDITS)
@example(SEEDS[1], [(0, b"", 0)])
@example(SEEDS[2], [(0, b"", 0)])
@example(SEEDS[1], [(27, b"Transfer-Encoding: chunked\r\n", 0)])
@example(SEEDS[2], [(70, b"\n", 2)])
def test_a_request_that_we_take_ends_where_httptools_ends_it(seed: bytes, edits: list[tuple[int, bytes, int]]):
    data = edited(seed, edits) + NEXT
    ours = first_of_ours(data)
    if ours is None:
        return
    seen, rest = ours
    oracle = Oracle(data)
    if not oracle.requests:
        # httptools has no first request: it refused it, for a reason that we know
        assert is_judged_fine(oracle.complaint, data), (oracle.complaint, data)
        return
    assert oracle.requests[0] == seen
    if rest == NEXT and oracle.complaint != "upgrade" and len(oracle.requests) > 1:
        assert oracle.requests[1:] == [(b"GET", b"/next", b"")]


@given(st.sampled_from(SEEDS), EDITS)
def test_any_head_is_refused_or_has_exactly_one_framing(seed: bytes, edits: list[tuple[int, bytes, int]]):
    block = edited(seed, edits).partition(b"\r\n\r\n")[0]
    try:
        head = read_request_head(block)
    except GatewayError as error:
        assert error.status in (400, 501, 505)
        return
    names = [name for name, _ in head.fields.headers]
    framings = names.count(b"content-length") + names.count(b"transfer-encoding")
    assert framings <= 1
    assert (head.fields.length == CHUNKED) == (b"transfer-encoding" in names)
    assert names.count(b"host") == 1 or (head.minor == 0 and not names.count(b"host"))
    for name, value in head.fields.headers:
        assert name == name.lower()
        assert not set(name + value) & set(b"\r\n\x00")


def test_ever_new_status_lines_do_not_fill_the_memory():
    for number in range(3 * message.MEMO_STATUS_LINES):
        assert read_answer_head(b"HTTP/1.1 200 reason %d" % number, b"GET").status == 200
        assert len(message._status_memo) <= message.MEMO_STATUS_LINES
    long = b"HTTP/1.0 404 " + b"x" * field_lines.MEMO_LINE
    assert read_answer_head(long, b"GET").status == 404
    assert long not in message._status_memo


def test_a_block_of_known_lines_is_read_once():
    block = b"GET /%d HTTP/1.1\r\nHost: once.test\r\nX-Once: 1"
    first, second, third = (read_request_head(block % number) for number in range(3))
    assert first.fields.headers == second.fields.headers == [(b"host", b"once.test"), (b"x-once", b"1")]
    assert third.fields is second.fields
    assert [head.path for head in (first, second, third)] == [b"/0", b"/1", b"/2"]
    answers = [read_answer_head(b"HTTP/1.1 200 OK\r\nX-Once: 2", b"GET") for _ in range(3)]
    assert answers[1] is answers[2]


def test_an_answer_to_head_is_never_taken_for_one_to_get():
    block = b"HTTP/1.1 200 OK\r\nContent-Length: 5"
    for _ in range(3):
        assert read_answer_head(block, b"GET").length == 5
        assert read_answer_head(block, b"HEAD").length == 0


def test_an_old_client_s_lines_are_not_taken_for_a_new_one_s():
    for _ in range(3):
        assert read_request_head(b"GET / HTTP/1.1\r\nHost: old.test").fields.keep_alive
        assert not read_request_head(b"GET / HTTP/1.0\r\nHost: old.test").fields.keep_alive


def test_ever_new_lines_do_not_fill_the_memory():
    for number in range(2 * field_lines.MEMO_LINES):
        read_request_head(b"GET / HTTP/1.1\r\nHost: a\r\nX-%d: 1\r\nX-Id: %d" % (number, number))
        assert len(field_lines._memo) <= field_lines.MEMO_LINES
        assert len(field_lines._names) <= field_lines.MEMO_NAMES
        assert len(message._blocks) <= message.MEMO_BLOCKS
    for number in range(2 * message.MEMO_BLOCKS):
        for _ in range(2):
            read_request_head(b"GET / HTTP/1.1\r\nHost: a\r\nX-Block-%d: 1" % number)
            read_answer_head(b"HTTP/1.1 200 OK\r\nX-Block-%d: 1" % number, b"GET")
        assert len(message._blocks) <= message.MEMO_BLOCKS
        assert len(message._answers) <= message.MEMO_BLOCKS
    long = b"x" * field_lines.MEMO_LINE + b": 1"
    assert read_fields([long]) == [(long[:-3], b"1")]
    assert long not in field_lines._memo
    assert long[:-3] in field_lines._names
    longer = b"x" + long
    assert read_fields([longer]) == [(longer[:-3], b"1")]
    assert longer[:-3] not in field_lines._names


def test_a_name_of_ever_new_lines_takes_no_more_room_than_its_own():
    for number in range(2 * field_lines.LINES_OF_A_NAME):
        assert read_fields([b"X-Ever-New: %d" % number]) == [(b"x-ever-new", b"%d" % number)]
    assert field_lines._names[b"X-Ever-New"].lines == field_lines.LINES_OF_A_NAME
    assert b"X-Ever-New: %d" % (2 * field_lines.LINES_OF_A_NAME - 1) not in field_lines._memo
