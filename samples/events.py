"""What stays open: a clock as server-sent events, and a WebSocket that answers what it hears."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket


async def clock(_request: Request) -> Response:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield f"data: {datetime.now(UTC):%H:%M:%S} UTC\n\n"
            await asyncio.sleep(1)

    return StreamingResponse(ticks(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(f"heard: {await socket.receive_text()}")
    except WebSocketDisconnect:
        return


async def health(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


app = Starlette(routes=[Route("/clock", clock), WebSocketRoute("/ws", chat), Route("/healthz", health)])
