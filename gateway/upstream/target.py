"""One address that we forward to: its connections, the limits on them, and its counters.

Idle connections are a stack, so that the warmest is used first and the rest may time out. A target lives on by its
address when the configuration changes; balancers read `weight` and `in_flight` and never write them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from gateway.deadlines import NEVER
from gateway.errors import (
    ConnectionLimitReached,
    ConnectionRefused,
    ConnectTimeout,
    DnsError,
    GatewayError,
    TargetError,
)
from gateway.rfc.message import IDEMPOTENT
from gateway.upstream.base import TargetBase
from gateway.upstream.connection import Connection
from gateway.upstream.stale import has_news
from gateway.upstream.tls import tls_error

if TYPE_CHECKING:
    from gateway.deadlines import Deadlines
    from gateway.exchange import Exchange
    from gateway.upstream.address import Address

__all__ = ["Target", "TargetLimits"]

SWEEP: Final = 1.0  # seconds between two looks at the idle connections


class TargetLimits:
    """connections and pending are counts, idle_timeout is seconds."""

    __slots__ = ("idle", "idle_timeout", "max_connections", "max_pending")

    def __init__(
        self, max_connections: int = 200, max_pending: int = 1000, idle: int = 64, idle_timeout: float = 60.0
    ) -> None:
        self.max_connections = max_connections
        self.max_pending = max_pending
        self.idle = idle
        self.idle_timeout = idle_timeout


class Target(TargetBase):
    """`open` counts all connections, those being made included; `waiting` are those who wait for one, oldest first."""

    __slots__ = (
        "_deadlines", "_idle", "_tls", "_waiting", "bucket", "connections", "deadline", "limits", "open",
    )  # fmt: skip

    def __init__(
        self,
        address: Address,
        deadlines: Deadlines,
        *,
        weight: int = 1,
        priority: int = 0,
        backup: bool = False,
        limits: TargetLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(address, weight, priority, backup=backup)
        self.limits = limits or TargetLimits()
        self.open = 0
        self.connections: set[Connection] = set()
        self.deadline = NEVER
        self.bucket = NEVER
        self._deadlines = deadlines
        self._tls = tls
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    def beside(self, limits: TargetLimits) -> Target:
        """The same address again, with connections and counters of its own."""
        return Target(self.address, self._deadlines, limits=limits, tls=self._tls)

    # ------------------------------------------------------------ taking and giving back

    def take(self, exchange: Exchange) -> Connection | None:
        """An idle connection, at once; None when there is none."""
        return self._take_idle(careful=exchange.method not in IDEMPOTENT)

    def _take_idle(self, *, careful: bool) -> Connection | None:
        """careful: what is sent can not be sent again."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and not (careful and has_news(connection.transport.raw)):
                connection.reused = True
                return connection
        return None

    async def connect(self, connect: float, pool: float) -> Connection:
        """A fresh connection within `connect` seconds, or an idle one after at most `pool` seconds in the queue."""
        while self.open >= self.limits.max_connections:
            idle = self._take_idle(careful=True)  # given back since the caller looked for one
            if idle is not None:
                return idle
            waited = await self._wait_for_place(pool)
            if waited is None:
                break
            if waited.is_open:  # it may have been closed in the very moment that it came free
                return waited
        else:
            self.open += 1
        try:
            return await self._connect(connect)
        except BaseException:
            self.open -= 1
            self._pass_on_place()
            raise

    def release(self, connection: Connection, now: float) -> None:
        """The connection's exchange is over and it may be used again."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                connection.reused = True
                waiter.set_result(connection)
                return
        if len(self._idle) >= self.limits.idle or not connection.is_open:
            connection.close()
            return
        connection.idle_since = now
        self._idle.append(connection)
        if self.deadline == NEVER:
            self._deadlines.watch(self, now + self.limits.idle_timeout)

    def lost(self, connection: Connection) -> None:
        """The connection is closed."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.open -= 1
            if connection in self._idle:
                self._idle.remove(connection)
            self._pass_on_place()

    def expired(self, now: float) -> None:
        """Close the connections that were idle for too long; the oldest lie at the bottom of the stack."""
        limit = now - self.limits.idle_timeout
        while self._idle and self._idle[0].idle_since <= limit:
            self._idle.pop(0).close()
        if self._idle:
            self._deadlines.watch(self, max(self._idle[0].idle_since + self.limits.idle_timeout, now + SWEEP))

    @property
    def is_busy(self) -> bool:
        """Somebody uses it, or one of its connections is not closed yet."""
        return self.in_flight > 0 or self.open > 0

    def become(self, other: TargetBase) -> None:
        super().become(other)
        assert isinstance(other, Target)
        self.limits = other.limits
        if self._tls is not other._tls:
            self._tls = other._tls
            self._close_idle()

    def retire(self) -> None:
        """It gets no new exchanges: no connection is kept for them, those that are busy close behind theirs."""
        self.limits = TargetLimits(self.limits.max_connections, self.limits.max_pending, idle=0)
        self._close_idle()

    def _close_idle(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def start(self) -> None:
        """A target needs no start: connections are made when they are needed."""

    async def stop(self) -> None:
        """Drop all connections, busy or not, and make no more: neither for who waits, nor to repeat what is lost now."""
        self.deadline = NEVER
        self.limits = TargetLimits(max_connections=0, max_pending=0, idle=0)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(ConnectionLimitReached(f"{self.name} stops"))
        self._waiting.clear()
        for connection in list(self.connections):
            connection.stop()

    # ------------------------------------------------------------ places

    async def _wait_for_place(self, seconds: float) -> Connection | None:
        """A connection that became idle, or None for a place to make one. Raises ConnectionLimitReached."""
        if len(self._waiting) >= self.limits.max_pending:
            raise ConnectionLimitReached(f"{self.name}: {self.limits.max_pending} requests wait already")
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(None if seconds == NEVER else seconds):
                return await waiter
        except BaseException as exc:
            self._abandon(waiter)
            if isinstance(exc, TimeoutError):
                raise ConnectionLimitReached(f"{self.name}: no connection was free within {seconds:g} s") from None
            raise

    def _abandon(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Whoever waited has gone: what it was given meanwhile goes to the next."""
        if waiter.done() and not waiter.cancelled():
            if waiter.exception() is not None:
                return
            connection = waiter.result()
            if connection is not None:
                self.release(connection, self._deadlines.now())
            else:
                self.open -= 1
                self._pass_on_place()
            return
        waiter.cancel()
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def _pass_on_place(self) -> None:
        while self._waiting and self.open < self.limits.max_connections:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.open += 1
                waiter.set_result(None)

    # ------------------------------------------------------------ the socket

    async def _connect(self, seconds: float) -> Connection:
        connection = Connection(self, self._deadlines)
        try:
            async with asyncio.timeout(None if seconds == NEVER else seconds):
                await self._open_socket(connection)
        except TimeoutError:
            raise ConnectTimeout(f"{self.name}: no connection within {seconds:g} s") from None
        except (OSError, ssl.SSLError) as exc:
            raise connect_error(exc, self.name) from exc
        if not connection.is_open:
            raise ConnectionRefused(f"{self.name}: closed at once")
        if not self.limits.max_connections:
            connection.abort()
            raise ConnectionLimitReached(f"{self.name} stops")
        self.connections.add(connection)
        return connection

    async def _open_socket(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        address = self.address
        protocol = cast("asyncio.Protocol", connection)  # by its methods
        if address.path is not None:
            await loop.create_unix_connection(lambda: protocol, address.path)
        elif self._tls is not None:
            await loop.create_connection(
                lambda: protocol, address.host, address.port, ssl=self._tls, server_hostname=address.server_name
            )
        else:
            await loop.create_connection(lambda: protocol, address.host, address.port)


def connect_error(exc: OSError, name: str) -> GatewayError:
    """What a failed connect was, by RFC 9209."""
    if isinstance(exc, ssl.SSLError | ssl.CertificateError):
        return tls_error(exc, name)
    if isinstance(exc, socket.gaierror):
        return DnsError(f"{name}: {exc}")
    if isinstance(exc, ConnectionError | FileNotFoundError):
        return ConnectionRefused(f"{name}: {exc}")
    return TargetError(f"{name}: {exc}")
