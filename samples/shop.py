"""A shop: one HTML page that tries the gateway's routes from the browser, and pages of products."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PRODUCTS: Final = {"teapot": "Short and stout", "kettle": "Boils in two minutes", "cup": "Holds a quarter of a litre"}
PAGE: Final = (Path(__file__).parent / "shop.html").read_text("utf-8")


async def home(_request: Request) -> Response:
    items = "".join(f'<li><a href="/products/{name}">{name}</a>: {escape(text)}</li>' for name, text in PRODUCTS.items())
    return HTMLResponse(PAGE.replace("[PRODUCTS]", items))


async def product(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in PRODUCTS:
        return PlainTextResponse("No such product.\n", 404)
    return HTMLResponse(f"<!doctype html><title>{name}</title><h1>{name}</h1><p>{escape(PRODUCTS[name])}</p>\n")


async def health(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


app = Starlette(routes=[Route("/", home), Route("/products/{name}", product), Route("/healthz", health)])
