"""One piece of the gateway in an app of your own: only some addresses come in, by HTTP and by WebSocket.

    ALLOW=127.0.0.1,10.0.0.0/8 uvicorn --no-proxy-headers --app-dir examples allowlist_alone:app
"""

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.middleware import IPAllowlistMiddleware


async def home(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("come in")


app = Starlette(
    routes=[Route("/", home)],
    middleware=[Middleware(IPAllowlistMiddleware, allow=os.environ.get("ALLOW", "127.0.0.1").split(","))],
)
