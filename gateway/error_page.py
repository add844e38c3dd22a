"""The answer to a failed request: a problem document (RFC 9457), or a page where the client would rather have HTML.

Nothing of what went wrong behind us is told: an error's class has one sentence for clients, its message is for our log.
`Proxy-Status` carries the class's type (RFC 9209). What is fixed for a class is made once.
"""

from __future__ import annotations

import html
import json
import re
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway.exchange import Reply

if TYPE_CHECKING:
    from gateway.errors import GatewayError

_HTML: Final = (b"content-type", b"text/html; charset=utf-8")
_PROBLEM: Final = (b"content-type", b"application/problem+json")
_NO_STORE: Final = (b"cache-control", b"no-store")
_KINDS: Final = 256  # bodies that are kept; there are fewer classes of errors
_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long", 499: "Client Closed Request"}  # RFC 9110 section 15.5
_MEMO_LENGTH: Final = 256  # bytes of an Accept that is worth remembering
_METHODS: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:, ?[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_WEIGHT: Final = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")  # RFC 9110 section 12.4.2


def error_reply(
    error: GatewayError, accept: bytes | None, request_id: bytes, *, allow: bytes | str | None = None
) -> Reply:
    """accept: the value of the client's Accept field. allow: the methods that a 405 names, as a list with commas."""
    status = error.status
    name = request_id.decode("latin-1")
    if accept is not None and prefers_html(accept):
        before, after = _page(status, error.detail)
        kind, body = _HTML, before + html.escape(name).encode() + after
    else:
        before, after = _problem(status, error.detail)
        kind, body = _PROBLEM, before + json.dumps(name).encode() + after
    headers = [kind, _NO_STORE, (b"proxy-status", b"gateway; error=" + error.proxy_error.encode())]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", _allowed(allow)))
    return Reply(status, headers, body, error)


def _allowed(methods: bytes | str | None) -> bytes:
    """A 405 has an Allow field in any case (RFC 9110 section 15.5.6)."""
    value = methods.encode("latin-1", "replace") if isinstance(methods, str) else methods or b""
    return value if _METHODS.fullmatch(value) else b""


def _title(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


@lru_cache(maxsize=_KINDS)
def _problem(status: int, detail: str) -> tuple[bytes, bytes]:
    """What stands before and after the quoted request id."""
    known = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail}
    return json.dumps(known)[:-1].encode() + b', "request_id": ', b"}\n"


@lru_cache(maxsize=_KINDS)
def _page(status: int, detail: str) -> tuple[bytes, bytes]:
    """What stands before and after the request id."""
    text = _PAGE
    for mark, value in (("STATUS", str(status)), ("TITLE", _title(status)), ("DETAIL", detail)):
        text = text.replace(f"[{mark}]", html.escape(value))
    before, after = text.split("[ID]")
    return before.encode(), after.encode()


# ---------------------------------------------------------------- which form (RFC 9110 section 12.5.1)


def prefers_html(accept: bytes) -> bool:
    """Whether text/html weighs more than JSON, or as much while JSON is only meant by a wildcard."""
    return _remembered(accept) if len(accept) <= _MEMO_LENGTH else _weigh(accept)


def _weigh(accept: bytes) -> bool:
    ranges = _media_ranges(accept)
    page = _best(ranges, (b"text/html", b"text/*", b"*/*"))
    problem = max(
        _best(ranges, (b"application/problem+json", b"application/*", b"*/*")),
        _best(ranges, (b"application/json", b"application/*", b"*/*")),
    )
    return page > problem and page[0] > 0


_remembered = lru_cache(maxsize=256)(_weigh)


def _media_ranges(accept: bytes) -> dict[bytes, float]:
    """The weight of each range; a member that can not be read counts for nothing."""
    ranges: dict[bytes, float] = {}
    for member in accept.lower().split(b","):
        name, *parameters = [part.strip(b" \t") for part in member.split(b";")]
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith(b"q="):
                weight = float(parameter[2:]) if _WEIGHT.fullmatch(parameter[2:]) else 0.0
        ranges.setdefault(name, weight)
    return ranges


def _best(ranges: dict[bytes, float], names: tuple[bytes, ...]) -> tuple[float, int]:
    """The weight that the most specific of these names gives, and how specific it is."""
    for rank, name in enumerate(names):
        if name in ranges:
            return ranges[name], -rank
    return 0.0, -len(names)


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>[STATUS] [TITLE]</title>
<style>
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --card: #fff; --text: #1b1f24; --soft: #5c6670; --line: #e2e6ea; --mark: #b4372b;
}
@media (prefers-color-scheme: dark) {
  :root { --ground: #111418; --card: #1a1e24; --text: #e8ebee; --soft: #9aa4ae; --line: #2c323a; --mark: #f0786a; }
}
* { box-sizing: border-box; margin: 0; }
body {
  min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground); color: var(--text);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main {
  width: 100%; max-width: 32rem; padding: 2.5rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 14px;
}
.status { font-size: .95rem; font-weight: 600; letter-spacing: .06em; color: var(--mark); }
h1 { margin: .25rem 0 .75rem; font-size: 1.75rem; line-height: 1.25; letter-spacing: -.01em; }
dl { margin-top: 2rem; padding-top: 1.25rem; border-top: 1px solid var(--line); font-size: .85rem; color: var(--soft); }
dd { margin-top: .15rem; color: var(--text); overflow-wrap: anywhere; font-family: ui-monospace, Menlo, monospace; }
</style>
</head>
<body>
<main>
<p class="status">[STATUS]</p>
<h1>[TITLE]</h1>
<p>[DETAIL]</p>
<dl><dt>Request ID, for whoever looks into this</dt><dd>[ID]</dd></dl>
</main>
</body>
</html>
"""
