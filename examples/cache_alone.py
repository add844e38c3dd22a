"""The cache in an app of your own, without a proxy: what the app says may be kept is not computed twice.

    uvicorn --app-dir examples cache_alone:app
"""

import asyncio
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.middleware import CacheMiddleware


async def report(request: Request) -> JSONResponse:
    await asyncio.sleep(0.1)  # a query that takes its time
    made = {"year": request.path_params["year"], "made_at": datetime.now(UTC).isoformat()}
    return JSONResponse(made, headers={"Cache-Control": "max-age=60, stale-while-revalidate=600"})


async def basket(request: Request) -> JSONResponse:
    return JSONResponse({"owner": request.cookies.get("session")}, headers={"Cache-Control": "private"})


app = Starlette(
    routes=[Route("/reports/{year:int}", report), Route("/basket", basket)],
    middleware=[Middleware(CacheMiddleware, negative={404: 5.0}, bypass=["query:fresh"])],
)
