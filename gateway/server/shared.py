"""What all the connections of a server have in common, made with the first one and kept on uvicorn's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.deadlines import Deadlines
from gateway.server.framing import Stamps
from gateway.server.settings import ServerSettings

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from gateway.express import ExpressLane


def shared(config: Config, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> Shared:
    found: Shared | None = getattr(server_state, "gateway", None)
    if found is None:
        app = config.loaded_app
        lane: ExpressLane | None = None if config.root_path else getattr(app, "lane", None)
        found = Shared(configured(app), Deadlines(loop), server_state, lane)
        server_state.gateway = found  # type: ignore[attr-defined]
    return found


class Shared:
    """The limits and deadlines of a server's connections, the fields that it adds to every answer, and the app's express
    lane where it has one."""

    __slots__ = ("_app", "_server_state", "_stamped", "_stamps", "deadlines", "lane")

    def __init__(self, app: Configured, deadlines: Deadlines, server_state: ServerState, lane: ExpressLane | None) -> None:
        self._app = app
        self.lane = lane
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
