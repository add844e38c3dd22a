"""One Redis server: two connections to it, and a breaker before both.

The quick one carries what a request waits for, with the bound that requests have. The bulk one carries bodies, which
take longer and must not stand in front of look-ups. They are made, tried and given up together, by a task of their own:
a request finds them there, or goes on at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from gateway.redis.breaker import Breaker
from gateway.redis.link import Away, Link
from gateway.redis.resp import ErrorReply, Reply, command

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from gateway.redis.address import Endpoint, RedisAddress

CONNECT: Final = 1.0  # seconds for a connection; nobody waits for it
BULK_FACTOR: Final = 20  # the bound of the bulk connection is so much longer

log = logging.getLogger("gateway.redis")


class Locate(Protocol):
    """Where the server is now. Raises Away where that cannot be found out."""

    def __call__(self) -> Awaitable[Endpoint]: ...


class Node:
    """bound: seconds in which a quick command is to be answered. changed: called whenever `is_open` has become another."""

    def __init__(
        self,
        address: RedisAddress,
        locate: Locate,
        bound: float,
        tls: ssl.SSLContext | None,
        changed: Callable[[], None],
    ) -> None:
        self.quick: Link | None = None
        self.bulk: Link | None = None
        self.breaker = Breaker()
        self.endpoint: Endpoint = address.endpoints[0]
        self._address = address
        self._locate = locate
        self._bound = bound
        self._tls = tls
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        self._why = ""
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Commands may be sent."""
        return self.quick is not None

    def send(self, data: bytes, count: int, *, bulk: bool = False) -> asyncio.Future[list[Reply]]:
        """`count` commands, written out. The future fails with Away. Raises Away where it is away already."""
        link = self.bulk if bulk else self.quick
        if link is None:
            raise Away(f"{self.endpoint.name} is left alone for a while")
        return link.send(data, count)

    def backlog(self) -> int:
        """Bytes of bulk commands that have not been answered."""
        return self.bulk.unanswered if self.bulk is not None else 0

    def drop(self, why: str) -> None:
        """It answers, but can not be of use now: such as a master that has become a replica."""
        if self.quick is not None:
            self._why = why
            self.quick.close()

    async def start(self) -> None:
        """Until the first try has been made, one way or the other, or takes too long to be waited for."""
        self._task = asyncio.create_task(self._keep())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT):
                await self._tried.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._close()

    # ------------------------------------------------------------ connections

    async def _keep(self) -> None:
        while True:
            try:
                await self._open()
            except Away as exc:
                self._why = str(exc)
            else:
                await self._lost.wait()
                self._close()
            until = self._opened()
            self._tried.set()
            await asyncio.sleep(until - self._loop.time())

    def _opened(self) -> float:
        """Count a fault; the time of the next try."""
        before = self.breaker.is_open
        until = self.breaker.failed(self._loop.time())
        if not before:
            log.warning("redis is away", extra={"redis": self.endpoint.name, "reason": self._why})
            self._changed()
        return until

    async def _open(self) -> None:
        self._lost.clear()
        self._why = ""
        self.endpoint = await self._locate()
        quick, bulk = await asyncio.gather(
            self.connect(self._bound), self.connect(self._bound * BULK_FACTOR), return_exceptions=True
        )
        if not (isinstance(quick, Link) and isinstance(bulk, Link) and quick.is_open and bulk.is_open):
            for link in (quick, bulk):
                if isinstance(link, Link):
                    link.close()
            raise Away(str(next((one for one in (quick, bulk) if isinstance(one, BaseException)), "closed at once")))
        again = self.breaker.is_open
        self.breaker.worked(self._loop.time())
        self.quick, self.bulk = quick, bulk
        if again:
            log.info("redis is there again", extra={"redis": self.endpoint.name})
        self._tried.set()
        self._changed()

    async def connect(
        self, bound: float, pushed: Callable[[Reply], None] | None = None, lost: Callable[[Link], None] | None = None
    ) -> Link:
        """A connection that has been let in and has answered within its bound. Raises Away."""
        link = Link(self._loop, bound, lost or self._on_lost, pushed)
        endpoint, tls = self.endpoint, self._tls
        try:
            async with asyncio.timeout(CONNECT):
                if endpoint.path:
                    await self._loop.create_unix_connection(lambda: link, endpoint.path)
                else:
                    name = endpoint.host if tls is not None else None
                    await self._loop.create_connection(
                        lambda: link, endpoint.host, endpoint.port, ssl=tls, server_hostname=name
                    )
                await self._greet(link)
        except TimeoutError:
            link.close()
            raise Away(f"no connection within {CONNECT:g} s") from None
        except OSError as exc:
            raise Away(str(exc)) from None
        except BaseException:
            link.close()
            raise
        return link

    async def _greet(self, link: Link) -> None:
        """Credentials, database, and a try of its speed."""
        address = self._address
        greeting = []
        if address.password:
            user = (address.username.encode(),) if address.username else ()
            greeting.append(command(b"AUTH", *user, address.password.encode()))
        if address.database:
            greeting.append(command(b"SELECT", address.database))
        greeting.append(command(b"PING"))
        replies = await link.send(b"".join(greeting), len(greeting))
        for index, reply in enumerate(replies):
            if isinstance(reply, ErrorReply):
                said = reply.code if address.password and index == 0 else reply.text  # which may repeat the password
                raise Away(said.decode("ascii", "replace"))

    def _on_lost(self, link: Link) -> None:
        if link in (self.quick, self.bulk):
            self._why = self._why or link.why
            self._close()
            self._lost.set()

    def _close(self) -> None:
        quick, bulk, self.quick, self.bulk = self.quick, self.bulk, None, None
        for link in (quick, bulk):
            if link is not None:
                link.close()
