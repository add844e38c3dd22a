"""One line for every exchange, as JSON or in the combined format of web servers.

The event loop only makes the line and keeps it; a thread writes them, many at once, so that a slow disk or a reader of
our standard output that has stopped stops nothing else. What does not fit into the buffer meanwhile is dropped, counted
and reported.

Everything that a client chose is escaped: a line is always ASCII without control characters, whatever was sent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import select
import stat
import threading
import time
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Final, Literal

from gateway.deadlines import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange

    Format = Literal["json", "combined"]
    Write = Callable[[bytes], None]
    Line = Callable[[Exchange, float, str, int], str]
    Stamp = Callable[[time.struct_time], str]

FLUSH_SIZE: Final = 64 * 1024  # characters that are worth a write
FLUSH_AFTER: Final = 0.9  # seconds that a line may wait for more, so that it is written within one
BUFFER_LIMIT: Final = 4 * 1024 * 1024  # characters kept while a write does not come to its end
CLOSE_PATIENCE: Final = 5.0  # seconds for the last write

log = logging.getLogger("gateway.access_log")


class AccessLog:
    """A `finish` policy that owns the lines until they are written.

    write: called in a thread of its own with whole lines. clock: seconds since the epoch; the times of exchanges are
    those of `deadlines.now`.
    """

    __slots__ = (
        "_clock", "_deadlines", "_dropped", "_line", "_lines", "_make_stamp", "_queue", "_second", "_size", "_stamp",
        "_thread", "_write", "_writing", "bucket", "deadline",
    )  # fmt: skip

    def __init__(
        self,
        format: Format,  # noqa: A002 - the word of the configuration
        write: Write,
        deadlines: Deadlines,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._line, self._make_stamp = _FORMATS[format]
        self._write = write
        self._deadlines = deadlines
        self._clock = clock
        self._second = -1
        self._stamp = ""
        self._lines: list[str] = []
        self._size = 0
        self._dropped = 0
        self._writing = False
        self._queue: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.deadline = NEVER
        self.bucket = NEVER

    def finish(self, exchange: Exchange) -> None:
        if not exchange.status and exchange.error is None:  # handed over: whoever took it has a line of its own
            return
        if self._size >= BUFFER_LIMIT:
            self._dropped += 1
            return
        now = self._deadlines.now()
        at = self._clock()
        second = int(at)
        if second != self._second:
            self._second = second
            self._stamp = self._make_stamp(time.gmtime(second))
        line = self._line(exchange, now, self._stamp, int((at - second) * 1000))
        if not self._lines:
            self._deadlines.watch(self, now + FLUSH_AFTER)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_SIZE and not self._writing:
            self._flush()

    def expired(self, now: float) -> None:
        """The oldest line has waited long enough."""
        self._report_dropped()
        if self._writing:
            self._deadlines.watch(self, now + FLUSH_AFTER)
        else:
            self._flush()

    def _report_dropped(self) -> None:
        if self._dropped:
            log.warning("access log lines dropped", extra={"lines": self._dropped})
            self._dropped = 0

    def _flush(self) -> None:
        """Let the thread write what there is."""
        if not self._lines:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
            self._thread.start()
        self._writing = True
        self._queue.put(self._lines)
        self._lines = []
        self._size = 0
        self.deadline = NEVER

    def close(self) -> None:
        """Write the rest and end the thread, unless nobody takes the lines."""
        self._report_dropped()
        self._flush()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(CLOSE_PATIENCE)
            if self._thread.is_alive():
                log.warning("access log not written to its end")
            self._thread = None

    def _run(self) -> None:
        """The thread. `_writing` is set by the event loop and reset here, each by one assignment."""
        failing = False
        while (lines := self._queue.get()) is not None:
            try:
                self._write("".join(lines).encode("ascii"))
                failing = False
            except (OSError, ValueError) as exc:  # a disk that is full, a file object that is closed
                if not failing:
                    log.error("access log can not be written", extra={"reason": str(exc), "lines": len(lines)})  # noqa: TRY400 - a full disk has no use for a traceback
                failing = True
            self._writing = False


# ---------------------------------------------------------------- lines


def json_line(exchange: Exchange, now: float, stamp: str, milliseconds: int) -> str:
    """Times are seconds. What does not apply to an exchange is left out, but for `route`, which is null then."""
    agent, referer = _browser_fields(exchange)
    route = exchange.route
    error = exchange.error
    started = exchange.started_at
    line = (
        f'{{"time":"{stamp}.{milliseconds:03d}Z","request_id":{quoted(exchange.request_id.decode("latin-1"))},'
        f'"client":{quoted(exchange.client)},"method":{quoted(exchange.method.decode("latin-1"))},'
        f'"host":{quoted(exchange.host.decode("latin-1"))},"path":{quoted(_target(exchange))},'
        f'"route":{"null" if route is None else quoted(route.name)},'
        f'"status":{exchange.status or (error.status if error is not None else 0)},'
        f'"bytes_in":{exchange.bytes_in},"bytes_out":{exchange.bytes_out},"duration":{now - started:.6f},'
        f'"http":{quoted(exchange.http_version)},"entrance":"{exchange.entrance}"'
    )
    if exchange.upstream_name:
        line += f',"upstream":{quoted(exchange.upstream_name)}'
    if exchange.target is not None:
        line += (
            f',"target":{quoted(exchange.target.name)},"attempts":{exchange.attempts},'
            f'"reused":{"true" if exchange.reused else "false"}'
        )
    if exchange.first_byte_at:
        line += f',"first_byte":{exchange.first_byte_at - started:.6f}'
    if error is not None:
        line += f',"error":{quoted(error.proxy_error)},"reason":{quoted(str(error))}'
    if agent:
        line += f',"user_agent":{quoted(agent.decode("latin-1"))}'
    if referer:
        line += f',"referer":{quoted(referer.decode("latin-1"))}'
    if exchange.traceparent:
        line += f',"traceparent":{quoted(exchange.traceparent.decode("latin-1"))}'
    return line + "}\n"


def combined_line(exchange: Exchange, _now: float, stamp: str, _milliseconds: int) -> str:
    agent, referer = _browser_fields(exchange)
    error = exchange.error
    request = f"{exchange.method.decode('latin-1')} {_target(exchange)} HTTP/{exchange.http_version}"
    return (
        f"{_escaped(exchange.client) or '-'} - - [{stamp}] "
        f'"{_escaped(request)}" {exchange.status or (error.status if error is not None else 0)} {exchange.bytes_out} '
        f'"{_escaped(referer.decode("latin-1")) or "-"}" "{_escaped(agent.decode("latin-1")) or "-"}"\n'
    )


_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale


def json_stamp(moment: time.struct_time) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment)


def combined_stamp(moment: time.struct_time) -> str:
    return time.strftime(f"%d/{_MONTHS[moment.tm_mon - 1]}/%Y:%H:%M:%S +0000", moment)


_FORMATS: Final[dict[str, tuple[Line, Stamp]]] = {
    "json": (json_line, json_stamp),
    "combined": (combined_line, combined_stamp),
}
_TO_ESCAPE: Final = re.compile(r"[^ !#-\[\]-~]")


def _target(exchange: Exchange) -> str:
    """The request target as the client sent it, the mount prefix included."""
    path = exchange.mount + exchange.path
    return (path if exchange.query is None else path + b"?" + exchange.query).decode("latin-1")


def _browser_fields(exchange: Exchange) -> tuple[bytes, bytes]:
    agent = exchange.user_agent
    referer = b""
    for name, value in exchange.headers:
        if name == b"user-agent":
            agent = value
        elif name == b"referer":
            referer = value
    return agent, referer


def _escaped(text: str) -> str:
    """Quotes, backslashes and all but visible ASCII become \\xHH, as in nginx."""
    return _TO_ESCAPE.sub(_hex, text)


def _hex(match: re.Match[str]) -> str:
    return "".join([f"\\x{byte:02X}" for byte in match[0].encode("utf-8" if match[0] > "\xff" else "latin-1")])


# ---------------------------------------------------------------- where lines go


_PIPE_BUF: Final[int] = getattr(select, "PIPE_BUF", 4096)


class Descriptor:
    """A file that is open already, such as standard output.

    A pipe is shared with other workers and keeps a write in one piece up to PIPE_BUF bytes only, so that it gets that
    much at a time, in whole lines.
    """

    __slots__ = ("_fd", "_is_file")

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)

    def __call__(self, data: bytes) -> None:
        if self._is_file:
            _write_all(self._fd, data)
            return
        start = 0
        while start < len(data):
            end = start + _PIPE_BUF
            if end < len(data):
                end = data.rfind(b"\n", start, end) + 1 or data.find(b"\n", end) + 1
            _write_all(self._fd, data[start:end])
            start = end


class LogFile:
    """Appends to a file, and to a new one of that name when the old one was moved away (logrotate)."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._fd = self._open()

    def __call__(self, data: bytes) -> None:
        if self._was_moved():
            opened = self._open()
            os.close(self._fd)
            self._fd = opened
        _write_all(self._fd, data)

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _was_moved(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        return True


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
