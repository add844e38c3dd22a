"""Reading the head of an HTTP/1.1 message, strictly (RFC 9112 sections 2 to 6).

Lines end with CRLF and nothing else, names are tokens, values hold no control bytes, nothing is folded, and a message
has exactly one framing. What does not fit is refused with the status of its fault: a proxy that guesses is how
requests get smuggled.

A block of field lines of which all were known (`rfc/lines.py`) is remembered whole, with what it says and how it is passed
on and logged (at most `MEMO_BLOCKS` of `MEMO_BLOCK` bytes; 4 MiB for each direction, and the last one of each connection): a
head with a line of its own, such as a request id, never takes such a place.
"""

from __future__ import annotations

import re
from typing import Final

from mypy_extensions import mypyc_attr

from gateway.errors import (
    BadRequest,
    BadResponse,
    BadTransferCoding,
    UnsupportedCoding,
    VersionNotSupported,
)
from gateway.rfc.headers import HARMLESS
from gateway.rfc.lines import (
    ANSWER_SPECIAL,
    ASKS,
    IN_ANSWERS,
    IN_REQUESTS,
    MEMO_LINE,
    TOKEN,
    Line,
    MalformedField,
    Name,
    Pair,
    read_lines,
)
from gateway.rfc.uri import parse_absolute_form, valid_host, valid_origin_form

HEAD_END: Final = b"\r\n\r\n"
QUERY: Final = ord("?")
LENGTH_DIGITS: Final = 18
MEMO_STATUS_LINES: Final = 64
MEMO_BLOCKS: Final = 512
MEMO_BLOCK: Final = 2048

_REQUEST_LINE: Final = re.compile(rb"(" + TOKEN + rb") ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])").fullmatch
USUAL_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?").fullmatch
_CODINGS: Final = re.compile(TOKEN + rb"(?:[ \t]*,[ \t]*" + TOKEN + rb")*").fullmatch

# What a field means to the one who reads the message; all others are only carried.
HOST: Final = 1
LENGTH: Final = 2
CODING: Final = 3
CONNECTION: Final = 4
EXPECT: Final = 5
UPGRADE: Final = 6
TE: Final = 7
MEANINGS: Final = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
    b"te": TE,
}

SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"QUERY"})  # all others may change what they are sent to
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})  # RFC 9110 section 9.2.2

_USUAL_OPTIONS: Final = {value: [value] for value in (b"keep-alive", b"close")}


def _options(value: bytes) -> list[bytes]:
    usual = _USUAL_OPTIONS.get(value)
    if usual is not None:
        return usual
    return [option.strip(b" \t") for option in value.lower().split(b",")]


@mypyc_attr(acyclic=True, free_list_len=1)
class HeadFields:
    """The field lines of a request, and what they say about it, by `interpret`. Not changed after that: requests with the
    same lines share one.

    lines: as received, headers: the same as pairs. special: the pairs that a proxy itself acts on (`headers.SPECIAL`).
    is_plain: that is none but Host. is_usual: nor is there anything that needs more than a whole request and its answer.
    is_bare: nor a body; known only where `interpret` has looked. asks: there are fields that concern a cache.
    size: bytes of all lines, -1 where nobody has counted them.
    hosts: how many Host lines there are; host: what they say, valid where there is one. length: of the body, 0 without
    one, -1 when it is chunked. upgrade: the protocol asked for by Upgrade, lowercase, where Connection names it.
    text: the end of the head, from the CRLF before the lines to the empty line behind them, where they are remembered. Kept
    by those who need them: kept, the lines that go on to a target, and the names that they were chosen by; noted, what the
    log says of them; asked, what they ask of a cache.
    """

    __slots__ = (
        "asked", "asks", "expects_continue", "headers", "host", "hosts", "is_bare", "is_plain", "is_usual", "keep_alive", "kept",
        "length", "lines", "noted", "size", "special", "text", "upgrade",
    )  # fmt: skip

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.text = b""
        self.headers = [line.pair for line in lines]
        special: list[Pair] = []
        self.special = special
        self.asks = False
        for line in lines:
            marks = line.name.marks
            if marks & IN_REQUESTS:
                special.append(line.pair)
            if marks & ASKS:
                self.asks = True
        self.is_plain = len(special) == 1 and special[0][0] == b"host"
        self.is_usual = True
        self.is_bare = False
        self.size = -1
        self.hosts = 0
        self.host = b""
        self.length = 0
        self.keep_alive = True
        self.expects_continue = False
        self.upgrade = b""
        self.kept: tuple[frozenset[bytes], bytes] | None = None
        self.noted: bytes | None = None
        self.asked: object = None


