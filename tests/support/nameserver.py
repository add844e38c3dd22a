"""A little name server on loopback, over UDP and TCP, that answers what a test tells it to.

    with nameserver() as server:
        server.put("search.test", "A", "127.0.0.1", "127.0.0.2", ttl=1)
        ...  # ask 127.0.0.1:{server.port}
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
UDP_LIMIT = 512  # bytes of an answer to who says nothing else (RFC 1035 section 2.3.4)


class NameServer:
    """What is not known does not exist. rcode: of all answers, where it is not NOERROR. silent: no answers at all.

    questions: (name, type) in the order in which they came. over_tcp: how many of them by TCP.
    """

    def __init__(self) -> None:
        self.port = 0
        self.rcode = dns.rcode.NOERROR
        self.silent = False
        self.questions: list[tuple[str, str]] = []
        self.over_tcp = 0
        self.failing: set[str] = set()  # types that are answered by SERVFAIL
        self._records: dict[tuple[str, str], dns.rrset.RRset] = {}
        self._news = threading.Condition()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def put(self, name: str, kind: str, *values: str, ttl: int = 0) -> None:
        """In place of what there was; no values: the name exists, and has none."""
        found = dns.rrset.from_text_list(f"{name}.", ttl, "IN", kind, list(values)) if values else None
        if found is None:
            found = dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.from_text(kind))
        self._records[name, kind] = found

    def drop(self, name: str) -> None:
        """The name exists no more."""
        for key in [key for key in self._records if key[0] == name]:
            del self._records[key]

    def asked(self, count: int = 1) -> None:
        """Wait until so many more questions have come."""
        with self._news:
            goal = len(self.questions) + count
            assert self._news.wait_for(lambda: len(self.questions) >= goal, PATIENCE), "nobody asked"

    def answer(self, wire: bytes) -> dns.message.Message | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        with self._news:
            self.questions.append((name, kind))
            self._news.notify_all()
        if self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self.rcode != dns.rcode.NOERROR or kind in self.failing:
            response.set_rcode(self.rcode or dns.rcode.SERVFAIL)
            return response
        if not any(known == name for known, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
            return response
        self._fill(response, name, kind)
        return response

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        """The records, and those of the name that a CNAME leads to."""
        alias = self._records.get((name, "CNAME"))
        if alias is not None:
            response.answer.append(alias)
            self._fill(response, alias[0].target.to_text(omit_final_dot=True), kind)
        elif (found := self._records.get((name, kind))) is not None and len(found):
            response.answer.append(found)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._server.answer(data)
        if response is None:
            return
        wire = response.to_wire()
        if len(wire) > UDP_LIMIT:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        self._transport.sendto(wire, addr)  # type: ignore[attr-defined]


@contextmanager
def nameserver() -> Iterator[NameServer]:
    server = NameServer()
    stream = socket.create_server(("127.0.0.1", 0))
    server.port = stream.getsockname()[1]
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", server.port))
    datagrams.setblocking(False)
    ready, stopped = threading.Event(), threading.Event()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                server.over_tcp += 1
                response = server.answer(await reader.readexactly(length))
                if response is not None:
                    wire = response.to_wire()
                    writer.write(struct.pack("!H", len(wire)) + wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(server), sock=datagrams)
        async with await asyncio.start_server(visit, sock=stream):
            ready.set()
            await asyncio.to_thread(stopped.wait)
        transport.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield server
    finally:
        stopped.set()
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the name server did not stop"
