"""What our own protocol class and an app offer each other beyond ASGI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from gateway.exchange import Headers
    from gateway.gone import Watchable
    from gateway.rfc.message import RequestHead

STREAM: Final = "gateway.stream"


class Stream(Protocol):
    """The scope's extension `gateway.stream`: one request on its connection. `head` is the parsed request; its checks
    need not be made again."""

    head: RequestHead

    @property
    def is_gone(self) -> bool:
        """The client has left, and nobody will be told any more."""

    def begin(self, exchange: Watchable) -> None:
        """Tell the exchange, once, when the client leaves before its answer is whole."""

    def end(self, exchange: Watchable) -> None:
        """It need not be told any more."""

    def interim(self, status: int, headers: Headers) -> None:
        """Send a 1xx, if the client knows them and its answer has not begun."""

    def abort(self) -> None:
        """Reset the connection: the answer that has begun will not be whole."""

    def switch(self, headers: Headers) -> tuple[asyncio.Transport, bytes]:
        """Answer 101 and give up the connection: its transport, and what the client sent already."""

    def hand_over(self) -> None:
        """Let uvicorn's WebSocket protocol class serve this upgrade; the app is called again, with its scope."""


class Served(Protocol):
    """What a connection does at present: one request, by the app's task or in the express lane.

    closes: the client said that this request is its last. keep_alive: another one may follow on the connection, which
    the protocol class may take back.
    """

    @property
    def closes(self) -> bool: ...

    keep_alive: bool

    def disconnect(self) -> None:
        """The client has gone."""

    def writable(self) -> None:
        """The client takes more of its answer."""
