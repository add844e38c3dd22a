"""One line for every exchange (`log_lines`), to where they go (`log_outputs`).

Lines are made many at once, of the exchanges that have ended meanwhile (code that has just run costs half of what it
costs among other code), and written many at once, never with a wait: what a pipe whose reader is slow does not take
stays in the buffer, and what does not fit into the buffer is dropped, counted and reported.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.deadlines import NEVER
from gateway.observe.log_lines import FORMATS
from gateway.observe.log_outputs import LogFile, Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange
    from gateway.observe.log_lines import Format
    from gateway.observe.log_outputs import Output

MADE_AT_ONCE: Final = 64  # lines; so many exchanges are kept until then
FLUSH_SIZE: Final = 32 * 1024  # bytes that are worth a write; half of what a pipe holds
FLUSH_AFTER: Final = 0.9  # seconds that a line may wait for more, so that it is written within one
BUFFER_LIMIT: Final = 4 * 1024 * 1024  # bytes kept while they are not taken
STDOUT: Final = 1
CLOSE_PATIENCE: Final = 1.0  # seconds that the last write may wait for a reader

log = logging.getLogger("gateway.access_log")


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
        lines = FORMATS[format]()
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