@mypyc_attr(acyclic=True, free_list_len=1)
class RequestHead:
    """A valid request head. path and query: of the target in origin form; query is None without a `?`.

    minor: of the version, 0 or 1.
    """

    __slots__ = ("fields", "method", "minor", "path", "query")

    def __init__(self, method: bytes, path: bytes, query: bytes | None, minor: int, fields: HeadFields) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.minor = minor
        self.fields = fields

    @property
    def origin_form(self) -> bytes:
        """The target as routing sees it: `/path?query`, or `*`."""
        return self.path if self.query is None else self.path + b"?" + self.query


def read_request_head(block: bytes, *, is_new: bool = False) -> RequestHead:
    """The head of a request, without its empty line. is_new: its lines are not expected to be remembered. Raises a GatewayError
    with the status to answer."""
    line, _, rest = block.partition(b"\r\n")
    if line.endswith(b" HTTP/1.1"):
        fields = None if is_new else _blocks.get(rest)
        head = usual_head(line, fields or _read_head_fields(rest, 1))
        if head is not None:
            return head
    return _read_unusual_head(line, rest)


def usual_head(line: bytes, fields: HeadFields) -> RequestHead | None:
    """The head of this request line and these fields, where it is HTTP/1.1, a usual method and origin form; None for all that
    takes a closer look."""
    if not line.endswith(b" HTTP/1.1"):
        return None
    if line.startswith(b"GET "):
        method, target = b"GET", line[4:-9]
    else:
        method, _, target = line[:-9].partition(b" ")
        if method not in USUAL_METHODS:
            return None
    if fields.hosts != 1 or not valid_origin_form(target):
        return None
    if QUERY not in target:
        return RequestHead(method, target, None, 1, fields)
    path, _, query = target.partition(b"?")
    return RequestHead(method, path, query, 1, fields)


_blocks: Final[dict[bytes, HeadFields]] = {}
VARIED: Final = HeadFields([])


def _read_head_fields(block: bytes, minor: int) -> HeadFields:
    """The lines of a request of HTTP/1.`minor`. Raises a GatewayError."""
    try:
        lines, repeated = read_lines(block.split(b"\r\n") if block else [])
    except MalformedField as exc:
        raise BadRequest(f"malformed field line {exc}") from None
    fields = HeadFields(lines)
    fields.size = len(block)
    interpret(fields, minor)
    if repeated and minor and len(block) <= MEMO_BLOCK:
        if len(_blocks) >= MEMO_BLOCKS:
            _blocks.clear()
        _blocks[block] = fields
        fields.text = b"\r\n%b\r\n\r\n" % block
    return fields


