"""Is this worker alive, and may it be sent requests? Answers for orchestrators and for the balancer before us."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.errors import MethodNotAllowed
from gateway.exchange import Reply

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Headers

_METHODS: Final = frozenset({b"GET", b"HEAD"})
_HEADERS: Final[Headers] = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Readiness:
    """Written by the life cycle alone."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.STARTING

    def ready(self) -> None:
        self.state = State.READY

    def draining(self) -> None:
        """Requests are still answered, but new ones should go elsewhere."""
        self.state = State.DRAINING


class Healthz:
    """An `admit` policy: 200 while the process can answer at all."""

    __slots__ = ()

    def admit(self, exchange: Exchange) -> Reply | None:
        return _answer(exchange, 200, "ok")


class Readyz:
    """An `admit` policy: 200 while new requests are welcome, 503 before and after."""

    __slots__ = ("_readiness",)

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def admit(self, exchange: Exchange) -> Reply | None:
        state = self._readiness.state
        return _answer(exchange, 200 if state is State.READY else 503, state.value)


def _answer(exchange: Exchange, status: int, text: str) -> Reply:
    if exchange.method not in _METHODS:
        return Reply(405, error=MethodNotAllowed("GET, HEAD"))
    return Reply(status, list(_HEADERS), f"{text}\n".encode())
