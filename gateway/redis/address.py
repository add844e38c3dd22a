"""Where Redis is, and how it is spoken to. What is printed or logged of it never holds a credential."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Form(Enum):
    SINGLE = "redis"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


class Endpoint(NamedTuple):
    """path: of a Unix socket, or empty. host: IPv6 without brackets."""

    host: str
    port: int
    path: str = ""

    @property
    def name(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class RedisAddress:
    """endpoints: one for SINGLE; some of the Sentinels, or of the Cluster's nodes, which name the rest.
    service: what the Sentinels call the master. ca: a PEM file of who signs Redis' certificate, else the system's."""

    form: Form
    endpoints: tuple[Endpoint, ...]
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    database: int = 0
    service: str = ""
    tls: bool = False
    ca: str = ""

    @property
    def name(self) -> str:
        """For logs."""
        return ",".join(endpoint.name for endpoint in self.endpoints) + (f"/{self.service}" if self.service else "")
