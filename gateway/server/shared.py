"""What all the connections of a server have in common, made with the first one and kept on uvicorn's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.deadlines import Deadlines
from gateway.server.settings import ServerSettings

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from gateway.exchange import Headers


def shared(config: Config, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> Shared:
    found: Shared | None = getattr(server_state, "gateway", None)
    if found is None:
        found = Shared(configured(config.loaded_app), Deadlines(loop), server_state)
        server_state.gateway = found  # type: ignore[attr-defined]
    return found


class Shared:
    """The limits and deadlines of a server's connections, and the fields that it adds to every answer."""

    __slots__ = ("_app", "_server_state", "_stamped", "_stamps", "deadlines")

    def __init__(self, app: Configured, deadlines: Deadlines, server_state: ServerState) -> None:
        self._app = app
        self.deadlines = deadlines
        self._server_state = server_state
        self._stamped: list[tuple[bytes, bytes]] | None = None
        self._stamps = Stamps([])

    @property
    def settings(self) -> ServerSettings:
        """For a connection that begins now: they may change while we run."""
        return self._app.server_settings

    @property
    def stamps(self) -> Stamps:
        """uvicorn makes a new list of default fields every second."""
        fields = self._server_state.default_headers
        if fields is not self._stamped:
            self._stamped = fields
            self._stamps = Stamps(fields)
        return self._stamps


class Configured(Protocol):
    """An app that says what its connections are bound by."""

    server_settings: ServerSettings


class Unconfigured:
    """Any other app: the defaults."""

    server_settings = ServerSettings()


def configured(app: object) -> Configured:
    """The gateway, also within the middleware that uvicorn puts around an app (`proxy_headers`)."""
    while app is not None:
        if hasattr(app, "server_settings"):
            found: Configured = app
            return found
        app = getattr(app, "app", None)
    return Unconfigured()


class Stamps:
    """The fields that the server itself adds to every answer, such as Date, as they are sent."""

    __slots__ = ("_fields", "_parts", "block")

    def __init__(self, fields: Headers) -> None:
        self._fields = fields
        self._parts: dict[bytes, Stamps] = {}
        self.block = b"".join([b"%b: %b\r\n" % pair for pair in fields])

    def without(self, name: bytes) -> Stamps:
        """The others, where the app says one of them itself."""
        part = self._parts.get(name)
        if part is None:
            part = self._parts[name] = Stamps([pair for pair in self._fields if pair[0] != name])
        return part
