"""Both entrances give the same results: requests of all kinds, good and bad, go to each, and what the origin and the
client see is compared.

What differs because uvicorn's own class is another server is normalised, each with its reason: `visible` says what of an
answer counts, `forwarded` what of a request at the origin, and `ends_alike` when one connection may end before the other.

GATEWAY_TEST_EXAMPLES sets how many conversations are tried, to look longer than a test run may; they are other ones each
time then. Without it they are the same every time, so that a run does not fail by what a parser of others does.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.client import Answer, Client, connected, get
from support.origin import Origin, Received, Visit, origin
from support.serving import gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = int(os.environ.get("GATEWAY_TEST_EXAMPLES", "150"))
SILENCE = 5.0  # seconds without an answer after which a server is taken to wait for more

# What is compared with `gateway run`: options of `support.serving.gateway`, and whether the server is uvicorn's. Where it is
# not, all has to be the same in every detail.
OTHERS: dict[str, tuple[dict[str, Any], bool]] = {
    "asgi": ({"entrance": "asgi"}, True),
    "our class without its express lane": ({"entrance": "http1"}, False),
}

ROUTES: list[dict[str, Any]] = [
    {"name": "fixed", "path": "/fixed/*", "respond": {"status": 200, "body": "made here", "headers": {"X-Kind": "fixed"}}},
    {"name": "old", "path": "/old/*", "redirect": {"to": "https://new.test/{path}", "status": 308}},
    {"name": "denied", "path": "/denied/*", "upstream": "origin", "access": {"deny": ["127.0.0.0/8"]}},
    {
        "name": "strip", "path": "/strip/*", "upstream": "origin", "strip_prefix": "/strip",
        "request_headers": {"set": {"X-Env": "prod"}, "remove": ["X-Debug", "Cookie"]},
        "response_headers": {"set": {"X-Frame-Options": "DENY"}, "remove": ["Server"]},
    },
    {"name": "get", "path": "/get/*", "upstream": "origin", "methods": ["GET"]},
    {"name": "user", "path": "/users/{id}/*", "upstream": "origin", "rewrite": "/u/{id}/{path}"},
    {"name": "small", "path": "/small/*", "upstream": "origin", "max_body": "8B"},
    {"name": "other", "host": ["other.test"], "path": "/*", "upstream": "origin", "host_header": "upstream"},
    {"name": "plain", "path": "/plain/*", "upstream": "origin"},
]  # fmt: skip


# ---------------------------------------------------------------- what is sent


@dataclass
class Request:
    """One request, byte by byte. has_body: it has any framing. faults: parts that a careful server need not take.
    has_surplus: bytes stand behind it that are no request."""

    data: bytes
    method: str
    target: str = "/"
    version: str = "HTTP/1.1"
    has_body: bool = False
    upgrades: bool = False
    faults: int = 0
    has_surplus: bool = False

    @property
    def is_hidden(self) -> bool:
        """ASGI does not show all of its target: uvicorn leaves out an authority and a fragment, and refuses what is not
        ASCII."""
        return self.target[:1] != "/" or "#" in self.target or not self.target.isascii()

    @property
    def is_last(self) -> bool:
        return self.version != "HTTP/1.1" or b"close" in self.data

    @property
    def is_beyond_uvicorn(self) -> bool:
        """It refuses what its parser does not know."""
        return self.method not in KNOWN_TO_UVICORN or self.version not in ("HTTP/1.0", "HTTP/1.1") or self.is_hidden

    @property
    def stands_alone(self) -> bool:
        """uvicorn answers what it can not parse before the requests that are pipelined ahead of it, even in the midst of an
        answer."""
        return self.faults > 0 or self.is_beyond_uvicorn

    def __repr__(self) -> str:
        return repr(self.data if len(self.data) < 1500 else self.data[:1500] + b"...")


GOODBYE = Request(b"GET /plain/goodbye HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", "GET", "/plain/goodbye")

text = st.binary(max_size=12).map(lambda data: data.translate(None, bytes(range(32)) + b"\x7f").strip())
tokens = st.sampled_from(["X-A", "x-b", "X_C", "Accept", "User-Agent", "X-Debug", "Cookie", "Via", "Origin", "Referer", "!#$%&'*+-.^_`|~9"])

methods = st.sampled_from(["GET"] * 8 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] * 2 + ["M-SEARCH", "PURGE"])
odd_methods = st.sampled_from(["get", "FOO", "CONNECT", "TRACE", "GE T", "G@T", "", "PRI", "X" * 40])

segments = st.sampled_from(
    ["a", "chunked", "long", "empty", "304", "204", "close", "trailers", "%41", "%2F", "%2e%2e", "..", ".", "", "a;b=c", "%zz", "%", "'\"<>", "~!$&()*+,=:@", "\xfc", "a%20b", "404"]
)
prefixes = st.sampled_from(["/plain"] * 6 + ["/strip", "/fixed", "/old", "/denied", "/get", "/users/7", "/users/%37", "/small", "/none", "/%70lain", "//plain", "/plain/../fixed", "/fixed/..;/plain"])
queries = st.sampled_from([""] * 4 + ["?", "?a=b", "?a=b&c=%20d", "?x=/../y", "??", "?a?b", "?\xfc=\xe9", "?%", "?a=b+c"])
targets = st.tuples(prefixes, st.lists(segments, max_size=3), queries).map(lambda parts: "/".join([parts[0], *parts[1]]) + parts[2])
odd_targets = st.sampled_from(
    ["*", "plain", "/plain/a#frag", "/plain\\a", "http://test/plain/a", "http://other.test/a?b", "HTTP://OTHER.test", "http://u@test/plain", "ftp://test/plain",
     "https://test/plain/a", "http:///plain", "/plain/a b", "/plain/\x7f", "/plain/\x01", "/plain/\ta", "test:80", "", "/plain/" + "a" * 17000, "/plain/" + "a" * 8000, "?a", "http://test?x"]
)  # fmt: skip

versions = st.sampled_from(["HTTP/1.1"] * 10 + ["HTTP/1.0"])
odd_versions = st.sampled_from(["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0", "http/1.1", "HTTP/1.1 ", "HTTP/11", "", "HTTP/1", "HTTP/1.10", "HTP/1.1"])

hosts = st.sampled_from([["Host: test"]] * 8 + [["Host: other.test"], ["host: TEST:80"], ["HOST:test"], ["Host:  test\t"], ["Host: [::1]:80"]])
odd_hosts = st.sampled_from(
    [[], ["Host: test", "Host: test"], ["Host: a, b"], ["Host: a b"], ["Host:"], ["Host: u@test"], ["Host: a/b"], ["Host: test:port"], ["Host: \xfc"], ["Host: a..b"], ["Host: [::1"]]
)

usual_fields = st.sampled_from(
    ["Connection: keep-alive", "Connection: X-A", "Connection: x-a, , X-Debug", "Connection: Host", "Connection: content-length, x-forwarded-for", "Connection: keep-alive, close",
     "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "TE: gzip;q=0.5", "Trailer: X-A", "Proxy-Authorization: Basic eA==", "HTTP2-Settings: AAMA",
     "X-Forwarded-For: 192.0.2.9", "X-Forwarded-For: 192.0.2.9, 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Real-IP: 192.0.2.9", "X_Forwarded_For: 192.0.2.9",
     "Forwarded: for=192.0.2.9;proto=https", "Forwarded: for=\"[2001:db8::1]\"", "X-Request-ID: from-the-client", "x-request-id: one\r\nx-request-id: two",
     "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "traceparent: nonsense", "tracestate: a=b", "Via: 1.0 fred", "Via: 1.1 a, 1.1 b",
     "Accept: text/html", "Accept-Encoding: gzip", "Cookie: a=b", "Cookie: a=b\r\nCookie: c=d", "Authorization: Bearer x", "Range: bytes=0-1", "If-None-Match: \"x\"", "Max-Forwards: 0",
     "Upgrade: h2c", "Content-Type: text/plain", "Content-Encoding: gzip", "Date: Tue, 24 Nov 2026 12:00:00 GMT"]
)  # fmt: skip
free_fields = st.tuples(tokens, st.sampled_from([":", ": ", ":\t", ":  "]), text, st.sampled_from(["", " ", "\t"])).map(
    lambda parts: parts[0] + parts[1] + parts[2].decode("latin-1") + parts[3]
)
odd_fields = st.sampled_from(
    ["no colon", "X-A : b", " leading: a", "\tleading: a", "na(me: x", "n\xe4me: x", ": empty", "X-A: a\0b", "X-A: a\rb", "X-A: a\nb", "X-A: a\r\n folded", "X-A: a\x01b", "X-A: a\x7fb", "X-A\0: b", "X-A\t: b",
     "X-A: " + "a" * 9000, "X-A: " + "a" * 40000, *["\r\n".join(f"X-{i}: {i}" for i in range(n)) for n in (90, 120)], "Connection: close", "Connection: upgrade\r\nUpgrade: h2c", "Expect: 100-continue", "Expect: 200-ok"]
)  # fmt: skip

bodies = st.sampled_from([b"", b"a", b"hello", b"12345678", b"123456789", b"GET /plain/smuggled HTTP/1.1\r\nHost: test\r\n\r\n", bytes(range(256)), b"x" * 70000])


def chunked(body: bytes, size: int, extension: str = "", trailers: str = "") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension.encode("latin-1"), piece) for piece in pieces)
    return coded + b"0\r\n" + trailers.encode("latin-1") + b"\r\n"


@st.composite
def framings(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """Fields and bytes of a body that is whole."""
    body = draw(bodies)
    kind = draw(st.sampled_from(["length", "chunked"]))
    if kind == "length":
        return [draw(st.sampled_from(["Content-Length: ", "content-length:"])) + str(len(body))], body
    extension = draw(st.sampled_from(["", "", ";a=b", ';a="b;c"', ";a"]))
    trailers = draw(st.sampled_from(["", "", "X-Sum: 1\r\n"]))
    return [draw(st.sampled_from(["Transfer-Encoding: chunked", "transfer-encoding:CHUNKED"]))], chunked(body, draw(st.sampled_from([1, 3, 1000, 100000])) if len(body) < 1000 else 30000, extension, trailers)


odd_framings = st.sampled_from(
    [(["Content-Length: 5", "Content-Length: 5"], b"hello"), (["Content-Length: 5, 5"], b"hello"), (["Content-Length: 5", "Content-Length: 4"], b"hello"), (["Content-Length: +5"], b"hello"),
     (["Content-Length: 0x5"], b"hello"), (["Content-Length: -1"], b""), (["Content-Length:"], b""), (["Content-Length: 5 "], b"hello"), (["Content-Length: 05"], b"hello"), (["Content-Length: 99999999999999999999"], b""),
     (["Content-Length: 5", "Transfer-Encoding: chunked"], chunked(b"hello", 5)), (["Transfer-Encoding: chunked", "Content-Length: 5"], chunked(b"hello", 5)), (["Transfer-Encoding: gzip, chunked"], chunked(b"hello", 5)),
     (["Transfer-Encoding: chunked, chunked"], chunked(b"hello", 5)), (["Transfer-Encoding: identity"], b""), (["Transfer-Encoding: xchunked"], chunked(b"hello", 5)), (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], chunked(b"hello", 5)),
     (["Transfer-Encoding: chunked, identity"], chunked(b"hello", 5)), (["Transfer-Encoding: \x0bchunked"], chunked(b"hello", 5)), (["Transfer-Encoding: gzip"], b"hello"), (["Transfer-Encoding: chunked;q=1"], chunked(b"hello", 5)), (["Transfer-Encoding:"], chunked(b"hello", 5)),
     (["Transfer-Encoding: chunked"], b"5 \r\nhello\r\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"0x5\r\nhello\r\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"+5\r\nhello\r\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"5\nhello\r\n0\r\n\r\n"),
     (["Transfer-Encoding: chunked"], b"5\r\nhelloX\r\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"5\r\nhello\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"\r\nhello\r\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"g\r\nhello\r\n0\r\n\r\n"),
     (["Transfer-Encoding: chunked"], b"5;\0\r\nhello\r\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"5;a=\nb\r\nhello\r\n0\r\n\r\n"), (["Transfer-Encoding: chunked"], b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
     (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n"), (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n")]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, *, oddities: int) -> Request:
    """oddities: how many of its parts may be such that no careful server takes them."""
    parts = ("method", "target", "version", "host", "field", "framing", "surplus")
    odd = set(draw(st.lists(st.sampled_from(parts), min_size=oddities, max_size=oddities)))
    method = draw(odd_methods if "method" in odd else methods)
    target = draw(odd_targets if "target" in odd else targets)
    version = draw(odd_versions if "version" in odd else versions)
    fields = draw(st.lists(st.one_of(usual_fields, free_fields), max_size=5))
    if "field" in odd:
        fields.insert(draw(st.integers(0, len(fields))), draw(odd_fields))
    lines, body = [], b""
    if "framing" in odd:
        lines, body = draw(odd_framings)
    elif draw(st.booleans()) or method in ("POST", "PUT", "PATCH"):
        lines, body = draw(framings())
    listed = [*fields, *draw(odd_hosts if "host" in odd else hosts), *lines]
    if draw(st.booleans()):
        listed.reverse()
    space = draw(st.sampled_from(["", "", "", "\r\n"]))
    head = space + "\r\n".join([f"{method} {target} {version}".rstrip() if not version else f"{method} {target} {version}", *listed, "", ""])
    upgrades = any("upgrade" in line.lower() for line in fields)
    surplus = draw(st.sampled_from([b"lo", b"hello\r\n\r\n", b"\r\n\r\n", b"\0"])) if "surplus" in odd else b""
    return Request(
        head.encode("latin-1") + body + surplus, method, target, version,
        has_body=bool(lines), upgrades=upgrades, faults=len(odd), has_surplus=bool(surplus),
    )  # fmt: skip


@dataclass
class Conversation:
    """What a client sends on one connection, in pieces. pipelined: without waiting for answers."""

    requests: list[Request]
    cuts: list[int] = field(default_factory=list)
    pipelined: bool = False

    @property
    def groups(self) -> list[list[Request]]:
        """What is sent before any answer is waited for. Behind the last request of a connection nothing is sent until it has
        its answer: a server may close with a reset then, which would overtake the answer."""
        groups: list[list[Request]] = [[]]
        for request in self.requests:
            groups[-1].append(request)
            if not self.pipelined or request.is_last:
                groups.append([])
        return groups

    def for_uvicorn(self) -> Conversation:
        return replace(self, pipelined=self.pipelined and not any(said.stands_alone for said in self.requests[:-1]))

    def pieces(self, data: bytes) -> list[bytes]:
        ends = sorted({cut % (len(data) + 1) for cut in self.cuts} - {0, len(data)})
        return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    count = draw(st.integers(0, 2))
    said = [draw(requests(oddities=0)) for _ in range(count)]
    said.append(draw(requests(oddities=draw(st.sampled_from([0, 0, 1, 1, 1, 2])))))
    pipelined = draw(st.booleans()) and not any(request.upgrades for request in said)
    return Conversation([*said, GOODBYE], draw(st.lists(st.integers(1, 2000), max_size=4)), pipelined)


# ---------------------------------------------------------------- the origin


async def by_path(visit: Visit) -> None:
    """The target's last segment says what kind of answer it is."""
    await visit.read_body()
    request = visit.request
    kind = request.target.partition(b"?")[0].rpartition(b"/")[2]
    body = {b"long": b"y" * 200000, b"empty": b""}.get(kind, b"from the origin")
    fields = (
        b"X-Origin: yes\r\nServer: origin\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-B: \xfc\r\nX-Hop: gone\r\nKeep-Alive: timeout=5\r\n"
        b"Via: 1.1 inner\r\n"
    )
    connection = b"Connection: X-Hop\r\n"
    status, framing = b"200 OK", b"Content-Length: %d\r\n" % len(body)
    if kind == b"304":
        status, body = b"304 Not Modified", b""
    elif kind == b"204":
        status, body, framing = b"204 No Content", b"", b""
    elif kind == b"404":
        status = b"404 Missing"
    elif kind in (b"chunked", b"trailers"):
        trailers = "X-Sum: 1\r\nSet-Cookie: c=3\r\n" if kind == b"trailers" else ""
        body, framing = chunked(body, 5, ";x=y", trailers), b"Transfer-Encoding: chunked\r\n"
    elif kind == b"close":
        framing, connection = b"", b"Connection: close\r\n"
    if request.method == b"HEAD":
        body = b""
    await visit.send(b"HTTP/1.1 %b\r\n%b%b%b\r\n%b" % (status, fields, connection, framing, body))
    if kind == b"close":
        visit.close()


