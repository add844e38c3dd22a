"""Lines that can be read back, and a buffer that never waits and never grows."""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import os
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deadlines import Deadlines
from gateway.errors import BadRequest, ClientGone, ConnectionRefused
from gateway.exchange import Exchange
from gateway.observe.access_log import AccessLog
from gateway.observe.log_outputs import LogFile, Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WALL = 1_700_000_000.0625  # 2023-11-14T22:13:20.062Z


class HandLoop:
    """A loop whose clock is turned by hand."""

    def __init__(self) -> None:
        self.now = 50.0
        self._calls: list[tuple[float, int, Callable[[], None], asyncio.TimerHandle]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, call, (), self)  # type: ignore[arg-type]
        heapq.heappush(self._calls, (when, len(self._calls), call, handle))
        return handle

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """The handle says so itself."""

    def turn(self, seconds: float) -> None:
        self.now += seconds
        while self._calls and self._calls[0][0] <= self.now:
            *_, call, handle = heapq.heappop(self._calls)
            if not handle.cancelled():
                call()


class Reader:
    """Takes `room` bytes at most, and then nothing."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.data = b""
        self.room = room
        self.writes = 0
        self.closed = False

    def write(self, lines: bytes, _patience: float) -> int:
        taken = lines[: self.room]
        self.room -= len(taken)
        self.data += taken
        self.writes += 1
        return len(taken)

    def close(self) -> None:
        self.closed = True


def make(form: str = "json", **options: Any) -> tuple[AccessLog, HandLoop, Reader]:
    loop = HandLoop()
    reader = options.pop("reader", None) or Reader()
    log = AccessLog(form, Deadlines(loop, loop.time), output=reader, clock=lambda: WALL, **options)  # type: ignore[arg-type]
    return log, loop, reader


def exchange(**fields: Any) -> Exchange:
    made = Exchange(
        fields.pop("method", b"GET"), fields.pop("path", b"/a"), fields.pop("query", None), fields.pop("headers", []),
        started_at=49.5,
    )  # fmt: skip
    made.status = 200
    made.ended_at = 50.0
    made.client = "192.0.2.1"
    made.host = b"example.com"
    made.request_id = b"id1"
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def line_of(form: str, *exchanges: Exchange) -> str:
    log, _, reader = make(form)
    for each in exchanges:
        log.finish(each)
    log.close()
    return reader.data.decode("ascii")


# ---------------------------------------------------------------- JSON


def test_a_json_line_says_all_of_a_forwarded_exchange():
    entry = json.loads(
        line_of(
            "json",
            exchange(
                query=b"q=1",
                mount=b"/m",
                headers=[(b"user-agent", b"curl/8"), (b"referer", b"https://a/")],
                route=SimpleNamespace(name="api"),
                target=SimpleNamespace(name="api-1"),
                upstream_name="api",
                attempts=2,
                reused=True,
                first_byte_at=49.75,
                bytes_in=3,
                bytes_out=4,
                traceparent=b"00-1-2-01",
                entrance="http1",
            ),
        )
    )
    assert entry == {
        "time": "2023-11-14T22:13:20.062Z",
        "request_id": "id1",
        "client": "192.0.2.1",
        "path": "/m/a?q=1",
        "method": "GET",
        "host": "example.com",
        "route": "api",
        "status": 200,
        "http": "1.1",
        "entrance": "http1",
        "upstream": "api",
        "target": "api-1",
        "attempts": 2,
        "reused": True,
        "bytes_in": 3,
        "bytes_out": 4,
        "duration": 0.5,
        "first_byte": 0.25,
        "user_agent": "curl/8",
        "referer": "https://a/",
        "traceparent": "00-1-2-01",
    }


def test_a_refused_request_has_its_error_and_no_target():
    entry = json.loads(line_of("json", exchange(status=400, error=BadRequest('bad "Host"'))))
    assert entry["error"] == "http_request_error"
    assert entry["reason"] == 'bad "Host"'
    assert entry["route"] is None
    assert not entry.keys() & {"target", "upstream", "attempts", "first_byte", "user_agent", "traceparent"}


def test_a_client_that_left_before_its_answer_has_status_499():
    assert json.loads(line_of("json", exchange(status=0, error=ClientGone())))["status"] == 499
    assert " 499 0 " in line_of("combined", exchange(status=0, error=ClientGone()))


def test_an_empty_query_is_seen():
    assert json.loads(line_of("json", exchange(query=b"")))["path"] == "/a?"


def test_what_was_handed_over_has_no_line():
    assert line_of("json", exchange(status=0)) == ""


def test_facts_that_repeat_are_not_mixed_up():
    lines = line_of(
        "json", *[exchange(status=status, reused=flag) for status in (200, 404) for flag in (True, False, True)]
    )
    assert [json.loads(line)["status"] for line in lines.splitlines()] == [200, 200, 200, 404, 404, 404]


hostile = st.binary(max_size=40)


@given(
    method=hostile,
    path=hostile,
    query=st.none() | hostile,
    host=hostile,
    agent=hostile,
    referer=hostile,
    reason=st.text(max_size=20),
)
def test_every_json_line_gives_back_what_was_sent(
    method, path, query, host, agent, referer, reason
):
    sent = exchange(
        method=method, path=path, query=query, host=host, request_id=host, trusted=True, client=reason, traceparent=agent,
        headers=[(b"user-agent", agent), (b"referer", referer)], error=ConnectionRefused(reason or "-"),
    )  # fmt: skip
    text = line_of("json", sent, sent)
    first, second, end = text.split("\n")
    assert first == second
    assert end == ""
    assert text.isascii()
    entry = json.loads(first)
    target = path if query is None else path + b"?" + query
    assert entry["method"].encode("latin-1") == method
    assert entry["path"].encode("latin-1") == target
    assert entry["host"].encode("latin-1") == entry["request_id"].encode("latin-1") == host
    assert entry.get("user_agent", "").encode("latin-1") == entry.get("traceparent", "").encode("latin-1") == agent
    assert entry.get("referer", "").encode("latin-1") == referer
    assert entry["client"] == reason
    assert entry["reason"] == (reason or "-")


@pytest.mark.parametrize("byte", range(256))
def test_no_control_character_is_in_a_line(byte: int):
    text = b"/a%cb" % byte
    line = line_of("json", exchange(path=text, headers=[(b"referer", text)], request_id=text, trusted=True))
    assert json.loads(line)["path"].encode("latin-1") == text
    assert " " <= min(line.rstrip("\n")) <= max(line) <= "~"


# ---------------------------------------------------------------- combined


def test_a_combined_line_is_what_log_readers_know():
    line = line_of("combined", exchange(query=b"q=1", bytes_out=12, headers=[(b"user-agent", b"curl/8")]))
    assert line == '192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] "GET /a?q=1 HTTP/1.1" 200 12 "-" "curl/8"\n'


COMBINED = re.compile(r'(\S+) - - \[[^\]]+\] "((?:[^"\\]|\\x[0-9A-F]{2})*)" 200 0 "([^"]*)" "([^"]*)"\n')


@given(path=hostile, agent=hostile, referer=hostile, client=st.text(max_size=10))
def test_a_combined_line_holds_no_control_character_and_no_quote_of_a_client(path, agent, referer, client):
    line = line_of(
        "combined", exchange(path=path, client=client, headers=[(b"user-agent", agent), (b"referer", referer)])
    )
    assert line.isascii()
    assert line[:-1].isprintable()
    assert line[:-1].count('"') == 6
    read_back = line[:-1].split('"')[5].encode()
    read_back = re.sub(rb"\\x(..)", lambda found: bytes.fromhex(found[1].decode()), read_back)
    assert read_back == (agent or b"-")


# ---------------------------------------------------------------- the buffer


def test_lines_wait_for_more_but_not_over_a_second():
    log, loop, reader = make()
    log.finish(exchange())
    log.finish(exchange())
    assert not reader.data
    loop.turn(1.0)
    assert reader.data.count(b"\n") == 2
    assert reader.writes == 1
    loop.turn(10.0)
    assert reader.writes == 1
    log.finish(exchange())
    loop.turn(1.0)
    assert reader.data.count(b"\n") == 3


def test_many_lines_are_written_at_once_without_a_timer():
    log, _, reader = make()
    for _ in range(1000):
        log.finish(exchange())
    assert reader.data.count(b"\n") > 700
    assert reader.writes <= 8


def test_what_a_reader_does_not_take_is_given_to_it_later_in_order():
    log, loop, reader = make(reader=Reader(room=100))
    for number in range(10):
        log.finish(exchange(path=b"/%d" % number))
    loop.turn(1.0)
    assert len(reader.data) == 100
    log.finish(exchange(path=b"/10"))
    reader.room = 1 << 20
    loop.turn(1.0)
    assert [json.loads(line)["path"] for line in reader.data.splitlines()] == [f"/{number}" for number in range(11)]


def test_a_reader_that_stopped_costs_lines_and_not_memory(caplog):
    log, loop, reader = make(reader=Reader(room=0))
    log.buffer_limit = 5000
    for _ in range(100):
        log.finish(exchange())
    reader.room = 1 << 20
    loop.turn(1.0)
    kept = reader.data.count(b"\n")
    assert 10 < kept < 40
    assert [(r.getMessage(), r.lines) for r in caplog.records] == [("access log lines dropped", 100 - kept)]
    log.finish(exchange())
    loop.turn(1.0)
    assert reader.data.count(b"\n") == kept + 1


class Full:
    def write(self, _lines: bytes, _patience: float) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Nothing to close."""


