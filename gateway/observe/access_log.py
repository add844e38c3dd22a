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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange

    Format = Literal["json", "combined"]
    # method, host, route, status, HTTP version, entrance, upstream, target, attempts, reused
    _Facts = tuple[bytes, bytes, str, int, str, str, str, str, int, bool]

MADE_AT_ONCE: Final = 64  # lines; so many exchanges are kept until then
FLUSH_SIZE: Final = 32 * 1024  # characters that are worth a write; half of what a pipe holds
FLUSH_AFTER: Final = 0.9  # seconds that a line may wait for more, so that it is written within one
BUFFER_LIMIT: Final = 4 * 1024 * 1024  # characters kept while they are not taken
STDOUT: Final = 1
CLOSE_PATIENCE: Final = 1.0  # seconds that the last write may wait for a reader

_MEMO_ENTRIES: Final = 2048
_MEMO_LENGTH: Final = 512  # characters
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
    since the epoch; the times of exchanges are those of `deadlines.now`. buffer_limit: characters, may be set.
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
        self._stamp = ""
        self.buffer_limit = BUFFER_LIMIT
        self._rest = b""  # of an earlier write
        self._ended: list[tuple[Exchange, float]] = []  # with the time of their end, and without a line until now
        self._lines: list[str] = []
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
        now = self._now()
        if self.deadline == NEVER:
            self._deadlines.watch(self, now + FLUSH_AFTER)
        ended.append((exchange, now))
        if len(ended) >= MADE_AT_ONCE:
            self._make_lines()
            if self._size >= self._flush_at:
                self._flush(0.0)

    def _make_lines(self) -> None:
        since_the_epoch = self._clock() - self._now()
        for exchange, now in self._ended:
            if self._size >= self.buffer_limit:
                self._dropped += 1
                continue
            at = since_the_epoch + now
            second = int(at)
            if second != self._second:
                self._second = second
                self._stamp = self._make_stamp(time.gmtime(second))
            line = self._line(exchange, now, self._stamp, int((at - second) * 1000))
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
        data = self._rest + "".join(self._lines).encode("ascii")
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

    __slots__ = ("_agents", "_facts")

    def __init__(self) -> None:
        self._agents: dict[bytes, str] = {}
        self._facts: dict[_Facts, str] = {}

    def stamp(self, moment: time.struct_time) -> str:
        return time.strftime('{"time":"%Y-%m-%dT%H:%M:%S', moment)

    def line(self, exchange: Exchange, now: float, stamp: str, milliseconds: int) -> str:
        started = exchange.started_at
        path = exchange.mount + exchange.path
        if exchange.query is not None:
            path += b"?" + exchange.query
        error = exchange.error
        status = exchange.status
        more = ""
        if exchange.first_byte_at:
            more = ',"first_byte":%.6f' % (exchange.first_byte_at - started)
        if error is not None:
            status = status or error.status
            more += f',"error":{quoted(error.proxy_error)},"reason":{quoted(str(error))}'
        agent = referer = b""
        for name, value in exchange.headers:
            if name == b"user-agent":
                agent = value
            elif name == b"referer":
                referer = value
        if agent:
            more += self._agents.get(agent) or self._new_agent(agent)
        if referer:
            more += f',"referer":{quoted(referer.decode("latin-1"))}'
        if exchange.traceparent:
            more += f',"traceparent":{quoted(exchange.traceparent.decode("latin-1"))}'
        key = (
            exchange.method, exchange.host, "" if exchange.route is None else exchange.route.name, status,
            exchange.http_version, exchange.entrance, exchange.upstream_name,
            "" if exchange.target is None else exchange.target.name, exchange.attempts, exchange.reused,
        )  # fmt: skip
        duration = "%.6f" % (now - started)  # compiled, a format within an f-string is several times as slow
        return (
            f"{stamp}{_MILLISECONDS[milliseconds]}{quoted(exchange.request_id.decode('latin-1'))},"
            f'"client":{quoted(exchange.client)},"path":{quoted(path.decode("latin-1"))}'
            f'{self._facts.get(key) or self._new_facts(key)}"bytes_in":{exchange.bytes_in},'
            f'"bytes_out":{exchange.bytes_out},"duration":{duration}{more}}}\n'
        )

    def _new_facts(self, key: _Facts) -> str:
        method, host, route, status, version, entrance, upstream, target, attempts, reused = key
        text = (
            f',"method":{quoted(method.decode("latin-1"))},"host":{quoted(host.decode("latin-1"))},'
            f'"route":{quoted(route) if route else "null"},"status":{status},'
            f'"http":{quoted(version)},"entrance":{quoted(entrance)},'
        )
        if upstream:
            text += f'"upstream":{quoted(upstream)},'
        if target:
            text += f'"target":{quoted(target)},"attempts":{attempts},"reused":{"true" if reused else "false"},'
        _remember(self._facts, key, text)
        return text

    def _new_agent(self, agent: bytes) -> str:
        text = f',"user_agent":{quoted(agent.decode("latin-1"))}'
        _remember(self._agents, agent, text)
        return text


class CombinedLines:
    """The format of nginx and Apache; quotes, backslashes and all but visible ASCII become \\xHH, as in nginx."""

    __slots__ = ()

    def stamp(self, moment: time.struct_time) -> str:
        return time.strftime(f"%d/{_MONTHS[moment.tm_mon - 1]}/%Y:%H:%M:%S +0000", moment)

    def line(self, exchange: Exchange, _now: float, stamp: str, _milliseconds: int) -> str:
        agent = exchange.header(b"user-agent") or b""
        referer = exchange.header(b"referer") or b""
        path = exchange.mount + exchange.path
        if exchange.query is not None:
            path += b"?" + exchange.query
        request = f"{exchange.method.decode('latin-1')} {path.decode('latin-1')} HTTP/{exchange.http_version}"
        status = exchange.status or (exchange.error.status if exchange.error is not None else 0)
        return (
            f"{_escaped(exchange.client) or '-'} - - [{stamp}] "
            f'"{_escaped(request)}" {status} {exchange.bytes_out} '
            f'"{_escaped(referer.decode("latin-1")) or "-"}" "{_escaped(agent.decode("latin-1")) or "-"}"\n'
        )


_FORMATS: Final[dict[str, type[JsonLines | CombinedLines]]] = {"json": JsonLines, "combined": CombinedLines}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale
_MILLISECONDS: Final = tuple(f'.{number:03d}Z","request_id":' for number in range(1000))
_TO_ESCAPE: Final = re.compile(r"[^ !#-\[\]-~]")


def _remember(memo: dict[_Key, str], key: _Key, text: str) -> None:
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