# ---------------------------------------------------------------- what is seen


@dataclass
class Seen:
    """By the client and by the origin. waits: the server wants more, or says no more. was_reset: the end of the connection
    overtook what was under way."""

    answers: list[Answer]
    requests: list[Received]
    waits: bool
    was_reset: bool


class Side:
    """A gateway with an origin of its own."""

    def __init__(self, port: int, server: Origin, target_idle: Any) -> None:
        self._port = port
        self._origin = server
        self._idle = target_idle

    def hear(self, conversation: Conversation) -> Seen:
        with connected(self._port) as client:
            client.sock.settimeout(SILENCE)
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers: list[Answer] = []
            waits = was_reset = False
            try:
                waits = not talk(client, conversation, answers)
            except TimeoutError:
                waits = True
            except ConnectionResetError:
                was_reset = True
        self._idle()
        get(self._origin.port, "/behind")  # all that was sent has arrived, also what was broken off
        requests, self._origin.requests[:] = [*self._origin.requests], []
        return Seen(answers, [request for request in requests if request.target != b"/behind"], waits, was_reset)


def talk(client: Client, conversation: Conversation, answers: list[Answer]) -> bool:
    """Whether the server closed the connection. Raises TimeoutError."""
    for group in conversation.groups:
        with contextlib.suppress(ConnectionError):  # a server may close before it has all; its answers tell
            for piece in conversation.pieces(b"".join(request.data for request in group)):
                client.send(piece)
        for request in group:
            if not next_answer(client, request.method, answers):
                return True
    return next_is_end(client)


