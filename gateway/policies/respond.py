"""Answers that a route gives by itself: a fixed response, or a redirect (RFC 9110 section 15.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import BadRequest
from gateway.exchange import Reply
from gateway.policies.headers import field_name, field_value
from gateway.policies.template import SOURCES, Template, capture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.exchange import Exchange

REDIRECT_STATUSES: Final = (301, 302, 303, 307, 308)

_FINAL_STATUSES: Final = range(200, 600)
_BODILESS: Final = (204, 205, 304)
# A redirect goes to a path of the same host, or to an origin that is written out or made of {scheme} and {host} alone.
_DESTINATION: Final = re.compile(
    r"""(?: (?:[a-z][a-z0-9+.-]* | \{scheme\}) :// (?:[^/?\#{}\\] | \{host\})+ (?=[/?\#]|$)
        | / (?![/\\]) )""",
    re.VERBOSE | re.IGNORECASE,
)
_NOT_IN_A_URI: Final = re.compile(rb"[^!#-;=?-\[\]_a-z~]")  # RFC 3986 section 2: also space, quotes, <>, \, ^, `, {|}


class FixedAnswer:
    """An `admit` policy: always the same response. A body without a Content-Type of its own is plain text."""

    __slots__ = ("_reply",)

    def __init__(self, status: int, body: str | bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        if status not in _FINAL_STATUSES:
            msg = f"a fixed answer has a status from 200 to 599, not {status}"
            raise ValueError(msg)
        content = body.encode() if isinstance(body, str) else body
        if content and status in _BODILESS:
            msg = f"a {status} has no body"
            raise ValueError(msg)
        fields = [(field_name(name), field_value(name, value).encode()) for name, value in (headers or {}).items()]
        if content and all(name != b"content-type" for name, _ in fields):
            fields.append((b"content-type", b"text/plain; charset=utf-8"))
        self._reply = Reply(status, fields, content)

    def admit(self, _exchange: Exchange) -> Reply | None:
        return self._reply


class Redirect:
    """An `admit` policy: sends the client elsewhere.

    to: a path, or an absolute URI, with `{path}` for what the route's `*` matched, `{name}` for what the route
    captured, `{host}` and `{scheme}` and the other placeholders of header values. Captures stand for raw bytes of the
    request target and cannot choose the host. The query goes along unless `to` has one. captures: the names used,
    for the configuration to compare with those that the route has.
    """

    __slots__ = ("_keeps_query", "_local", "_location", "_needs_host", "_suffix", "captures", "status")

    def __init__(self, to: str, status: int = 308) -> None:
        if status not in REDIRECT_STATUSES:
            msg = f"a redirect has one of the statuses {', '.join(map(str, REDIRECT_STATUSES))}, not {status}"
            raise ValueError(msg)
        if not _DESTINATION.match(to):
            msg = f'"{to}" is not a path such as "/new/{{path}}" or a URI whose host is fixed or {{host}}'
            raise ValueError(msg)
        self.status = status
        location, mark, fragment = field_value("Location", to).partition("#")
        self._location = Template(location, capture)
        self._suffix = Template(mark + fragment, capture)
        self.captures = frozenset(self._location.names + self._suffix.names).difference(SOURCES)
        self._keeps_query = "?" not in location
        self._local = to.startswith("/")
        self._needs_host = "host" in self._location.names

    def admit(self, exchange: Exchange) -> Reply | None:
        if self._needs_host and not exchange.host:
            return Reply(400, error=BadRequest("a redirect to the same host needs a Host field"))
        return Reply(self.status, [(b"location", self._destination(exchange))])

    def _destination(self, exchange: Exchange) -> bytes:
        location = self._location.render(exchange)
        if self._local and location[1:2] in (b"/", b"\\"):
            # "//name" would be another host (RFC 3986 section 4.2), and browsers read "/\\name" in the same way.
            location = b"/" + location.lstrip(b"/\\")
        if self._local:
            location = exchange.mount + location
        if self._keeps_query and exchange.query is not None:
            location += b"?" + exchange.query
        return _NOT_IN_A_URI.sub(_percent_encoded, location + self._suffix.render(exchange))


def _percent_encoded(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
