"""Redis as the gateway uses it: commands that are answered within a bound, or not at all.

There is one way to fail, `Away`: no server, no answer in time, a server that can not be used now. What a command itself
did wrong is an `ErrorReply` among the replies.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.redis.address import Endpoint
from gateway.redis.link import Away
from gateway.redis.resp import ErrorReply, Reply, command
from gateway.redis.topology import topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.redis.address import RedisAddress
    from gateway.redis.node import Node
    from gateway.redis.resp import Argument
    from gateway.redis.script import Script

UNFIT: Final = frozenset({b"READONLY", b"LOADING", b"MASTERDOWN", b"CLUSTERDOWN", b"NOAUTH"})
ASKING: Final = command(b"ASKING")
_FACT: Final = re.compile(rb"^(used_memory|maxmemory):(\d+)\r?$", re.MULTILINE).findall
MAX_BACKLOG: Final = 16 << 20  # bytes of bodies that wait for one server to take them; with more nothing is added


class Fill(NamedTuple):
    """keys: of whatever uses it. used, limit: bytes; 0 where it has no limit."""

    keys: int
    used: int
    limit: int


class Redis:
    """On one event loop, between `start` and `stop`. bound: seconds."""

    def __init__(self, address: RedisAddress, bound: float) -> None:
        self.address = address
        self.bound = bound
        tls = ssl.create_default_context(cafile=address.ca or None) if address.tls else None
        self._changes: list[asyncio.Event] = []
        self._topology = topology(address, bound, tls, self._changed)

    async def start(self) -> None:
        """Try it. It may well be away, and come later."""
        await self._topology.start()

    async def stop(self) -> None:
        await self._topology.stop()

    def node(self, key: bytes) -> Node:
        """The server that has a key. Raises Away."""
        return self._topology.node(key)

    async def fill(self) -> Fill:
        """Of all servers together. Raises Away."""
        look = command(b"INFO", b"memory") + command(b"DBSIZE")
        total = Fill(0, 0, 0)
        for node in self._topology.nodes():
            told, keys = await node.send(look, 2)
            facts = dict(_FACT(told)) if isinstance(told, bytes) else {}
            size = keys if isinstance(keys, int) else 0
            found = (size, int(facts.get(b"used_memory", 0)), int(facts.get(b"maxmemory", 0)))
            total = Fill(*map(sum, zip(total, found, strict=True)))
        return total

    def has_room(self, key: bytes) -> bool:
        """Bodies may be written to the key's server now."""
        try:
            node = self.node(key)
        except Away:
            return False
        return node.is_open and node.backlog() < MAX_BACKLOG

    async def ask(self, key: bytes, commands: Sequence[bytes], *, bulk: bool = False) -> list[Reply]:
        """Replies to commands for one key, or for keys of one slot, after one round trip. bulk: they have time, and are
        large. Raises Away."""
        node = self._topology.node(key)
        replies = await node.send(b"".join(commands), len(commands), bulk=bulk)
        for index, reply in enumerate(replies):
            if isinstance(reply, ErrorReply):
                replies[index] = await self._mend(node, commands[index], reply, bulk=bulk)
        return replies

    async def run(self, script: Script, keys: Sequence[bytes], *arguments: Argument, bulk: bool = False) -> Reply:
        """Raises Away."""
        (reply,) = await self.ask(keys[0], (script.by_name(keys, *arguments),), bulk=bulk)
        if isinstance(reply, ErrorReply) and reply.code == b"NOSCRIPT":
            (reply,) = await self.ask(keys[0], (script.whole(keys, *arguments),), bulk=bulk)
        return reply

    async def _mend(self, node: Node, data: bytes, reply: ErrorReply, *, bulk: bool) -> Reply:
        """Follow a key that has moved, once; leave a server that is of no use."""
        if reply.code in UNFIT:
            node.drop(reply.text.decode("ascii", "replace"))
            raise Away(node.endpoint.name)
        if reply.code not in (b"MOVED", b"ASK"):
            return reply
        _, _, place = reply.text.split(b" ")[:3]
        host, _, port = place.decode("ascii", "replace").rpartition(":")
        other = await self._topology.moved(Endpoint(host or node.endpoint.host, int(port)))
        if reply.code == b"MOVED":
            (moved,) = await other.send(data, 1, bulk=bulk)
            return moved
        _, asked = await other.send(ASKING + data, 2, bulk=bulk)
        return asked

    def _changed(self) -> None:
        """A server has come or gone: whoever waits for that looks again."""
        for event in self._changes:
            event.set()

    def watch(self, event: asyncio.Event) -> None:
        """Set the event whenever a server has come or gone."""
        self._changes.append(event)