def next_is_end(client: Client) -> bool:
    try:
        return client.closed()
    except ConnectionError:
        return True


def next_answer(client: Client, method: str, answers: list[Answer]) -> bool:
    """False at the end of the connection."""
    if not client._data and next_is_end(client):
        return False
    answer = client.read(method)
    if method == "HEAD" and is_refusal(answer) and answer.get("connection") == b"close":  # a parser does not go by a method
        answer.body = client.read_some(int(answer.get("content-length") or 0))
    answers.append(answer)
    return True


# ---------------------------------------------------------------- how it is compared

AN_ID = re.compile(rb"[0-9a-f]{32}")
NOT_COMPARED = {
    b"date": "uvicorn adds its own",
    b"connection": "of one hop: what it does to the connection is compared",
    b"transfer-encoding": "of one hop: the body is compared",
}
KNOWN_TO_UVICORN = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "M-SEARCH", "PURGE"}
NOT_COMPARED_IN_1_0 = NOT_COMPARED | {b"content-length": "held back to be counted, since uvicorn would send chunks"}
UVICORN_REFUSES = b"Invalid HTTP request received."


def visible(
    answer: Answer, request: Request, *, is_uvicorn: bool
) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool]:
    """What of an answer has to be the same. Ids are new in every request."""
    left_out = NOT_COMPARED_IN_1_0 if is_uvicorn and request.version == "HTTP/1.0" else NOT_COMPARED
    fields = [(name, AN_ID.sub(b"ID", value)) for name, value in answer.fields if name not in left_out]
    fields.sort(key=lambda pair: pair[0] == b"content-length")  # our class writes it with the framing, last
    if is_uvicorn:  # ASGI knows no empty query
        fields = [(name, value.removesuffix(b"?") if name == b"location" else value) for name, value in fields]
    return answer.status, fields, AN_ID.sub(b"ID", answer.body), answer.complete