def interpret(fields: HeadFields, minor: int) -> None:
    """Host, framing and connection options of a request (RFC 9112 sections 3.2, 6.3 and 9.3)."""
    lengths = codings = 0
    upgrade = coding = b""
    asked_upgrade = asked_keep_alive = closes = False
    for name, value in fields.special:
        meaning = MEANINGS.get(name)
        if meaning is None:
            continue
        if meaning == HOST:
            fields.hosts += 1
            fields.host = value
        elif meaning == LENGTH:
            lengths += 1
            if not value.isdigit() or len(value) > LENGTH_DIGITS:
                raise BadRequest("invalid Content-Length")
            fields.length = int(value)
        elif meaning == CONNECTION:
            options = _options(value)
            closes = closes or b"close" in options
            asked_keep_alive = asked_keep_alive or b"keep-alive" in options
            asked_upgrade = asked_upgrade or b"upgrade" in options
            if value not in HARMLESS:
                fields.is_usual = False
        else:
            fields.is_usual = False
            if meaning == CODING:
                codings += 1
                coding = value
            elif meaning == EXPECT:
                fields.expects_continue = value.lower() == b"100-continue" and minor == 1
            elif meaning == UPGRADE:
                upgrade = value.lower()
    if lengths > 1 or (lengths and codings):
        raise BadRequest("more than one framing")
    if codings:
        if minor == 0:
            raise BadRequest("Transfer-Encoding in HTTP/1.0")
        _check_request_coding(coding, codings)
        fields.length = -1
    if fields.hosts == 1 and not valid_host(fields.host):
        raise BadRequest("invalid Host")
    if fields.hosts > 1:
        raise BadRequest("not exactly one Host")
    if minor == 0:
        fields.keep_alive = asked_keep_alive and not closes
    else:
        fields.keep_alive = not closes
        if asked_upgrade:
            fields.upgrade = upgrade
    fields.is_usual = fields.is_usual and minor == 1 and not closes
    fields.is_bare = fields.is_usual and not fields.length


def _check_request_coding(coding: bytes, lines: int) -> None:
    """Whether a request's body is chunked and nothing else (RFC 9112 section 6.1). coding: the value of the last of so many
    lines. Raises BadRequest or UnsupportedCoding."""
    if lines == 1 and coding.lower() == b"chunked":
        return
    if lines == 1 and _CODINGS(coding) is not None and b"chunked" not in coding.lower():
        raise UnsupportedCoding(f"transfer coding {coding[:40]!r}")
    raise BadRequest("invalid Transfer-Encoding")


def _read_unusual_head(line: bytes, rest: bytes) -> RequestHead:
    """One of HTTP/1.0, one with a method of its own, one whose target is in absolute form or `*`, or one that is to be
    refused."""
    matched = _REQUEST_LINE(line)
    if matched is None:
        raise BadRequest("malformed request line")
    if matched[3] != b"1":
        raise VersionNotSupported
    method, target = matched[1], matched[2]
    minor = min(int(matched[4]), 1)
    if target[:1] == b"/" and not valid_origin_form(target):
        raise BadRequest("invalid request target")
    fields = _read_head_fields(rest, minor)
    if fields.hosts == 0 and minor == 1:
        raise BadRequest("not exactly one Host")
    if target[:1] == b"/" or (target == b"*" and method == b"OPTIONS"):
        path, mark, query = target.partition(b"?")
        return RequestHead(method, path, query if mark else None, minor, fields)
    absolute = parse_absolute_form(target)
    if absolute is None or method == b"CONNECT":
        raise BadRequest("invalid request target")
    scheme, host, origin_form = absolute
    if method == b"OPTIONS" and len(target) == len(scheme) + len(b"://") + len(host):
        origin_form = b"*"  # RFC 9112 section 3.2.4
    path, mark, query = origin_form.partition(b"?")
    return RequestHead(method, path, query if mark else None, minor, _with_host(fields, host, minor))


def _with_host(fields: HeadFields, host: bytes, minor: int) -> HeadFields:
    """RFC 9112 section 3.2.2: Host is replaced by the authority of the target."""
    kept = [line for line in fields.lines if line.name.lowercase != b"host"]
    changed = HeadFields([Line(b"host: " + host, Name(b"host"), host), *kept])
    interpret(changed, minor)
    return changed


CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


class Original:
    """What heads that go to clients are made of: a target's answer, or a reply of our own. forwarded: the fields that go on,
    once somebody has made them, and written: how they are; kept by who makes them."""

    __slots__ = ("forwarded", "status", "written")

    def __init__(self, status: int) -> None:
        self.status = status
        self.forwarded: list[Pair] | None = None
        self.written: object = None


