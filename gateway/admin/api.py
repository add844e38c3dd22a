"""The endpoints of the admin API: one table, and how an order becomes an answer.

Orders and answers are JSON. An endpoint acts on this process alone; `fleet.py` sees to it that all processes that
serve the same file get the order, and says how each did.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl

from gateway.admin.cache import cache
from gateway.admin.drain import drain, enable
from gateway.admin.guard import Refused
from gateway.admin.purge import purge
from gateway.admin.reload import reload
from gateway.admin.status import status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.exchange import Headers
    from gateway.gateway import Gateway

    Json: TypeAlias = dict[str, Any]
    Endpoint: TypeAlias = Callable[["Gateway", "Order"], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Order:
    """target: the path with its query, as it was asked for. query: the last value of each name. body: a JSON object."""

    method: str
    target: str
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def text(self, key: str) -> str:
        """A text that has to be in the body. Raises Refused."""
        found = self.body.get(key)
        if not isinstance(found, str) or not found:
            raise Refused(422, f'"{key}" is missing: a text')
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """body: a JSON object. headers: beyond those that every answer has."""

    status: int
    body: Json
    headers: Headers = field(default_factory=list)

    @property
    def well(self) -> bool:
        return self.status < 400


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "GET /cache": cache,
    "GET /status": status,
    "POST /reload": reload,
    "POST /drain": drain,
    "POST /enable": enable,
    "POST /cache/purge": purge,
}


def read_order(method: bytes, target: bytes, body: bytes) -> Order:
    """Raises Refused for what is no JSON object, for unknown paths, and for methods that a path does not have."""
    order = Order(method.decode("latin-1"), target.decode("latin-1"), _object(body))
    if f"{order.method} {order.path}" not in ENDPOINTS:
        allowed = [key.partition(" ")[0] for key in ENDPOINTS if key.partition(" ")[2] == order.path]
        if allowed:
            fields = [(b"allow", ", ".join(sorted(allowed)).encode())]
            raise Refused(405, f"{order.path} is asked by {' or '.join(sorted(allowed))}", fields)
        raise Refused(404, "there is no such endpoint; there are " + ", ".join(ENDPOINTS))
    return order


async def follow(gateway: Gateway, order: Order) -> Answer:
    """Do what is ordered in this process, and say how that went."""
    try:
        said = await ENDPOINTS[f"{order.method} {order.path}"](gateway, order)
    except Refused as refused:
        return refusal(refused)
    return Answer(200, {"pid": os.getpid(), "ok": True, **said})


def refusal(refused: Refused) -> Answer:
    body = {"pid": os.getpid(), "ok": False, "status": refused.status, "error": refused.message, **refused.facts}
    return Answer(refused.status, body, refused.headers)


def _object(body: bytes) -> Json:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(found, dict):
        raise Refused(422, "the body has to be a JSON object")
    return found
