"""Serve by the file as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admin.guard import Refused

if TYPE_CHECKING:
    from gateway.admin.api import Order
    from gateway.gateway import Gateway


async def reload(gateway: Gateway, _order: Order) -> dict[str, Any]:
    """Raises Refused, with all faults, where the file cannot be used: then nothing has changed."""
    if gateway.reloading is None:
        raise Refused(409, "this gateway was not started with a file")
    outcome = await gateway.reloading.now()
    if outcome.changes is None:
        raise Refused(422, "the configuration cannot be used; nothing has changed", **outcome.told())
    return outcome.told()
