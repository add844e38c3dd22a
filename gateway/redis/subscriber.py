"""Being told: one connection of its own that listens to channels, and knows when it may have missed something.

Redis tells only those who are there. So this says when it begins to listen and when it ends, and a connection that
says nothing for a while is asked whether it is still one. Of a Cluster it listens to the node that is spoken to: any
other passes on what that one says, but can be away while it says it, and nobody would know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from gateway.redis.link import GRACE, Away
from gateway.redis.resp import Reply, command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.redis.address import Endpoint
    from gateway.redis.client import Redis
    from gateway.redis.link import Link

HEARTBEAT: Final = 0.5  # seconds between two questions; without an answer until the next one the connection is given up
FIRST_PAUSE: Final = 0.05  # seconds before it is tried again, if no server has come or gone until then
LONGEST_PAUSE: Final = 1.0
MAX_CHANNELS: Final = 10_000  # that are listened to for a while; with more nobody waits

_PING: Final = command(b"PING")

log = logging.getLogger("gateway.redis")


class Subscriber:
    """joined: awaited after every beginning, before `is_listening`; it may raise Away. left: called after every end.
    told: takes what comes on the channel that is always listened to. key: of the server that says it; else the channel is."""

    def __init__(
        self,
        redis: Redis,
        channel: bytes,
        told: Callable[[bytes], None],
        joined: Callable[[], Awaitable[None]],
        left: Callable[[], None],
        *,
        key: bytes = b"",
    ) -> None:
        self.is_listening = False
        self._redis = redis
        self._channel = channel
        self._key = key or channel
        self._told = told
        self._joined = joined
        self._left = left
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self._ready: dict[bytes, asyncio.Event] = {}
        self._link: Link | None = None
        self._heard = False
        self._changed = asyncio.Event()  # the connection has ended, or a server has come or gone
        self._task: asyncio.Task[None] | None = None
        redis.watch(self._changed)

    async def start(self) -> None:
        """Until it listens, or the first try has failed."""
        tried = asyncio.Event()
        self._task = asyncio.create_task(self._keep(tried))
        await tried.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._end()

    def drop(self) -> None:
        """Something may have been missed: begin anew, as after any other end."""
        self._end()

    # ------------------------------------------------------------ channels for a while

    async def expect(self, channel: bytes) -> asyncio.Future[None] | None:
        """A future that is done when anything is said on the channel, or when nobody listens any more. It is listened to
        when this returns; None where that can not be. Give it back by `forget`."""
        if not self.is_listening or self._link is None or len(self._waiting) >= MAX_CHANNELS:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(channel)
        if waiting is None:
            self._waiting[channel] = waiting = []
            self._ready[channel] = asyncio.Event()
            self._link.say(command(b"SUBSCRIBE", channel))
        waiting.append(future)
        try:
            async with asyncio.timeout(self._redis.bound):
                await self._ready[channel].wait()
        except BaseException as exc:
            self.forget(channel, future)
            if isinstance(exc, TimeoutError):
                return None
            raise
        return future

    def forget(self, channel: bytes, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(channel)
        if waiting is None or future not in waiting:
            return
        waiting.remove(future)
        if not waiting:
            del self._waiting[channel]
            del self._ready[channel]
            if self._link is not None:
                self._link.say(command(b"UNSUBSCRIBE", channel))

    # ------------------------------------------------------------ inside

    async def _keep(self, tried: asyncio.Event) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                place, link = await self._begin()
                pause = FIRST_PAUSE
                tried.set()
                await self._listen(place, link)
            except Away as exc:
                log.debug("no subscription", extra={"reason": str(exc)})
            self._end()
            tried.set()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _begin(self) -> tuple[Endpoint, Link]:
        node = self._redis.node(self._key)
        if not node.is_open:
            raise Away(f"{node.endpoint.name} is left alone for a while")
        place = node.endpoint
        link = await node.connect(self._redis.bound, self._pushed, lambda _link: self._changed.set())
        self._link = link
        subscribed = self._ready[self._channel] = asyncio.Event()
        link.say(command(b"SUBSCRIBE", self._channel))
        try:
            async with asyncio.timeout(self._redis.bound * 2):
                await subscribed.wait()
        except TimeoutError:
            raise Away("no subscription in time") from None
        finally:
            self._ready.pop(self._channel, None)  # it goes as well where all of it was dropped meanwhile
        await self._joined()
        if not link.is_open:
            raise Away(link.why)
        self.is_listening = True
        return place, link

    async def _listen(self, place: Endpoint, link: Link) -> None:
        """Until it is lost, has not answered in time, or another server has become the one that tells. Raises Away."""

        def is_right() -> bool:
            return link.is_open and self._redis.node(self._key).endpoint == place

        while is_right():
            self._heard = False
            link.say(_PING)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    while is_right():
                        self._changed.clear()
                        await self._changed.wait()
            if not self._heard:
                await asyncio.sleep(GRACE)  # should our own loop have stood still, the answer has arrived by now
            if not self._heard:
                return

    def _end(self) -> None:
        was_listening, self.is_listening = self.is_listening, False
        link, self._link = self._link, None
        if link is not None:
            link.close()
        waiting, self._waiting = self._waiting, {}
        self._ready.clear()
        for futures in waiting.values():
            for future in futures:
                _wake(future)
        if was_listening:
            self._left()

    def _pushed(self, reply: Reply) -> None:
        self._heard = True
        match reply:
            case [b"message", bytes(channel), bytes(said)]:
                if channel == self._channel:
                    self._told(said)
                for future in self._waiting.get(channel, ()):
                    _wake(future)
            case [b"subscribe", bytes(channel), _]:
                ready = self._ready.get(channel)
                if ready is not None:
                    ready.set()
            case _:
                return  # of an end, or the answer to a heartbeat


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