@mypyc_attr(free_list_len=1)
class AnswerHead(Original):
    """A valid response head. length: 0 without a body, -1 when chunked, -2 when it ends with the connection.

    special: the fields among `headers` that are about framing and connection, and Via. Heads of equal lines may be one
    object. text: all of the head up to its empty line and with that, where it is remembered. lines: what `headers` are made
    of; None where they are made of something else, or where Connection names one of them, so that more than a look at the
    names tells which of them go on.
    """

    __slots__ = ("headers", "keep_alive", "length", "lines", "minor", "special", "text")

    def __init__(self, status: int, minor: int, headers: list[Pair], lines: list[Line] | None = None) -> None:
        super().__init__(status)
        self.text = b""
        self.minor = minor
        self.headers = headers
        self.lines = lines
        if lines is None:
            self.special = [pair for pair in headers if pair[0] in ANSWER_SPECIAL]
        else:
            self.special = [line.pair for line in lines if line.name.marks & IN_ANSWERS]
        self.length = UNTIL_CLOSE
        self.keep_alive = minor == 1


_answers: Final[dict[bytes, AnswerHead]] = {}


def read_answer_head(block: bytes, method: bytes) -> AnswerHead:
    """The head of a response to `method`, without its empty line. Raises BadResponse."""
    if method == b"HEAD":
        return _read_answer_head(block, method)
    return _answers.get(block) or _read_answer_head(block, method)


def _read_answer_head(block: bytes, method: bytes) -> AnswerHead:
    texts = block.split(b"\r\n")
    first = texts.pop(0)
    status, minor = _status_memo.get(first) or _learn_status(first)
    try:
        lines, repeated = read_lines(texts)
    except MalformedField as exc:
        raise BadResponse(f"malformed field line {exc}") from None
    head = AnswerHead(status, minor, [line.pair for line in lines], lines)
    _frame(head, method)
    if repeated and method != b"HEAD" and len(block) <= MEMO_BLOCK:
        if len(_answers) >= MEMO_BLOCKS:
            _answers.clear()
        _answers[block] = head
        head.text = block + HEAD_END
    return head


_status_memo: Final[dict[bytes, tuple[int, int]]] = {}


def _learn_status(line: bytes) -> tuple[int, int]:
    """Status and minor version of a status line, which is remembered as field lines are."""
    matched = _STATUS_LINE(line)
    if matched is None:
        raise BadResponse("the answer is not HTTP/1.x")
    read = (int(matched[2]), 1 if matched[1] == b"1" else 0)
    if len(line) <= MEMO_LINE:
        if len(_status_memo) >= MEMO_STATUS_LINES:
            _status_memo.clear()
        _status_memo[line] = read
    return read


def _frame(head: AnswerHead, method: bytes) -> None:
    """RFC 9112 section 6.3, with every doubt an error."""
    length = -1
    coding = b""
    options: list[bytes] = []
    repeated = False
    for name, value in head.special:
        meaning = MEANINGS.get(name)
        if meaning == LENGTH:
            if not value.isdigit() or len(value) > LENGTH_DIGITS or (length >= 0 and length != int(value)):
                raise BadResponse("invalid Content-Length")
            repeated = length >= 0
            length = int(value)
        elif meaning == CODING:
            if coding:
                raise BadTransferCoding("several Transfer-Encoding lines")
            coding = value.lower() or b"?"
        elif meaning == CONNECTION:
            options += _options(value)
            if value not in HARMLESS:
                head.lines = None
    if b"close" in options:
        head.keep_alive = False
    elif head.minor == 0 and b"keep-alive" in options:
        head.keep_alive = True
    if coding and (coding != b"chunked" or head.minor == 0):
        raise BadTransferCoding(f"transfer coding {coding[:40]!r}")
    if coding and length >= 0:  # RFC 9112 section 6.3: the length is dropped, and the connection not used again
        head.keep_alive = False
        head.lines = None
        head.headers = [pair for pair in head.headers if pair[0] != b"content-length"]
    elif repeated:  # RFC 9110 section 8.6: equal lengths go on as one
        head.lines = None
        head.headers = [pair for pair in head.headers if pair[0] != b"content-length"]
        head.headers.append((b"content-length", b"%d" % length))
    status = head.status
    if method == b"HEAD" or status < 200 or status in (204, 304):
        head.length = 0
    elif coding:
        head.length = CHUNKED
    elif length >= 0:
        head.length = length
    else:
        head.keep_alive = False

