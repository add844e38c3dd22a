"""An API: JSON answers that show what the target was sent, and endpoints that are slow, large or stream.

Every process says its own name, from the environment variable NAME, so that one sees who answered.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

NAME: Final = os.environ.get("NAME", "api")
LONGEST: Final = 30.0  # seconds that a client may make us wait


async def who(_request: Request) -> Response:
    return JSONResponse({"served_by": NAME})


async def echo(request: Request) -> Response:
    """The request as it arrived: method, target, fields and the size of the body."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    target = request.scope["raw_path"].decode("latin-1")
    if request.url.query:
        target += f"?{request.url.query}"
    return JSONResponse(
        {
            "served_by": NAME,
            "method": request.method,
            "target": target,
            "body_bytes": size,
            "headers": dict(request.headers),
        }
    )


async def slow(request: Request) -> Response:
    """Answers after `?seconds=`."""
    seconds = _number(request, "seconds", 2.0, LONGEST)
    await asyncio.sleep(seconds)
    return JSONResponse({"served_by": NAME, "waited": seconds})


async def stream(request: Request) -> Response:
    """Lines, one every `?every=` seconds, ten of them."""
    every = _number(request, "every", 0.2, LONGEST)

    async def lines() -> AsyncIterator[str]:
        for number in range(1, 11):
            yield f"line {number} of 10 by {NAME}\n"
            await asyncio.sleep(every)

    return StreamingResponse(lines(), media_type="text/plain")


async def items(_request: Request) -> Response:
    """A list that is worth compressing."""
    return JSONResponse([{"id": number, "name": f"item {number}", "in_stock": number % 3 > 0} for number in range(1000)])


async def health(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _number(request: Request, name: str, default: float, most: float) -> float:
    try:
        return min(max(float(request.query_params.get(name, default)), 0.0), most)
    except ValueError:
        return default


app = Starlette(
    routes=[
        Route("/who", who),
        Route("/echo", echo, methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/slow", slow),
        Route("/stream", stream),
        Route("/items", items),
        Route("/healthz", health),
    ]
)
