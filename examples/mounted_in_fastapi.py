"""The gateway inside a FastAPI app, below /api, beside the app's own routes, WebSocket and lifespan.

    UPSTREAM=http://127.0.0.1:9000 uvicorn --app-dir examples mounted_in_fastapi:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket

from gateway.app import create_app
from gateway.config import Config

UPSTREAM = os.environ.get("UPSTREAM", "http://127.0.0.1:9000")

gateway = create_app(
    Config.model_validate(
        {
            "upstreams": {"backend": {"targets": [UPSTREAM]}},
            "routes": [
                {"path": "/private/*", "respond": {"status": 403}},
                {"path": "/*", "upstream": "backend"},
            ],
        }
    )
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with gateway.lifespan(app):  # one line runs the gateway as long as the app
        app.state.greeting = "hello"
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"greeting": app.state.greeting}


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


app.mount("/api", gateway)
