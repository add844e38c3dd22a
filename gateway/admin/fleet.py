"""The admin side of a process: its control socket, and the listener of `[admin]` where this process has it.

What comes by the control socket is for this process alone. What comes by the listener is for all processes that serve
the same file: whichever of them has the listener passes it on, and its answer says how each of them did.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.admin.api import Order, follow
from gateway.admin.client import ask_all, joined
from gateway.admin.control import OFFERS
from gateway.admin.drain import restore
from gateway.admin.guard import Guard
from gateway.admin.listener import AdminListener
from gateway.admin.offer import Offer

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from gateway.admin.api import Answer
    from gateway.admin.control import ControlDirectory
    from gateway.gateway import Gateway

log = logging.getLogger("gateway.admin")

SETTLED: Final = 1_000_000_000  # nanoseconds after which a directory has no second change of the same time


class Fleet:
    """directory: None where there is no file to be known by: then this process is alone."""

    def __init__(self, gateway: Gateway, directory: ControlDirectory | None) -> None:
        self._gateway = gateway
        self._directory = directory
        self._listeners: list[AdminListener] = []
        self._offer: Offer | None = None
        self._known: dict[int, Path] = {}
        self._seen_at = -1

    async def start(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Be there for orders, and for a successor that wants our listening sockets. Without a place for its own socket
        a process still serves, and knows no others."""
        if self._directory is None:
            return
        try:
            sock = self._directory.bind()
            if sockets:
                self._offer = Offer(sockets)
                self._offer.start(self._directory.bind(OFFERS))
        except OSError as exc:
            log.warning("no control socket: commands do not reach this process", extra={"reason": str(exc)})
            self._directory = None
            return
        await self._recall(self._directory.drained())
        self._gateway.keep_drained = self._keep_drained
        self._gateway.snapshot.siblings.ask = self._purge_others
        await self._listen(sock, Guard(None, local=True), self._alone)

    async def open(self, sock: socket.socket, guard: Guard) -> None:
        """Take orders for all on this socket, too."""
        log.info("admin listener", extra={"address": sock.getsockname()})
        await self._listen(sock, guard, self._all)

    async def wait_for_successor(self, seconds: float) -> None:
        if self._offer is not None:
            await self._offer.wait(seconds)

    def keep_sockets(self) -> None:
        """They are closed: nothing to hand over any more."""
        if self._offer is not None and self._directory is not None:
            self._offer.stop()
            self._directory.release(OFFERS)

    async def stop(self) -> None:
        self.keep_sockets()
        if self._directory is not None:
            self._directory.release()
        for listener in self._listeners:
            await listener.stop()
        self._listeners.clear()

    async def _listen(self, sock: socket.socket, guard: Guard, answer: Callable[[Order], Awaitable[Answer]]) -> None:
        listener = AdminListener(guard, answer)
        await listener.start(sock)
        self._listeners.append(listener)

    async def _recall(self, names: list[str]) -> None:
        """What was drained in an earlier process, unless a Redis knows better."""
        snapshot = self._gateway.snapshot
        shared = snapshot.shared_drains
        if shared is not None:
            shared.kept = self._keep_drained
            if shared.is_current and not shared.was_lost:
                return
        restore(snapshot.upstreams.values(), names)
        if shared is not None and shared.is_current:
            for name in names:
                await shared.change(name, out=True)

    def _keep_drained(self, names: list[str]) -> None:
        assert self._directory is not None
        try:
            self._directory.keep_drained(names)
        except OSError as exc:
            log.warning("drained targets are not kept for a restart", extra={"reason": str(exc)})

    async def _alone(self, order: Order) -> Answer:
        return await follow(self._gateway, order)

    async def _all(self, order: Order) -> Answer:
        """This process first: where it can not do it, the others need not try."""
        mine = await follow(self._gateway, order)
        if not mine.well:
            return joined([mine])
        return joined([mine, *await ask_all(self._others(), order)])

    async def _purge_others(self, body: dict[str, Any]) -> None:
        others = self._others()
        if others:
            await ask_all(others, Order("POST", "/cache/purge", body))

    def _others(self) -> dict[int, Path]:
        """The control sockets of the other processes, which are looked for when the directory has changed."""
        if self._directory is None:
            return {}
        changed_at = self._directory.changed_at()
        if changed_at != self._seen_at or time.time_ns() - changed_at < SETTLED:  # its clock is too coarse to tell two changes
            self._seen_at = changed_at
            self._known = self._directory.sockets()
            self._known.pop(os.getpid(), None)
        return self._known
