"""What a local app does behind its answer: it is owned, and ends before the app's lifespan does."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from gateway.upstream import local
from support.client import get
from support.serving import gateway, on_both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.serving import Entrance


class Worker:
    """Answers, and then works until it may end or is cancelled. seen: what happened, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.done = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.seen.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        self.seen.append("answered")
        try:
            await self.done.wait()
            self.seen.append("done")
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise


@pytest.fixture
def worker() -> Iterator[Worker]:
    module = types.ModuleType("background_worker")
    module.app = worker = Worker()  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield worker
    del sys.modules[module.__name__]


@on_both
def test_the_lifespan_ends_when_the_work_behind_the_answers_is_done(entrance: Entrance, worker: Worker):
    with gateway({"routes": [{"upstream": "asgi://background_worker:app"}]}, entrance) as front:
        assert get(front.port).body == b"ok"
        front.until(lambda: worker.seen == ["answered"])
        front.loop.call_soon_threadsafe(front.loop.call_later, 0.2, worker.done.set)
    assert worker.seen == ["answered", "done", "shutdown"]


@on_both
def test_work_that_does_not_end_is_cancelled(entrance: Entrance, worker: Worker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "STOP_TIMEOUT", 0.1)
    with gateway({"routes": [{"upstream": "asgi://background_worker:app"}]}, entrance) as front:
        assert get(front.port).body == b"ok"
        front.until(lambda: worker.seen == ["answered"])
    assert worker.seen == ["answered", "cancelled", "shutdown"]