def test_a_disk_that_is_full_is_reported_once_and_the_lines_are_counted(caplog):
    log, loop, _ = make(reader=Full())
    for _ in range(3):
        log.finish(exchange())
        loop.turn(1.0)
    log.close()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == ["access log can not be written"]
    assert sum(record.lines for record in caplog.records if record.levelno == logging.WARNING) == 3


def test_closing_writes_the_rest_and_closes_the_output():
    log, _, reader = make()
    log.finish(exchange())
    log.close()
    assert reader.data.count(b"\n") == 1
    assert reader.closed


# ---------------------------------------------------------------- where lines go


def test_a_file_is_appended_to(tmp_path: Path):
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    log = AccessLog("json", Deadlines(HandLoop()), path=path)  # type: ignore[arg-type]
    log.finish(exchange())
    log.close()
    before, line = path.read_bytes().splitlines()
    assert before == b"before"
    assert json.loads(line)["path"] == "/a"


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path):
    path = tmp_path / "access.log"
    output = LogFile(path)
    output.write(b"1\n", 0)
    path.rename(tmp_path / "access.log.1")
    output.write(b"2\n", 0)
    path.unlink()
    output.write(b"3\n", 0)
    output.close()
    assert (tmp_path / "access.log.1").read_bytes() == b"1\n"
    assert path.read_bytes() == b"3\n"


