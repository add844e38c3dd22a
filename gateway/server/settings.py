"""What a server-side connection is bound by: limits in counts and bytes, timeouts in seconds."""

from __future__ import annotations


class ServerSettings:
    """header: for a whole request head. body_idle: between two pieces of a body. min_body_rate: bytes a second that a body
    comes with, over each `body_idle` in which it is waited for. write_idle: for a client to take anything of its answer.
    tunnels: WebSocket upgrades go to the app as such, with the stream extension. Never changed."""

    __slots__ = (
        "body_idle", "header", "keepalive", "max_connections", "max_header_size", "max_headers", "max_target_size",
        "min_body_rate", "tunnels", "write_idle",
    )  # fmt: skip

    def __init__(
        self,
        *,
        max_connections: int = 16384,
        max_header_size: int = 32768,
        max_headers: int = 100,
        max_target_size: int = 16384,
        min_body_rate: int = 240,
        header: float = 10.0,
        body_idle: float = 30.0,
        write_idle: float = 60.0,
        keepalive: float = 75.0,
        tunnels: bool = False,
    ) -> None:
        self.max_connections = max_connections
        self.max_header_size = max_header_size
        self.max_headers = max_headers
        self.max_target_size = max_target_size
        self.min_body_rate = min_body_rate
        self.header = header
        self.body_idle = body_idle
        self.write_idle = write_idle
        self.keepalive = keepalive
        self.tunnels = tunnels