def forwarded(requests: list[Received], *, is_uvicorn: bool) -> list[tuple[bytes, list[tuple[bytes, bytes]], bytes]]:
    """What of requests at the origin has to be the same."""
    return [
        (
            request.line.replace(b"? HTTP", b" HTTP") if is_uvicorn else request.line,  # ASGI knows no empty query
            [
                (name, AN_ID.sub(b"ID", value))
                for name, value in request.fields
                if not (name == b"host" and value.startswith(b"127.0.0.1:"))  # the origins' ports
                and not (is_uvicorn and name == b"x-sum")  # it takes trailers for fields
            ],
            request.body,
        )
        for request in requests
    ]


def from_origin(answer: Answer) -> bool:
    return answer.get("x-origin") is not None


def is_refusal(answer: Answer) -> bool:
    """The server could not, or would not, take the request as one."""
    return answer.get("x-origin") is None and answer.status in (400, 414, 431, 501, 505)


def compare(ours: Seen, theirs: Seen, conversation: Conversation, *, is_uvicorn: bool) -> None:
    """Answer by answer, until one side refuses a request: there, or just behind, the connection may end."""
    assert not ours.waits, "our own class left a client without an answer"
    assert not ours.was_reset, "our own class closed with bytes unread, and an answer was lost"
    assert is_uvicorn or not theirs.was_reset
    answered = 0
    raced = False
    for one, other, request in zip(ours.answers, theirs.answers, conversation.requests, strict=False):
        raced = bool(conversation.cuts) and request.has_body and not (from_origin(one) and from_origin(other))
        if raced:  # an answer of our own needs no body, and the next piece may show a fault of that: either can be first
            break
        if is_uvicorn and (is_refusal(one) or is_refusal(other)):
            assert refuse_alike(one, other, request), f"{one.status} and {other.status} for {request}"
            break
        if is_uvicorn and request.is_hidden:
            break
        assert visible(one, request, is_uvicorn=is_uvicorn) == visible(other, request, is_uvicorn=is_uvicorn)
        answered += 1
        if is_uvicorn and (request.has_surplus or request.method == "CONNECT"):
            break  # surplus may be a part of the next request's method; to uvicorn, nothing behind CONNECT is HTTP
    else:
        ends_alike(ours, theirs, conversation, is_uvicorn=is_uvicorn)
    reached = [sum(map(from_origin, seen.answers[:answered])) for seen in (ours, theirs)]
    until = reached[0] if is_uvicorn or raced else None
    assert forwarded(ours.requests[:until], is_uvicorn=is_uvicorn) == forwarded(theirs.requests[:until], is_uvicorn=is_uvicorn)
    for arrived in (*ours.requests, *theirs.requests):
        assert b"smuggled" not in arrived.target, "a body became a request"


