"""Events as people read them, and as machines do."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.logs import HumanFormatter, JsonFormatter, configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    names = ("gateway", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    before = [(log, log.handlers[:], log.propagate, log.level) for log in map(logging.getLogger, names)]
    yield
    for log, handlers, propagate, level in before:
        log.handlers[:] = handlers
        log.propagate = propagate
        log.setLevel(level)


def record(message: str, **facts: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelno": 30, "levelname": "WARNING", "name": "gateway", **facts})


def test_in_a_terminal_the_facts_stand_behind_the_message():
    out = Terminal()
    configure_logging("info", out)
    logging.getLogger("gateway.upstream").warning("target ejected", extra={"target": "api-1", "failures": 3})
    assert out.getvalue()[13:] == "WARNING  target ejected  target=api-1 failures=3\n"


def test_elsewhere_a_line_is_json():
    out = io.StringIO()
    configure_logging("info", out)
    logging.getLogger("gateway").warning("target ejected", extra={"target": "api-1", "failures": 3})
    entry = json.loads(out.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "warning",
        "logger": "gateway",
        "message": "target ejected",
        "target": "api-1",
        "failures": 3,
    }


def test_uvicorns_messages_join_ours():
    out = io.StringIO()
    logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
    configure_logging("info", out)
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7, extra={"color_message": "x"})
    entry = json.loads(out.getvalue())
    assert entry["message"] == "Started server process [7]"
    assert "color_message" not in entry


def test_what_is_below_the_level_is_not_said():
    out = io.StringIO()
    configure_logging("warning", out)
    logging.getLogger("gateway").info("quiet")
    assert out.getvalue() == ""


def test_configured_twice_it_speaks_once():
    out = io.StringIO()
    configure_logging("info", out)
    configure_logging("info", out)
    logging.getLogger("gateway").info("once")
    assert out.getvalue().count("once") == 1


def test_an_exception_is_told():
    out = io.StringIO()
    configure_logging("info", out)
    try:
        [].pop()
    except IndexError:
        logging.getLogger("gateway").exception("internal error")
    assert "IndexError: pop from empty list" in json.loads(out.getvalue())["exception"]
    assert out.getvalue().count("\n") == 1


@given(st.text())
def test_a_fact_can_not_begin_a_line_of_its_own(fact):
    line = HumanFormatter().format(record("event", fact=fact))
    assert not any(ord(character) < 32 for character in line)


@given(st.text(), st.text())
def test_a_json_line_gives_back_its_facts(message, fact):
    line = JsonFormatter().format(record("%s", args=(message,), fact=fact))
    assert "\n" not in line
    assert json.loads(line)["message"] == message
    assert json.loads(line)["fact"] == fact
