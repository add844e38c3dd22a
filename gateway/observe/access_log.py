"""One line for every exchange, as JSON or in the combined format of web servers.

Lines are made many at once, of the exchanges that have ended meanwhile (code that has just run costs half of what it
costs among other code), and written many at once, never with a wait: what a pipe whose reader is slow does not take
stays in the buffer, and what does not fit into the buffer is dropped, counted and reported.

Everything that a client chose is escaped: a line is always ASCII without control characters, whatever was sent.
"""

from __future__ import annotations

import logging
import os
import re
import select
import stat
import time
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from gateway.deadlines import NEVER
from gateway.observe.trace import USUAL_LENGTH
from gateway.rfc.octets import changing_all_but

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange

    Format = Literal["json", "combined"]
    # method, host, route, status, HTTP version, entrance, upstream, target, attempts, reused
    _Facts = tuple[bytes, bytes, str, int, str, str, str, str, int, bool]

MADE_AT_ONCE: Final = 64  # lines; so many exchanges are kept until then
FLUSH_SIZE: Final = 32 * 1024  # bytes that are worth a write; half of what a pipe holds
FLUSH_AFTER: Final = 0.9  # seconds that a line may wait for more, so that it is written within one
BUFFER_LIMIT: Final = 4 * 1024 * 1024  # bytes kept while they are not taken
STDOUT: Final = 1
CLOSE_PATIENCE: Final = 1.0  # seconds that the last write may wait for a reader

_MEMO_ENTRIES: Final = 2048
_MEMO_LENGTH: Final = 512  # bytes
_Key = TypeVar("_Key")

log = logging.getLogger("gateway.access_log")


class Output(Protocol):
    """Where lines go."""

    def write(self, lines: bytes, patience: float) -> int:
        """How many bytes were taken, within `patience` seconds. Raises OSError where that can never be."""

    def close(self) -> None: ...