def refuse_alike(one: Answer, other: Answer, request: Request) -> bool:
    """Whether the status is that of the same fault, or uvicorn's side has a reason to see another one, or none."""
    if UVICORN_REFUSES in other.body:
        unread = request.has_surplus or (request.has_body and one.get("x-origin") is None)  # by us, when we had answered
        return is_refusal(one) or request.is_beyond_uvicorn or unread
    if is_refusal(one) and is_refusal(other):
        no_version = {one.status, other.status} == {400, 505}  # as in HTTP/0.9
        return one.status == other.status or request.faults > 1 or request.is_hidden or no_version
    return request.is_hidden


def ends_alike(ours: Seen, theirs: Seen, conversation: Conversation, *, is_uvicorn: bool) -> None:
    """All answers that both gave are the same: who stopped first had a reason to."""
    if theirs.was_reset:  # by uvicorn, which closes with bytes unread
        return
    number = min(len(ours.answers), len(theirs.answers))
    if len(ours.answers) == len(theirs.answers):
        assert ours.waits == theirs.waits or is_uvicorn  # which has no deadlines
        return
    assert is_uvicorn
    last = conversation.requests[number - 1]
    if len(theirs.answers) == number:
        unanswered = conversation.requests[number]
        if theirs.waits and unanswered.upgrades and unanswered.has_body:
            return  # its parser takes what is behind an upgrade for another protocol's, and waits for the body
        # closed with a reset that overtook its refusal; no second request in HTTP/1.0
        assert is_refusal(ours.answers[number]) or last.version == "HTTP/1.0", f"only it ended after {last}"
        return
    assert last.has_body, f"only we ended after {last}"
    assert ours.answers[number - 1].get("x-origin") is None, f"only we ended after {last}"  # whose body nobody wanted


