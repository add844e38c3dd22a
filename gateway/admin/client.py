"""Orders to processes over their control sockets, and what each says.

An order goes to all of them at once. Processes whose socket nobody listens on have died: they are left out.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from gateway.admin.api import Answer
from gateway.admin.control import control_directories
from gateway.admin.guard import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.admin.api import Order

PATIENCE: Final = 60.0  # seconds for a process to follow an order: a reload starts local apps
MAX_ANSWER: Final = 16 << 20  # bytes
NOT_REACHED: Final = 504


def give(file: str | Path, order: Order) -> Answer:
    """To all processes that serve the file, from a process that does not. Raises Refused where there is none."""
    sockets = {pid: path for one in control_directories(file) for pid, path in one.sockets().items()}
    return joined(asyncio.run(ask_all(sockets, order)))


async def ask_all(sockets: Mapping[int, Path], order: Order) -> list[Answer]:
    """What the processes say, in the order of their ids; one that does not answer gives a failed Answer."""
    answers = await asyncio.gather(*(_ask(pid, path, order) for pid, path in sorted(sockets.items())))
    return [answer for answer in answers if answer is not None]


async def _ask(pid: int, path: Path, order: Order) -> Answer | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await _exchange(path, order)
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    except TimeoutError:
        reason = f"no answer within {PATIENCE:g} s"
    except (OSError, IndexError, ValueError) as exc:
        reason = f"no answer: {exc}"
    return Answer(NOT_REACHED, {"pid": pid, "ok": False, "status": NOT_REACHED, "error": reason})


async def _exchange(path: Path, order: Order) -> Answer:
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_ANSWER)
    try:
        body = json.dumps(order.body).encode() if order.body else b""
        writer.write(
            f"{order.method} {order.target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        head, _, said = (await reader.read(MAX_ANSWER)).partition(b"\r\n\r\n")
        while not reader.at_eof():
            said += await reader.read(MAX_ANSWER)
    finally:
        writer.close()
    return Answer(int(head.split(b" ", 2)[1]), json.loads(said))


def joined(answers: list[Answer]) -> Answer:
    """One answer from those of all processes: well where all are. Raises Refused where there is none."""
    if not answers:
        raise Refused(503, "no process answers")
    worst = max(answer.status for answer in answers)
    fields = next(answer.headers for answer in answers if answer.status == worst)
    return Answer(worst, {"ok": worst < 400, "processes": [answer.body for answer in answers]}, fields)