class AccessLog:
    """A `finish` policy that owns the lines until they are written.

    path: a file to append to; standard output where none is given. output: takes the lines in its place. clock: seconds
    since the epoch; the times of exchanges are those of `deadlines.now`. buffer_limit: bytes, may be set.
    """

    __slots__ = (
        "_clock", "_deadlines", "_dropped", "_ended", "_failing", "_flush_at", "_line", "_lines", "_make_stamp", "_now",
        "_output", "_rest", "_second", "_size", "_stamp", "bucket", "buffer_limit", "deadline",
    )  # fmt: skip

    def __init__(
        self,
        format: Format,  # noqa: A002 - the word of the configuration
        deadlines: Deadlines,
        *,
        path: Path | str | None = None,
        output: Output | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        lines = _FORMATS[format]()
        self._line = lines.line
        self._make_stamp = lines.stamp
        self._output = output or (LogFile(path) if path is not None else Stream(STDOUT))
        self._deadlines = deadlines
        self._now = deadlines.now
        self._clock = clock
        self._second = -1
        self._stamp = b""
        self.buffer_limit = BUFFER_LIMIT
        self._rest = b""  # of an earlier write
        self._ended: list[Exchange] = []  # without a line until now
        self._lines: list[bytes] = []
        self._size = 0
        self._flush_at = FLUSH_SIZE
        self._dropped = 0
        self._failing = False
        self.deadline = NEVER
        self.bucket = NEVER

    def finish(self, exchange: Exchange) -> None:
        if not exchange.status and exchange.error is None:  # handed over: whoever took it has a line of its own
            return
        ended = self._ended
        if self.deadline == NEVER:
            self._deadlines.watch(self, exchange.ended_at + FLUSH_AFTER)
        ended.append(exchange)
        if len(ended) >= MADE_AT_ONCE:
            self._make_lines()
            if self._size >= self._flush_at:
                self._flush(0.0)

    def _make_lines(self) -> None:
        since_the_epoch = self._clock() - self._now()
        for exchange in self._ended:
            if self._size >= self.buffer_limit:
                self._dropped += 1
                continue
            at = since_the_epoch + exchange.ended_at
            second = int(at)
            if second != self._second:
                self._second = second
                self._stamp = self._make_stamp(time.gmtime(second))
            line = self._line(exchange, self._stamp, int((at - second) * 1000))
            self._lines.append(line)
            self._size += len(line)
        self._ended.clear()

    def expired(self, now: float) -> None:
        """The oldest line has waited long enough."""
        self._make_lines()
        self._flush(0.0)
        if self._size:
            self._deadlines.watch(self, now + FLUSH_AFTER)

    def close(self) -> None:
        """Write what is left, as far as somebody takes it."""
        self._make_lines()
        self._flush(CLOSE_PATIENCE)
        self._dropped += self._rest.count(b"\n")
        self._rest = b""
        self._size = 0
        self._report_dropped()
        self._output.close()

    def _flush(self, patience: float) -> None:
        data = b"".join((self._rest, *self._lines))
        self._lines.clear()
        try:
            self._rest = data[self._output.write(data, patience) :]
            self._failing = False
        except OSError as exc:
            self._rest = b""
            self._dropped += data.count(b"\n")
            if not self._failing:
                log.error("access log can not be written", extra={"reason": str(exc)})  # noqa: TRY400 - a full disk needs no traceback
            self._failing = True
        self._size = len(self._rest)
        self._flush_at = self._size + FLUSH_SIZE
        if not self._size:
            self.deadline = NEVER
            self._report_dropped()

    def _report_dropped(self) -> None:
        if self._dropped:
            log.warning("access log lines dropped", extra={"lines": self._dropped})
            self._dropped = 0


# ---------------------------------------------------------------- lines


class JsonLines:
    """Times are seconds, `duration` and `first_byte` since the request began. What an exchange does not have is left
    out, but for `route`, which is null then."""

    __slots__ = ("_agents", "_clients", "_facts", "_last_facts", "_last_text")

    def __init__(self) -> None:
        self._agents: dict[bytes, bytes] = {}
        self._clients: dict[str, bytes] = {}
        self._facts: dict[_Facts, bytes] = {}
        self._last_facts: object = None  # many lines repeat those of the one before
        self._last_text = b""

    def stamp(self, moment: time.struct_time) -> bytes:
        return time.strftime('{"time":"%Y-%m-%dT%H:%M:%S', moment).encode()

    def line(self, exchange: Exchange, stamp: bytes, milliseconds: int) -> bytes:
        started = exchange.started_at
        path = exchange.mount + exchange.path if exchange.mount else exchange.path
        if exchange.query is not None:
            path = path + b"?" + exchange.query
        error = exchange.error
        status = exchange.status
        if error is not None:
            status = status or error.status
        facts: _Facts = (
            exchange.method, exchange.host, "" if exchange.route is None else exchange.route.name, status,
            exchange.http_version, exchange.entrance, exchange.upstream_name,
            "" if exchange.target is None else exchange.target.name, exchange.attempts, exchange.reused,
        )  # fmt: skip
        if facts != self._last_facts:
            self._last_text = self._facts.get(facts) or self._new_facts(facts)
            self._last_facts = facts
        first_byte = more = trace = b""
        if exchange.first_byte_at:
            first_byte = b',"first_byte":' + _seconds(exchange.first_byte_at - started)
        if error is not None:
            more = f',"error":{quoted(error.proxy_error)},"reason":{quoted(str(error))}'.encode()
        parent = exchange.traceparent
        if parent:
            trace = b',"traceparent":"%b"' % (parent if len(parent) == USUAL_LENGTH else _plain(parent))
        return b'%b%b%b%b%b%b%b,"bytes_out":%b,"duration":%b%b%b%b%b}\n' % (
            stamp, _MILLISECONDS[milliseconds],
            _plain(exchange.request_id) if exchange.trusted else exchange.request_id,  # hex digits, where it is ours
            self._clients.get(exchange.client) or self._new_client(exchange.client), _plain(path),
            self._last_text, _number(exchange.bytes_in), _number(exchange.bytes_out),
            _seconds(exchange.ended_at - started), first_byte, more, self._sender(exchange), trace,
        )  # fmt: skip

    def _sender(self, exchange: Exchange) -> bytes:
        """What the request's fields say; kept with those that more than one request has."""
        fields = exchange.fields
        if fields is not None and fields.noted is not None:
            return fields.noted
        agent = referer = b""
        for name, value in exchange.headers:
            if name == b"user-agent":
                agent = value
            elif name == b"referer":
                referer = value
        text = b""
        if agent:
            text = self._agents.get(agent) or self._new_agent(agent)
        if referer:
            text = b'%b,"referer":"%b"' % (text, _plain(referer))
        if fields is not None:
            fields.noted = text
        return text

    def _new_client(self, client: str) -> bytes:
        text = f'","client":{quoted(client)},"path":"'.encode()
        _remember(self._clients, client, text)
        return text

    def _new_facts(self, facts: _Facts) -> bytes:
        method, host, route, status, version, entrance, upstream, target, attempts, reused = facts
        text = (
            f'","method":{quoted(method.decode("latin-1"))},"host":{quoted(host.decode("latin-1"))},'
            f'"route":{quoted(route) if route else "null"},"status":{status},'
            f'"http":{quoted(version)},"entrance":{quoted(entrance)},'
        )
        if upstream:
            text += f'"upstream":{quoted(upstream)},'
        if target:
            text += f'"target":{quoted(target)},"attempts":{attempts},"reused":{"true" if reused else "false"},'
        data = f'{text}"bytes_in":'.encode()
        _remember(self._facts, facts, data)
        return data

    def _new_agent(self, agent: bytes) -> bytes:
        text = f',"user_agent":{quoted(agent.decode("latin-1"))}'.encode()
        _remember(self._agents, agent, text)
        return text


def _plain(value: bytes) -> bytes:
    """As it stands between the quotes of a JSON text."""
    if value.translate(_IN_TEXTS) == value:
        return value
    return quoted(value.decode("latin-1"))[1:-1].encode()


def _seconds(value: float) -> bytes:
    """With microseconds. (`%.6f` takes several times as long.)"""
    micro = int(value * 1e6 + 0.5)
    milli = micro // 1000
    if 0 <= milli < 1000:
        return b"0.%b%b" % (_DIGITS[milli], _DIGITS[micro - 1000 * milli])
    return f"{value:.6f}".encode()


def _number(value: int) -> bytes:
    return str(value).encode() if value else b"0"


class CombinedLines:
    """The format of nginx and Apache; quotes, backslashes and all but visible ASCII become \\xHH, as in nginx."""

    __slots__ = ()

    def stamp(self, moment: time.struct_time) -> bytes:
        return time.strftime(f"%d/{_MONTHS[moment.tm_mon - 1]}/%Y:%H:%M:%S +0000", moment).encode()

    def line(self, exchange: Exchange, stamp: bytes, _milliseconds: int) -> bytes:
        agent = exchange.header(b"user-agent") or b""
        referer = exchange.header(b"referer") or b""
        path = exchange.mount + exchange.path
        if exchange.query is not None:
            path += b"?" + exchange.query
        request = f"{exchange.method.decode('latin-1')} {path.decode('latin-1')} HTTP/{exchange.http_version}"
        status = exchange.status or (exchange.error.status if exchange.error is not None else 0)
        return (
            f"{_escaped(exchange.client) or '-'} - - [{stamp.decode()}] "
            f'"{_escaped(request)}" {status} {exchange.bytes_out} '
            f'"{_escaped(referer.decode("latin-1")) or "-"}" "{_escaped(agent.decode("latin-1")) or "-"}"\n'
        ).encode("ascii")


_FORMATS: Final[dict[str, type[JsonLines | CombinedLines]]] = {"json": JsonLines, "combined": CombinedLines}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale
_DIGITS: Final = tuple(b"%03d" % number for number in range(1000))
_MILLISECONDS: Final = tuple(b'.%03dZ","request_id":"' % number for number in range(1000))
_IN_TEXTS: Final = changing_all_but([byte for byte in range(32, 127) if byte not in b'"\\'])
_TO_ESCAPE: Final = re.compile(r"[^ !#-\[\]-~]")


def _remember(memo: dict[_Key, bytes], key: _Key, text: bytes) -> None:
    """Most requests repeat what others said. What is long is not kept; a full memo is cleared."""
    if len(text) > _MEMO_LENGTH:
        return
    if len(memo) >= _MEMO_ENTRIES:
        memo.clear()
    memo[key] = text


def _escaped(text: str) -> str:
    return _TO_ESCAPE.sub(_hex, text) if _TO_ESCAPE.search(text) else text


def _hex(match: re.Match[str]) -> str:
    character = match[0]
    return "".join([f"\\x{byte:02X}" for byte in character.encode("latin-1" if character <= "\xff" else "utf-8")])


# ---------------------------------------------------------------- where lines go


class Stream:
    """A file descriptor that is open already, such as that of standard output.

    A pipe is shared with other workers, and keeps a write in one piece only up to PIPE_BUF bytes: it gets whole lines
    up to that size, and only while it has room.
    """

    __slots__ = ("_fd", "_is_file", "_poll")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, lines: bytes, patience: float) -> int:
        if self._is_file:
            return os.write(self._fd, lines)
        taken = 0
        until = time.monotonic() + patience
        try:
            while taken < len(lines) and self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                end = taken + select.PIPE_BUF
                if end < len(lines):
                    end = lines.rfind(b"\n", taken, end) + 1 or end
                taken += os.write(self._fd, lines[taken:end])
        except BlockingIOError:  # somebody else was quicker, on a descriptor that does not wait
            return taken
        return taken

    def close(self) -> None:
        """The descriptor is not ours."""


class LogFile:
    """Appends to a file, and to a new one of that name when the old one was moved away (logrotate)."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._fd = -1
        self._fd = self._open()

    def write(self, lines: bytes, _patience: float) -> int:
        if self._was_moved():
            opened = self._open()
            os.close(self._fd)
            self._fd = opened
        return os.write(self._fd, lines)

    def close(self) -> None:
        """Later writes are errors, and never go to another file that has got the same number."""
        fd, self._fd = self._fd, -1
        os.close(fd)

    def __del__(self) -> None:
        """A log that another configuration has no more lives as long as the exchanges that began with it."""
        if self._fd >= 0:
            os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _was_moved(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(found, os.fstat(self._fd))
