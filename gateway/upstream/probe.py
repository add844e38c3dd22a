"""Active checks: a target is asked now and then whether it is well, over a connection of its own.

Each probe makes a fresh connection, beside those of the requests and their limits: a target that no longer accepts
connections looks well to one that is kept, and a probe must not take the last place from a client.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import random
from typing import TYPE_CHECKING, Final

import httpx

from gateway.upstream.target import TargetLimits
from gateway.upstream.transport import target_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.upstream.target import Target

BODY_LIMIT: Final = 65536  # bytes of an answer that are looked at
JITTER: Final = 0.1  # of the interval, both ways: the probes of many gateways must not fall together

APART: Final = TargetLimits(max_connections=16, max_pending=0, idle=0)  # one is in use, others may be slow to close


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What is asked, and what is well. interval, timeout: seconds. passes, fails: equal results that change the verdict.
    body: what the answer has to contain. starts_down: not used until a probe has passed."""

    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    interval: float = 5.0
    timeout: float = 2.0
    passes: int = 2
    fails: int = 3
    statuses: frozenset[int] = field(default=frozenset(range(200, 300)))
    body: bytes = b""
    starts_down: bool = False


class Prober:
    """Probes one target until it is stopped, and tells each result: what was wrong, or nothing."""

    __slots__ = ("_check", "_client", "_report", "_target", "_task")

    def __init__(self, target: Target, check: HealthCheck, report: Callable[[str], None]) -> None:
        self._check = check
        self._target = target.beside(APART)
        self._report = report
        self._client = target_client(self._target)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        name = f"probes of {self._target.name}"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._client.aclose()
        await self._target.stop()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        interval = self._check.interval
        if not self._check.starts_down:
            await asyncio.sleep(interval * random())  # noqa: S311 - to spread them
        while True:
            due = loop.time() + interval * (1 - JITTER + 2 * JITTER * random())  # noqa: S311
            self._report(await self.probe())
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def probe(self) -> str:
        """What is wrong, or nothing."""
        check = self._check
        try:
            async with asyncio.timeout(check.timeout):
                return await self._ask()
        except TimeoutError:
            return f"no answer within {check.timeout:g} s"
        except httpx.HTTPError as exc:
            return str(exc) or type(exc).__name__

    async def _ask(self) -> str:
        check = self._check
        async with self._client.stream(check.method, check.path, headers=[*check.headers.items()]) as response:
            if response.status_code not in check.statuses:
                return f"status {response.status_code}"
            if check.body:
                return await _body_fault(response, check.body)
        return ""


async def _body_fault(response: httpx.Response, wanted: bytes) -> str:
    seen = b""
    async for chunk in response.aiter_raw():
        seen = (seen + chunk)[:BODY_LIMIT]
        if wanted in seen:
            return ""
        if len(seen) == BODY_LIMIT:
            break
    return "the wanted text is not in its body"
