"""Real Redis servers on loopback: one, one behind a Sentinel, a Cluster of three; to be killed, frozen and filled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis as client
from redis.crc import key_slot

from gateway.redis.resp import ErrorReply, Reply, ReplyReader, command

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
LOOK_AGAIN = 0.005
_SLOTS = 16384


class RedisServer:
    """A redis-server on a port that stays its own; `kill` and `start` it as often as you like."""

    def __init__(self, folder: Path, port: int, *options: str, program: tuple[str, ...] = ()) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self._folder = folder
        self._options = options
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed: apt-get install redis-server"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            [program, *(self._program or options), *self._options, *more],
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until(self.is_up)

    def is_up(self) -> bool:
        try:
            reply = self.raw("PING")
        except OSError:
            return False
        return reply == b"PONG" or (isinstance(reply, ErrorReply) and reply.code == b"NOAUTH")

    def raw(self, *words: str) -> Any:
        """One command by its bytes; the reply as it came, which redis-py would make something else of."""
        reader = ReplyReader()
        replies: list[Reply] = []
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(command(*(word.encode() for word in words)))
            while not replies:
                data = sock.recv(65536)
                if not data:
                    raise ConnectionError("closed without a reply")
                replies = reader.feed(data)
        return replies[0]

    def client(self, **options: Any) -> client.Redis:
        """For a test's own look and hand; binary."""
        return client.Redis(port=self.port, socket_timeout=PATIENCE, **options)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """At once, and nothing is kept."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


def until(condition: Any) -> None:
    """Wait for another process's state."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(LOOK_AGAIN)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    with _folder() as folder:
        server = RedisServer(folder, free_ports(1)[0], *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


class RedisCluster:
    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    def owner(self, key: str) -> RedisServer:
        slot = key_slot(key.encode())
        return next(node for index, node in enumerate(self.nodes) if slot < (index + 1) * _SLOTS // len(self.nodes))

    def is_whole(self) -> bool:
        """All of them know all of them."""
        return all(
            b"cluster_state:ok" in node.raw("CLUSTER", "INFO") and len(node.raw("CLUSTER", "SLOTS")) == len(self.nodes)
            for node in self.nodes
        )


@contextmanager
def redis_cluster(size: int = 3) -> Iterator[RedisCluster]:
    """Masters without replicas, each with its part of the slots."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for port in free_ports(size, cluster=True):
            folder = stack.enter_context(_folder())
            node = RedisServer(folder, port, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
            node.start()
            stack.callback(node.kill)
            nodes.append(node)
        for index, node in enumerate(nodes):
            first, end = index * _SLOTS // size, (index + 1) * _SLOTS // size
            node.raw("CLUSTER", "ADDSLOTSRANGE", str(first), str(end - 1))
            node.raw("CLUSTER", "SET-CONFIG-EPOCH", str(index + 1))
            node.raw("CLUSTER", "MEET", "127.0.0.1", str(nodes[0].port))
        cluster = RedisCluster(nodes)
        until(cluster.is_whole)
        yield cluster


class RedisSentinel:
    """One master, one replica and one Sentinel, which is enough to decide by itself."""

    def __init__(self, sentinel: RedisServer, servers: list[RedisServer]) -> None:
        self.sentinel = sentinel
        self.servers = servers
        self.url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"

    def master(self) -> RedisServer:
        _, port = self.sentinel.raw("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(server for server in self.servers if server.port == int(port))

    def replica(self) -> RedisServer:
        master = self.master()
        return next(server for server in self.servers if server is not master)

    def knows_all(self) -> bool:
        """The other one is a replica, and as far as the master is."""
        replicas = [dict(zip(one[::2], one[1::2], strict=True)) for one in self.sentinel.raw("SENTINEL", "REPLICAS", "main")]
        return [(one[b"flags"], one[b"master-link-status"]) for one in replicas] == [(b"slave", b"ok")]


@contextmanager
def redis_sentinel() -> Iterator[RedisSentinel]:
    with contextlib.ExitStack() as stack:
        ports = free_ports(3)
        folders = [stack.enter_context(_folder()) for _ in ports]
        master = RedisServer(folders[0], ports[0])
        replica = RedisServer(folders[1], ports[1], "--replicaof", "127.0.0.1", str(ports[0]), "--repl-diskless-sync-delay", "0")
        config = folders[2] / "sentinel.conf"
        config.write_text(
            f"port {ports[2]}\nbind 127.0.0.1\ndir {folders[2]}\nsentinel monitor main 127.0.0.1 {ports[0]} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 1000\n"
        )
        sentinel = RedisServer(folders[2], ports[2], program=(str(config), "--sentinel"))
        for server in (master, replica):
            server.start()
            stack.callback(server.kill)
        until(lambda: b"state=online" in master.raw("INFO", "replication"))  # else it is seen 10 seconds later
        sentinel.start()
        stack.callback(sentinel.kill)
        sentinel.raw("SENTINEL", "DEBUG", "INFO-PERIOD", "200", "PUBLISH-PERIOD", "200")  # refused before version 7, and slower
        found = RedisSentinel(sentinel, [master, replica])
        until(found.knows_all)
        yield found


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="redis-") as name:
        yield Path(name)


def free_ports(count: int, *, cluster: bool = False) -> list[int]:
    """Below those that the kernel gives away, since a server that is killed must find its port again; a Cluster needs the
    port 10,000 above as well."""
    found: list[int] = []
    start = 10_000 + os.getpid() * 37 % 10_000
    for port in (*range(start, 22_000), *range(10_000, start)):
        if len(found) == count:
            break
        if _is_free(port) and (not cluster or _is_free(port + 10_000)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
