"""The gateway inside a Starlette app, below /api: HTTP and WebSocket go on to another server.

    UPSTREAM=http://127.0.0.1:9000 uvicorn --app-dir examples mounted_in_starlette:app
"""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from gateway.app import create_app
from gateway.config import Config

gateway = create_app(
    Config.model_validate({"routes": [{"path": "/*", "upstream": os.environ.get("UPSTREAM", "http://127.0.0.1:9000")}]})
)


async def home(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("the app's own page")


app = Starlette(
    routes=[Route("/", home), Mount("/api", gateway)],
    lifespan=gateway.lifespan,  # Starlette does not run the lifespan of what is mounted
)
