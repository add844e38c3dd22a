"""Reading the head of an HTTP/1.1 message, strictly (RFC 9112 sections 2 to 6).

Lines end with CRLF and nothing else, names are tokens, values hold no control bytes, nothing is folded, and a message
has exactly one framing. What does not fit is refused with the status of its fault: a proxy that guesses is how
requests get smuggled.

A field line is validated by one regular expression when it is first seen and then remembered, since clients and
targets repeat most of their lines. The memo holds at most `MEMO_LINES` lines of at most `MEMO_LINE` bytes (2 MiB), and
is emptied when full, so a sender of ever new lines gains nothing.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import (
    BadRequest,
    BadResponse,
    BadTransferCoding,
    UnsupportedCoding,
    VersionNotSupported,
)
from gateway.rfc.uri import parse_absolute_form, valid_host, valid_origin_form

Pair = tuple[bytes, bytes]

LENGTH_DIGITS: Final = 18
MEMO_LINES: Final = 4096
MEMO_LINE: Final = 160
MEMO_STATUS_LINES: Final = 64

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED: Final = rb'"(?:[\t\x20-\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'  # RFC 9110 section 5.6.4
_FIELD = re.compile(rb"(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)").fullmatch
_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])").fullmatch
_USUAL_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") (/[^\x00-\x20#\\\x7f]*) HTTP/1\.([01])").fullmatch
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?").fullmatch
_CODINGS = re.compile(TOKEN + rb"(?:[ \t]*,[ \t]*" + TOKEN + rb")*").fullmatch

# What a field means to the one who reads the message; all others are only carried.
HOST, LENGTH, CODING, CONNECTION, EXPECT, UPGRADE = range(1, 7)
MEANINGS: Final = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
}

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})  # RFC 9110 section 9.2.2

_memo: dict[bytes, Pair] = {}


class MalformedField(ValueError):
    """A field line that RFC 9112 section 5 does not allow."""


def _learn(line: bytes) -> Pair:
    matched = _FIELD(line)
    if matched is None:
        raise MalformedField(repr(line[:80]))
    pair = (matched[1].lower(), matched[2].strip(b" \t"))
    if len(line) <= MEMO_LINE:
        if len(_memo) >= MEMO_LINES:
            _memo.clear()
        _memo[line] = pair
    return pair


def read_fields(lines: list[bytes]) -> list[Pair]:
    """Field lines without their CRLF as pairs, names in lowercase. Raises MalformedField."""
    known = _memo.get
    fields = list(map(known, lines))
    if None in fields:
        return [known(line) or _learn(line) for line in lines]
    return fields  # type: ignore[return-value]  # no None among them


_USUAL_OPTIONS: Final = {value: [value] for value in (b"keep-alive", b"close")}


def _options(value: bytes) -> list[bytes]:
    if value in _USUAL_OPTIONS:
        return _USUAL_OPTIONS[value]
    return [option.strip(b" \t") for option in value.lower().split(b",")]


class RequestHead:
    """A valid request head.

    target: the request target as received; origin_form: what routing sees (`/path?query`, or `*`).
    length: the body's length, 0 without a body, -1 when it is chunked.
    upgrade: the protocol asked for by Upgrade, lowercase, where Connection names it.
    """

    __slots__ = (
        "expects_continue", "headers", "host", "keep_alive", "length", "method", "minor", "origin_form", "target",
        "upgrade",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, minor: int, headers: list[Pair]) -> None:
        self.method = method
        self.target = target
        self.origin_form = target
        self.minor = minor
        self.headers = headers
        self.host = b""
        self.length = 0
        self.keep_alive = minor == 1
        self.expects_continue = False
        self.upgrade = b""


def read_request_head(block: bytes) -> RequestHead:
    """The head of a request, without its empty line. Raises a GatewayError with the status to answer."""
    lines = block.split(b"\r\n")
    head = _read_request_line(lines.pop(0))
    try:
        head.headers = read_fields(lines)
    except MalformedField as exc:
        raise BadRequest(f"malformed field line {exc}") from None
    _interpret(head)
    return head


def _read_request_line(line: bytes) -> RequestHead:
    usual = _USUAL_REQUEST_LINE(line)
    if usual is not None:
        return RequestHead(usual[1], usual[2], 1 if usual[3] == b"1" else 0, [])
    matched = _REQUEST_LINE(line)
    if matched is None:
        raise BadRequest("malformed request line")
    if matched[3] != b"1":
        raise VersionNotSupported
    if matched[2][:1] == b"/" and not valid_origin_form(matched[2]):
        raise BadRequest("invalid request target")
    return RequestHead(matched[1], matched[2], min(int(matched[4]), 1), [])


def _interpret(head: RequestHead) -> None:
    """Host, framing and connection options of a request (RFC 9112 sections 3.2, 6.3 and 9.3)."""
    hosts = lengths = codings = 0
    upgrade = coding = b""
    asked_upgrade = asked_keep_alive = False
    for name, value in [pair for pair in head.headers if pair[0] in MEANINGS]:
        meaning = MEANINGS[name]
        if meaning == HOST:
            hosts += 1
            head.host = value
        elif meaning == LENGTH:
            lengths += 1
            if not value.isdigit() or len(value) > LENGTH_DIGITS:
                raise BadRequest("invalid Content-Length")
            head.length = int(value)
        elif meaning == CODING:
            codings += 1
            coding = value
        elif meaning == CONNECTION:
            options = _options(value)
            if b"close" in options:
                head.keep_alive = False
            asked_keep_alive = asked_keep_alive or b"keep-alive" in options
            asked_upgrade = asked_upgrade or b"upgrade" in options
        elif meaning == EXPECT:
            head.expects_continue = value.lower() == b"100-continue" and head.minor == 1
        else:
            upgrade = value.lower()
    if lengths > 1 or (lengths and codings):
        raise BadRequest("more than one framing")
    if codings:
        _check_request_coding(head, coding, codings)
        head.length = -1
    _check_target(head, hosts)
    if head.minor == 0:
        head.keep_alive = asked_keep_alive and not _closes(head)
    elif asked_upgrade:
        head.upgrade = upgrade


def _closes(head: RequestHead) -> bool:
    return any(b"close" in _options(value) for name, value in head.headers if name == b"connection")


def _check_request_coding(head: RequestHead, coding: bytes, lines: int) -> None:
    if head.minor == 0:
        raise BadRequest("Transfer-Encoding in HTTP/1.0")
    if lines == 1 and coding.lower() == b"chunked":
        return
    if lines == 1 and _CODINGS(coding) is not None and b"chunked" not in coding.lower():
        raise UnsupportedCoding(f"transfer coding {coding[:40]!r}")
    raise BadRequest("invalid Transfer-Encoding")


def _check_target(head: RequestHead, hosts: int) -> None:
    if hosts > 1 or (hosts == 0 and head.minor == 1):
        raise BadRequest("not exactly one Host")
    if hosts and not valid_host(head.host):
        raise BadRequest("invalid Host")
    target = head.target
    if target[:1] == b"/":
        return  # the line was read by the usual form, which holds the rule for origin-form
    if target == b"*" and head.method == b"OPTIONS":
        return
    absolute = parse_absolute_form(target)
    if absolute is None or head.method == b"CONNECT":
        raise BadRequest("invalid request target")
    scheme, head.host, head.origin_form = absolute  # RFC 9112 section 3.2.2: Host is replaced by the target's authority
    if head.method == b"OPTIONS" and len(target) == len(scheme) + len(b"://") + len(head.host):
        head.origin_form = b"*"  # RFC 9112 section 3.2.4
    head.headers = [(b"host", head.host), *(pair for pair in head.headers if pair[0] != b"host")]


SPECIAL: Final = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"via"})
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


class AnswerHead:
    """A valid response head. length: 0 without a body, -1 when chunked, -2 when it ends with the connection.

    special: the fields among `headers` that are about framing and connection, and Via.
    """

    __slots__ = ("headers", "keep_alive", "length", "minor", "special", "status")

    def __init__(self, status: int, minor: int, headers: list[Pair]) -> None:
        self.status = status
        self.minor = minor
        self.headers = headers
        self.special = [pair for pair in headers if pair[0] in SPECIAL]
        self.length = UNTIL_CLOSE
        self.keep_alive = minor == 1


def read_answer_head(block: bytes, method: bytes) -> AnswerHead:
    """The head of a response to `method`, without its empty line. Raises BadResponse."""
    lines = block.split(b"\r\n")
    first = lines.pop(0)
    status, minor = _status_memo.get(first) or _learn_status(first)
    try:
        head = AnswerHead(status, minor, read_fields(lines))
    except MalformedField as exc:
        raise BadResponse(f"malformed field line {exc}") from None
    _frame(head, method)
    return head


_status_memo: dict[bytes, tuple[int, int]] = {}


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
    if b"close" in options:
        head.keep_alive = False
    elif head.minor == 0 and b"keep-alive" in options:
        head.keep_alive = True
    if coding and (coding != b"chunked" or head.minor == 0):
        raise BadTransferCoding(f"transfer coding {coding[:40]!r}")
    if coding and length >= 0:  # RFC 9112 section 6.3: the length is dropped, and the connection not used again
        head.keep_alive = False
        head.headers = [pair for pair in head.headers if pair[0] != b"content-length"]
    elif repeated:  # RFC 9110 section 8.6: equal lengths go on as one
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

