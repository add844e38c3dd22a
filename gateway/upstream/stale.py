"""Whether an idle connection has something to say: that it is closed, or bytes that nobody asked for.

The event loop tells it a moment later. That is soon enough for requests that may be sent again; one that may not is
worth a system call.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


def has_news(transport: asyncio.Transport) -> bool:
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
