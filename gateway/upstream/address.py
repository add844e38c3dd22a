"""Where a target is: the parts of its URL that connecting, SNI and Host need."""

from __future__ import annotations

from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


class Address:
    """scheme: http, https or asgi (a local app). path: of a Unix socket, or None. authority: what Host would say.

    known_as: the name that the URL's address was found by, for Host and TLS.
    """

    __slots__ = ("app", "authority", "host", "name", "path", "port", "scheme", "server_name", "url")

    def __init__(self, url: str, server_name: str | None = None, known_as: str = "") -> None:
        self.url = url
        self.path: str | None = None
        self.app: str | None = None
        self.host = ""
        self.port = 0
        if url.startswith("unix:"):
            self.scheme, self.path, self.name, self.authority = "http", url[5:], url, b"localhost"
        elif url.startswith("asgi://"):
            self.scheme, self.app, self.name, self.authority = "asgi", url[7:], url, b"localhost"
        else:
            parts = urlsplit(url)
            self.scheme = parts.scheme
            self.host = parts.hostname or ""
            self.port = parts.port or DEFAULT_PORTS[self.scheme]
            host = f"[{self.host}]" if ":" in self.host else self.host
            self.name = f"{host}:{self.port}"
            named = known_as or host
            authority = named if self.port == DEFAULT_PORTS[self.scheme] else f"{named}:{self.port}"
            self.authority = authority.encode("ascii")
        self.server_name = server_name or known_as or self.host