def test_a_straggler_after_the_end_writes_nowhere(tmp_path: Path):
    loop = HandLoop()
    log = AccessLog("json", Deadlines(loop, loop.time), path=tmp_path / "access.log")  # type: ignore[arg-type]
    log.close()
    with (tmp_path / "other").open("wb"):
        log.finish(exchange())
        loop.turn(1.0)
    assert (tmp_path / "other").read_bytes() == b""


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_a_pipe_gets_whole_lines_that_it_keeps_in_one_piece(pipe):
    reading, writing = pipe
    lines = b"".join(b"%d%s\n" % (number, b"x" * 997) for number in range(8))
    assert Stream(writing).write(lines, 0) == len(lines)
    assert os.read(reading, 1 << 20) == lines


def test_a_full_pipe_takes_what_it_can_and_nobody_waits(pipe):
    reading, writing = pipe
    output = Stream(writing)
    lines = (b"y" * 999 + b"\n") * 200
    taken = output.write(lines, 0)
    assert 0 < taken < len(lines)
    assert taken % 1000 == 0
    assert output.write(lines[taken:], 0) == 0
    assert len(os.read(reading, 1 << 20)) == taken
    assert output.write(lines[taken : taken + 5000], 0) == 5000


def test_a_line_longer_than_a_pipe_keeps_together_is_written_all_the_same(pipe):
    reading, writing = pipe
    line = b"z" * 10_000 + b"\n"
    assert Stream(writing).write(line + b"1\n", 0) == len(line) + 2
    assert os.read(reading, 1 << 20) == line + b"1\n"


def test_a_pipe_whose_reader_has_gone_is_an_error():
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        Stream(writing).write(b"1\n", 0)
    os.close(writing)


def test_a_descriptor_of_a_file_takes_all_at_once(tmp_path: Path):
    with (tmp_path / "out").open("wb") as file:
        assert Stream(file.fileno()).write(b"1\n" * 50_000, 0) == 100_000