# ---------------------------------------------------------------- the test


@pytest.fixture(scope="module", params=["a stranger", "a trusted proxy"])
def trusted(request: pytest.FixtureRequest) -> list[str]:
    return [] if request.param == "a stranger" else ["127.0.0.0/8"]


def side(stack: contextlib.ExitStack, trusted: list[str], **how: Any) -> Side:
    server = stack.enter_context(origin(by_path))
    options = {
        "server": {"trusted_proxies": trusted, "timeouts": {"header": "1s", "body_idle": "1s"}},
        "upstreams": {"origin": {"targets": [server.url]}},
        "routes": ROUTES,
    }
    front = stack.enter_context(gateway(options, **how))
    target = front.target()
    return Side(front.port, server, lambda: front.until(lambda: target.in_flight == 0))


@pytest.fixture(scope="module")
def ours(trusted: list[str]) -> Iterator[Side]:
    with contextlib.ExitStack() as stack:
        yield side(stack, trusted, entrance="express")


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest, trusted: list[str]) -> Iterator[tuple[Side, bool]]:
    how, is_uvicorn = OTHERS[request.param]
    with contextlib.ExitStack() as stack:
        yield side(stack, trusted, **how), is_uvicorn


@settings(max_examples=EXAMPLES, derandomize="GATEWAY_TEST_EXAMPLES" not in os.environ, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
@given(conversation=conversations())
@pytest.mark.timeout(0 if EXAMPLES > 1000 else 120)
def test_both_entrances_show_the_same_to_client_and_origin(ours: Side, other: tuple[Side, bool], conversation: Conversation):
    theirs, is_uvicorn = other
    seen = theirs.hear(conversation.for_uvicorn() if is_uvicorn else conversation)
    compare(ours.hear(conversation), seen, conversation, is_uvicorn=is_uvicorn)
