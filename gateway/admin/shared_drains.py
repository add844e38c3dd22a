"""Targets that are out by hand, for all gateways that share a Redis: whichever is told, all of them follow.

A set in Redis names them, and a message says that it has changed; who was away reads it anew. The set has a mark among
its members while it is kept: where that is missing Redis has lost it, and every gateway says again what it knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from gateway.admin.drain import drained
from gateway.redis.client import Redis
from gateway.redis.link import Away
from gateway.redis.resp import ErrorReply, command
from gateway.redis.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.redis.address import RedisAddress
    from gateway.upstream.upstream import Upstream

KEPT: Final = b"."  # the mark; no name of a target is so short
MAX_UNSENT: Final = 1024  # changes that wait for Redis; those beyond stay with this gateway
MAX_NAMES: Final = 10_000  # that are heeded

log = logging.getLogger("gateway.admin")


class SharedDrains:
    """bound: seconds. prefix: of the names in Redis. kept: called with all names whenever they change. was_lost: Redis
    knew nothing when it was read first."""

    def __init__(self, address: RedisAddress, bound: float, prefix: bytes) -> None:
        self.kept: Callable[[list[str]], None] = lambda _names: None
        self.was_lost = False
        self._redis = Redis(address, bound)
        self._key = prefix + b"drained"
        self._subscriber = Subscriber(self._redis, self._key, self._told, self._join, lambda: None)
        self._upstreams: tuple[Upstream, ...] = ()
        self._names: set[str] | None = None
        self._unsent: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_current(self) -> bool:
        return self._subscriber.is_listening

    async def start(self) -> None:
        await self._redis.start()
        self._task = asyncio.create_task(self._follow())
        await self._subscriber.start()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._subscriber.stop()
        await self._redis.stop()

    def apply_to(self, upstreams: Iterable[Upstream]) -> None:
        """These are the upstreams from now on."""
        self._upstreams = tuple(upstreams)
        self._apply()

    async def change(self, name: str, *, out: bool) -> None:
        """Tell the others of a target, `upstream/url`. While Redis is away they are told when it is back."""
        try:
            await self._send(b"SADD" if out else b"SREM", name.encode())
            self._unsent.pop(name, None)
        except Away as exc:
            if name in self._unsent or len(self._unsent) < MAX_UNSENT:
                self._unsent[name] = out
            log.warning("other gateways do not know yet", extra={"target": name, "drained": out, "reason": str(exc)})

    async def _send(self, verb: bytes, *members: bytes) -> None:
        replies = await self._redis.ask(
            self._key, (command(verb, self._key, *members), command(b"PUBLISH", self._key, b"changed"))
        )
        if isinstance(replies[0], ErrorReply):
            raise Away(str(replies[0]))

    # ------------------------------------------------------------ being told

    def _told(self, _message: bytes) -> None:
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._read()
            except Away as exc:
                log.info("drained targets were missed", extra={"reason": str(exc)})
                self._subscriber.drop()  # and read when it is back

    async def _join(self) -> None:
        """After every time without a connection. Raises Away."""
        for name, out in list(self._unsent.items()):
            await self._send(b"SADD" if out else b"SREM", name.encode())
            if self._unsent.get(name) is out:  # and not changed meanwhile
                del self._unsent[name]
        await self._read()

    async def _read(self) -> None:
        members = await self._members()
        if KEPT not in members:
            self.was_lost = self.was_lost or self._names is None
            await self._send(b"SADD", KEPT, *(name.encode() for name in drained(self._upstreams)))
            members = await self._members()
        self._names = {member.decode("utf-8", "replace") for member in members[:MAX_NAMES]}
        self._apply()

    async def _members(self) -> list[bytes]:
        (reply,) = await self._redis.ask(self._key, (command(b"SMEMBERS", self._key),), bulk=True)
        if not isinstance(reply, list):
            raise Away(f"the drained targets can not be read: {reply!r}")
        return [member for member in reply if isinstance(member, bytes)]

    def _apply(self) -> None:
        if self._names is None:
            return
        changed = False
        for upstream in self._upstreams:
            prefix = f"{upstream.name}/"
            urls = {name.removeprefix(prefix) for name in self._names if name.startswith(prefix)}
            if urls != upstream.drained:
                changed = True
                upstream.drained.clear()
                upstream.drained.update(urls)
                upstream.set_targets(upstream.targets)
                log.info("drained targets", extra={"upstream": upstream.name, "targets": sorted(urls)})
        if changed:
            self.kept(drained(self._upstreams))
