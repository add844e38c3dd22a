"""A client that sends exact bytes and reads answers strictly."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

PATIENCE = 20.0


class Answer:
    """A response. complete: its body ended as its framing says. Names are lowercase."""

    def __init__(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        self.head = head
        self.version, status, *reason = lines[0].split(b" ", 2)
        self.status = int(status)
        self.reason = reason[0] if reason else b""
        self.fields = [
            (name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:] if line)
        ]
        self.body = b""
        self.trailers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key == name.lower().encode()]

    def get(self, name: str) -> bytes | None:
        values = self.all(name)
        return values[0] if values else None


class Client:
    """One connection. `read` takes the next answer from it, `interims` are the 1xx that came before."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.interims: list[Answer] = []
        self._data = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def get(self, target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> Answer:
        """Send a request and read its answer. Host is `test` where the fields name none."""
        self.request(target, *fields, method=method, version=version, body=body)
        return self.read(method)

    def request(self, target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> None:
        lines = [f"{method} {target} HTTP/{version}", *fields]
        if not any(field.lower().startswith("host:") for field in fields):
            lines.insert(1, "Host: test")
        if body and not any(field.lower().startswith(("content-length:", "transfer-encoding:")) for field in fields):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def read(self, method: str = "GET") -> Answer:
        """The next final answer, as far as it came."""
        while True:
            head = self._until(b"\r\n\r\n")
            assert head is not None, f"no answer, only {self._data!r}"
            answer = Answer(head)
            if answer.status >= 200 or answer.status == 101:
                break
            self.interims.append(answer)
        self._read_body(answer, method)
        return answer

    def read_head(self) -> Answer:
        head = self._until(b"\r\n\r\n")
        assert head is not None, f"no answer, only {self._data!r}"
        return Answer(head)

    def read_some(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        while len(self._data) < size and self._more():
            continue
        data, self._data = self._data[:size], self._data[size:]
        return data

    def read_chunk(self) -> bytes:
        """One chunk of a chunked body; empty at its end."""
        line = self._until(b"\r\n")
        assert line is not None, "the body was cut off"
        data = self.read_some(int(line, 16) + 2)
        return data[:-2]

    def closed(self) -> bool:
        """Wait for the end of the connection; False where something came instead."""
        return not self._data and not self._more()

    def finish(self) -> None:
        """Half-close: no more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def _read_body(self, answer: Answer, method: str) -> None:
        if method == "HEAD" or answer.status in (204, 304, 101):
            answer.complete = True
        elif answer.get("transfer-encoding") == b"chunked":
            self._read_chunks(answer)
        elif (length := answer.get("content-length")) is not None:
            answer.body = self.read_some(int(length))
            answer.complete = len(answer.body) == int(length)
        else:
            try:
                while self._more():
                    continue
                answer.complete = True
            except ConnectionError:
                answer.complete = False
            answer.body, self._data = self._data, b""

    def _read_chunks(self, answer: Answer) -> None:
        while True:
            line = self._until(b"\r\n")
            if line is None:
                return
            size = int(line, 16)
            if not size:
                break
            data = self.read_some(size + 2)
            answer.body += data[:size]
            if len(data) < size + 2:
                return
        while (line := self._until(b"\r\n")) is not None:
            if not line:
                answer.complete = True
                return
            name, _, value = line.partition(b":")
            answer.trailers.append((name.lower(), value.strip()))

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._data:
            try:
                if not self._more():
                    return None
            except ConnectionError:
                return None
        part, _, self._data = self._data.partition(mark)
        return part

    def _more(self) -> bool:
        data = self.sock.recv(1 << 18)
        self._data += data
        return bool(data)


@contextmanager
def connected(port: int, tls: ssl.SSLContext | None = None, name: str | None = None) -> Iterator[Client]:
    """A connection to a port of this machine; name: what TLS asks for."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    if tls is not None:
        sock = tls.wrap_socket(sock, server_hostname=name or "localhost")
    try:
        yield Client(sock)
    finally:
        sock.close()


def get(port: int, target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    with connected(port) as client:
        return client.get(target, *fields, method=method, version=version, body=body)
