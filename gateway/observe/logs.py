"""Event logs to standard error: a constant message with its facts behind it; as JSON where no terminal is.

The facts are what a call gives as `extra`. uvicorn's loggers are joined to ours, so that a process speaks one language.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import TextIO

LOGGERS: Final = ("gateway", "uvicorn")

_NOT_FACTS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_BARE: Final = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f-\x9f]+")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def configure_logging(level: int | str = logging.INFO, stream: TextIO | None = None) -> None:
    """Once for a process, by whoever starts it. Called again it replaces what it did before."""
    output = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(output)
    handler.setFormatter(HumanFormatter() if output.isatty() else JsonFormatter())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper() if isinstance(level, str) else level)
    for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


class HumanFormatter(logging.Formatter):
    """`12:00:01.250 WARNING  target ejected  target=api-1 failures=3`"""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        message = _CONTROLS.sub(" ", record.getMessage())
        line = f"{stamp}.{int(record.msecs):03d} {record.levelname:<8} {message}"
        facts = " ".join([f"{name}={_bare(value)}" for name, value in _facts(record).items()])
        if facts:
            line += f"  {facts}"
        trouble = _trouble(self, record)
        return f"{line}\n{trouble}" if trouble else line


class JsonFormatter(logging.Formatter):
    """A line with `time` (UTC), `level`, `logger`, `message`, and the facts beside them."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            **_facts(record),
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trouble = _trouble(self, record)
        if trouble:
            entry["exception"] = trouble
        return json.dumps(entry, default=str)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _NOT_FACTS}


def _bare(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
