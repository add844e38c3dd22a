"""Which server has a key: one that stays, one that Sentinels name, or the nodes of a Cluster, each with its slots.

redis-py finds the master behind Sentinels and computes slots, and is imported where that is needed: it takes longer to
load than all of the gateway. A Cluster tells its slots by itself. Its map is made again when a node says that a key has
moved, and while one of them is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from gateway.redis.address import Endpoint, Form
from gateway.redis.link import Away
from gateway.redis.node import Node
from gateway.redis.resp import command

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.redis.address import RedisAddress
    from gateway.redis.node import Locate
    from gateway.redis.resp import Reply

SENTINEL_PATIENCE: Final = 1.0  # seconds for each Sentinel to say who is the master
REMAP_PAUSE: Final = 0.2  # seconds between two maps at least
AWAY_PAUSE: Final = 1.0  # the same while a node is away
MAX_NODES: Final = 1000
SLOTS: Final = 16384

_SLOTS: Final = command(b"CLUSTER", b"SLOTS")

log = logging.getLogger("gateway.redis")


class Topology(Protocol):
    def node(self, key: bytes) -> Node:
        """The server that has a key. Raises Away."""

    def nodes(self) -> list[Node]:
        """All that are known."""

    async def moved(self, endpoint: Endpoint) -> Node:
        """Where a node has said that a key is now. Raises Away."""

    async def start(self) -> None:
        """Until all that is known has been tried once."""

    async def stop(self) -> None: ...


def topology(address: RedisAddress, bound: float, tls: ssl.SSLContext | None, changed: Callable[[], None]) -> Topology:
    """bound: seconds for a quick command. changed: see `Node`."""
    if address.form is Form.CLUSTER:
        return Cluster(address, bound, tls, changed)
    locate = _fixed(address.endpoints[0]) if address.form is Form.SINGLE else _by_sentinel(address)
    return OneNode(Node(address, locate, bound, tls, changed))


class OneNode:
    def __init__(self, node: Node) -> None:
        self._node = node

    def node(self, key: bytes) -> Node:
        return self._node

    def nodes(self) -> list[Node]:
        return [self._node]

    async def moved(self, endpoint: Endpoint) -> Node:
        raise Away(f"a Cluster answers at {self._node.endpoint.name}; write redis+cluster://")

    async def start(self) -> None:
        await self._node.start()

    async def stop(self) -> None:
        await self._node.stop()


class Cluster:
    """Masters only: a replica may be behind, and a purge must not be."""

    def __init__(
        self, address: RedisAddress, bound: float, tls: ssl.SSLContext | None, changed: Callable[[], None]
    ) -> None:
        from redis.crc import key_slot  # noqa: PLC0415  # see above

        self._slot: Callable[[bytes], int] = key_slot
        self._address = address
        self._bound = bound
        self._tls = tls
        self._changed = changed
        self._nodes: dict[Endpoint, Node] = {}
        self._masters: list[Endpoint | None] = [None] * SLOTS
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def node(self, key: bytes) -> Node:
        endpoint = self._masters[self._slot(key)]
        node = None if endpoint is None else self._nodes.get(endpoint)
        if node is None:
            self._stale.set()
            raise Away("nobody is known to have this slot")
        return node

    def nodes(self) -> list[Node]:
        return list(self._nodes.values())

    async def moved(self, endpoint: Endpoint) -> Node:
        self._stale.set()
        node = self._nodes.get(endpoint)
        if node is not None:
            return node
        try:
            async with asyncio.timeout(self._bound):  # a request waits
                return await self._add(endpoint)
        except TimeoutError:
            raise Away(f"{endpoint.name} is new, and does not answer") from None

    async def start(self) -> None:
        await self._remap()
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await asyncio.gather(*(node.stop() for node in self._nodes.values()))
        self._nodes.clear()

    # ------------------------------------------------------------ the map

    async def _keep(self) -> None:
        while True:
            away = any(not node.is_open for node in self._nodes.values())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AWAY_PAUSE if away or not self._nodes else None):
                    await self._stale.wait()
            self._stale.clear()
            await self._remap()
            await asyncio.sleep(REMAP_PAUSE)

    async def _remap(self) -> None:
        """Ask those who are known, then those who are configured, until one tells the map."""
        for endpoint in (*[one for one, node in self._nodes.items() if node.is_open], *self._address.endpoints):
            try:
                node = self._nodes.get(endpoint) or await self._add(endpoint)
                (reply,) = await node.send(_SLOTS, 1, bulk=True)
                masters = read_slots(reply, endpoint.host)
            except Away:
                continue
            await self._use(masters)
            return
        log.warning("no node of the redis cluster answers", extra={"redis": self._address.name})

    async def _use(self, masters: list[Endpoint | None]) -> None:
        there = dict.fromkeys(one for one in masters if one is not None)
        self._masters = masters
        await asyncio.gather(*(self._add(endpoint) for endpoint in there if endpoint not in self._nodes))
        for endpoint in [one for one in self._nodes if one not in there]:
            await self._nodes.pop(endpoint).stop()

    async def _add(self, endpoint: Endpoint) -> Node:
        if len(self._nodes) >= MAX_NODES:
            raise Away(f"the cluster has over {MAX_NODES} nodes")
        node = Node(self._address, _fixed(endpoint), self._bound, self._tls, self._node_changed)
        node.endpoint = endpoint
        self._nodes[endpoint] = node
        await node.start()
        return node

    def _node_changed(self) -> None:
        self._stale.set()
        self._changed()


def read_slots(reply: Reply, asked: str) -> list[Endpoint | None]:
    """The master of each slot from the reply to CLUSTER SLOTS. asked: the host that gave it, which may leave itself out.
    Raises Away where it is none, or empty: that node has forgotten its Cluster, or is in none yet."""
    masters: list[Endpoint | None] = [None] * SLOTS
    if not isinstance(reply, list) or not reply:
        raise Away(f"no map of the slots: {reply!r}")
    for item in reply:
        match item:
            case [int(first), int(last), [host, int(port), *_], *_] if 0 <= first <= last < len(masters):
                name = host.decode("ascii", "replace") if isinstance(host, bytes) and host not in (b"", b"?") else asked
                masters[first : last + 1] = [Endpoint(name, port)] * (last + 1 - first)
            case _:
                raise Away("a map of the slots that nobody can read")
    return masters


def _fixed(endpoint: Endpoint) -> Locate:
    async def locate() -> Endpoint:
        return endpoint

    return locate


def _by_sentinel(address: RedisAddress) -> Locate:
    """Asked anew for every connection: after a failover it is another. They are asked without credentials."""
    from redis.asyncio.retry import Retry  # noqa: PLC0415  # see above
    from redis.asyncio.sentinel import Sentinel  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415

    options: dict[str, object] = {"socket_timeout": SENTINEL_PATIENCE, "socket_connect_timeout": SENTINEL_PATIENCE}
    if address.tls:
        options |= {"ssl": True, "ssl_ca_certs": address.ca or None}

    async def locate() -> Endpoint:
        sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has types for most
            [(one.host, one.port) for one in address.endpoints], sentinel_kwargs={**options, "retry": Retry(NoBackoff(), 0)}
        )
        try:
            host, port = await sentinel.discover_master(address.service)
        except (RedisError, OSError) as exc:
            raise Away(f"no Sentinel names a master: {exc}") from None
        finally:
            await asyncio.gather(*(one.aclose() for one in sentinel.sentinels), return_exceptions=True)
        return Endpoint(str(host), int(port))

    return locate
