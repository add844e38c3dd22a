"""A gigabyte each way through `gateway run` leaves no trace in its memory: what is streamed is never kept."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.client import Client, connected
from support.process import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIGABYTE = 1 << 30
ALLOWED = 32 << 20
BLOCK = bytes(1 << 20)


@contextmanager
def bulk_origin(serve: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """An origin for one connection at a time that moves bytes as fast as the kernel does. serve: gets each head."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    sock = listener.accept()[0]
                except OSError:
                    return
                with sock:
                    head = b""
                    while b"\r\n\r\n" not in head and (piece := sock.recv(65536)):
                        head += piece
                    if head:
                        serve(sock, head)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def pour(sock: socket.socket, size: int) -> None:
    for _ in range(size // len(BLOCK)):
        sock.sendall(BLOCK)


def drink(sock: socket.socket, size: int) -> None:
    buffer = bytearray(len(BLOCK))
    while size > 0:
        taken = sock.recv_into(buffer, min(size, len(buffer)))
        assert taken, f"{size} bytes are missing"
        size -= taken


def resident(pid: int) -> int:
    """The most memory that a process has held since `forget_peak`, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@contextmanager
def the_gateway(url: str, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The port and the process id of a `gateway run`."""
    config = tmp_path / "routes.toml"
    config.write_text(
        '[server]\nlisten = "127.0.0.1:0"\nlimits = { max_body = "2GiB" }\n[access_log]\nformat = "off"\n'
        f'[[routes]]\nupstream = "{url}"\n'
    )
    with running("gateway", "run", "-c", config) as program:
        yield program.port(), program.process.pid


def grown(pid: int, exchange: Callable[[int], None]) -> int:
    """By how much the peak of a gigabyte is above that of what any request needs."""
    exchange(16 << 20)
    before = resident(pid)
    forget_peak(pid)
    exchange(GIGABYTE)
    return resident(pid) - before


def test_a_gigabyte_down(tmp_path: Path) -> None:
    def serve(sock: socket.socket, head: bytes) -> None:
        size = int(head.split(b" ")[1].strip(b"/"))
        sock.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size)
        pour(sock, size)

    with bulk_origin(serve) as url, the_gateway(url, tmp_path) as (port, pid):

        def exchange(size: int) -> None:
            with connected(port) as client:
                client.request(f"/{size}")
                body_begun = read_head(client)
                drink(client.sock, size - body_begun)

        assert grown(pid, exchange) < ALLOWED


def test_a_gigabyte_up(tmp_path: Path) -> None:
    def serve(sock: socket.socket, head: bytes) -> None:
        fields, _, begun = head.partition(b"\r\n\r\n")
        size = int(fields.split(b" ")[1].strip(b"/"))
        drink(sock, size - len(begun))
        sock.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")

    with bulk_origin(serve) as url, the_gateway(url, tmp_path) as (port, pid):

        def exchange(size: int) -> None:
            with connected(port) as client:
                client.request(f"/{size}", f"Content-Length: {size}", method="POST")
                pour(client.sock, size)
                assert client.read().body == b"ok"

        assert grown(pid, exchange) < ALLOWED


def read_head(client: Client) -> int:
    """How many bytes of the body came with the head."""
    assert client.read_head().status == 200
    return len(client._data)
