"""What all the connections of a server have in common, made with the first one and kept on uvicorn's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        found = Shared(settings_of(config.loaded_app), Deadlines(loop), server_state)
        server_state.gateway = found  # type: ignore[attr-defined]
    return found


class Shared:
    """The limits and deadlines of a server's connections, and the fields that it adds to every answer."""

    __slots__ = ("_server_state", "_stamped", "_stamps", "deadlines", "settings")

    def __init__(self, settings: ServerSettings, deadlines: Deadlines, server_state: ServerState) -> None:
        self.settings = settings
        self.deadlines = deadlines
        self._server_state = server_state
        self._stamped: list[tuple[bytes, bytes]] | None = None
        self._stamps = Stamps([])

    @property
    def stamps(self) -> Stamps:
        """uvicorn makes a new list of default fields every second."""
        fields = self._server_state.default_headers
        if fields is not self._stamped:
            self._stamped = fields
            self._stamps = Stamps(fields)
        return self._stamps


def settings_of(app: object) -> ServerSettings:
    """Those of the gateway, also within the middleware that uvicorn puts around an app (`proxy_headers`)."""
    while app is not None:
        settings: ServerSettings | None = getattr(app, "server_settings", None)
        if settings is not None:
            return settings
        app = getattr(app, "app", None)
    return ServerSettings()


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
