"""What a server-side connection is bound by: limits in counts and bytes, timeouts in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """header: for a whole request head. body_idle: between two pieces of a body. min_body_rate: bytes a second that a body
    comes with, over each `body_idle` in which it is waited for. write_idle: for a client to take anything of its answer.
    tunnels: WebSocket upgrades go to the app as such, with the stream extension."""

    max_connections: int = 16384
    max_header_size: int = 32768
    max_headers: int = 100
    max_target_size: int = 16384
    min_body_rate: int = 240
    header: float = 10.0
    body_idle: float = 30.0
    write_idle: float = 60.0
    keepalive: float = 75.0
    tunnels: bool = False
