"""Another configuration for a gateway that runs: read, checked, built and put in place; or else nothing changes.

Exchanges go on with the snapshot they began with, over the same targets: these live on by their address. What is not
needed any more ends when what is under way on it has, and after `drain_timeout` at the latest.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.config import ConfigError, lint, load
from gateway.config.compare import compare
from gateway.errors import GatewayError
from gateway.lasting import Retiring, begin, end
from gateway.snapshot import build_snapshot

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.config.compare import Changes
    from gateway.gateway import Gateway
    from gateway.lasting import Running

LOOK_AGAIN: Final = 1.0  # seconds between two looks at the file that is watched
LOOK_AT_BUSY: Final = 0.1  # seconds between two looks at what is still under way on removed targets

log = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Outcome:
    """changes: None where nothing was changed, as there are faults. restart: settings that the process began with, and
    that are others now. digest: by which processes can be compared."""

    changes: Changes | None
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)
    digest: str = ""

    def told(self) -> dict[str, Any]:
        """As JSON."""
        if self.changes is None:
            return {"faults": self.faults}
        told = self.changes.told()
        return {
            "changes": told, "lines": self.changes.lines(), "restart": self.restart, "warnings": self.warnings,
            "digest": self.digest,
        }  # fmt: skip


class Reloading:
    """Reloads are made one after the other. The tasks are its own: `stop` cancels and awaits them."""

    def __init__(self, gateway: Gateway, file: str) -> None:
        self._gateway = gateway
        self._file = file
        self._started_with = gateway.snapshot.config
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def now(self) -> Outcome:
        """Read the file again, and serve by it if it has no faults."""
        async with self._lock:
            try:
                outcome = await self._change(await asyncio.to_thread(load, self._file))
            except ConfigError as error:
                outcome = Outcome(None, [str(fault) for fault in error.faults])
            except (GatewayError, OSError, ValueError) as error:  # a local app that does not start, a file that has gone
                outcome = Outcome(None, [str(error)])
        if outcome.changes is None:
            log.error("configuration not reloaded", extra={"file": self._file, "faults": outcome.faults})
        else:
            log.info("configuration reloaded", extra={"file": self._file, **_facts(outcome)})
        return outcome

    def soon(self) -> None:
        """As `now`, by a task of its own. One that waits for its turn is enough: it will read what is there then."""
        if self._next is None:
            self._next = self._run(self._in_turn())

    def watch(self) -> None:
        """Reload whenever the file has become another one, from now on."""
        self._run(self._watch())

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ one change

    async def _change(self, config: Config) -> Outcome:
        gateway = self._gateway
        before = gateway.snapshot.config
        draft = gateway.lasting.draft()
        snapshot = build_snapshot(config, gateway.deadlines, draft)
        await begin(draft)
        gateway.snapshot = snapshot
        left = draft.accept()
        for thing in left:
            if isinstance(thing, Retiring):
                thing.retire()
        if left:
            self._run(self._end(left, config.server.drain_timeout))
        return Outcome(
            compare(before, config),
            warnings=[str(warning) for warning in lint(config)],
            restart=compare(self._started_with, config).restart,
            digest=config.digest,
        )

    async def _end(self, left: list[Running], seconds: float) -> None:
        retiring = [thing for thing in left if isinstance(thing, Retiring)]
        try:
            async with asyncio.timeout(seconds):
                while any(thing.busy for thing in retiring):  # noqa: ASYNC110 - counters; their writers are the hot path
                    await asyncio.sleep(LOOK_AT_BUSY)
        except TimeoutError:
            log.warning("removed targets were still busy after drain_timeout")
        finally:
            await end(left)

    # ------------------------------------------------------------ by itself

    async def _in_turn(self) -> None:
        async with self._lock:
            self._next = None
        await self.now()

    async def _watch(self) -> None:
        """A file that is being written is left alone until it is the same twice."""
        known = await asyncio.to_thread(_stamp, self._file)
        seen = known
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            stamp = await asyncio.to_thread(_stamp, self._file)
            if stamp is not None and stamp == seen and stamp != known:
                known = stamp
                await self.now()
            seen = stamp

    def _run(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _facts(outcome: Outcome) -> dict[str, Any]:
    assert outcome.changes is not None
    facts: dict[str, Any] = {"changes": outcome.changes.lines() or "none"}
    if outcome.restart:
        facts["needs_restart"] = outcome.restart
    if outcome.warnings:
        facts["warnings"] = outcome.warnings
    return facts


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
