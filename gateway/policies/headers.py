"""Header fields set, added and removed by configuration, on the request or on the response.

The fields that frame a message or belong to one connection (RFC 9110 section 7.6.1, RFC 9112 section 6) are the
gateway's own and cannot be edited.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.policies.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.exchange import Exchange, Headers, ResponseHead

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING: Final = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def field_name(name: str) -> bytes:
    """The name in lowercase. ValueError where it is no token, or a field that configuration may not touch."""
    lowered = name.lower()
    if not _TOKEN.fullmatch(name):
        msg = f'"{name}" is not a header field name'
        raise ValueError(msg)
    if lowered in _FRAMING:
        msg = f'"{name}" frames the message or belongs to the connection: the gateway writes it itself'
        raise ValueError(msg)
    return lowered.encode()


def field_value(name: str, value: str) -> str:
    """The value without outer white space. ValueError where it would break out of its line."""
    if _CONTROLS.search(value):
        msg = f'the value for "{name}" contains a control character'
        raise ValueError(msg)
    return value.strip(" \t")


class _Edits:
    """set: takes the place of all fields of that name. add: one more field. remove: all fields of that name."""

    __slots__ = ("_add", "_displaced", "_fixed")

    def __init__(self, set: Mapping[str, str], add: Mapping[str, str], remove: Iterable[str]) -> None:  # noqa: A002 - the word of the configuration
        written = [
            (field_name(name), Template(field_value(name, value))) for name, value in (*set.items(), *add.items())
        ]
        removed = {field_name(name) for name in remove}
        replaced = {field_name(name) for name in set}
        if both := removed & replaced:
            msg = f'"{min(both).decode()}" is both set and removed'
            raise ValueError(msg)
        self._displaced = frozenset(removed | replaced)
        fixed = [(name, template.literal) for name, template in written if template.literal is not None]
        self._fixed: Headers | None = fixed if len(fixed) == len(written) else None
        self._add = written

    def apply(self, exchange: Exchange, headers: Headers) -> None:
        displaced = self._displaced
        if displaced:
            headers[:] = [field for field in headers if field[0] not in displaced]
        if self._fixed is not None:
            headers += self._fixed
        else:
            headers += [(name, template.render(exchange)) for name, template in self._add]


def filled_in(*edits: Mapping[str, str]) -> frozenset[bytes]:
    """The names of the fields whose values are made anew for every request."""
    return frozenset(
        field_name(name) for values in edits for name, value in values.items() if Template(value).literal is None
    )


class RequestHeaders:
    """A `prepare` policy: edits the request's fields on their way to the target.

    Values may hold `{client_ip}`, `{host}`, `{request_id}`, `{scheme}` and `{route}`.
    """

    __slots__ = ("_edits",)

    def __init__(
        self,
        *,
        set: Mapping[str, str] | None = None,  # noqa: A002 - the word of the configuration
        add: Mapping[str, str] | None = None,
        remove: Iterable[str] = (),
    ) -> None:
        names = tuple(remove)
        if any(name.lower() == "host" for name in (*(set or ()), *(add or ()), *names)):
            msg = '"Host" is chosen by host_header, not by request_headers'
            raise ValueError(msg)
        self._edits = _Edits(set or {}, add or {}, names)

    def prepare(self, exchange: Exchange, headers: Headers) -> None:
        self._edits.apply(exchange, headers)


class ResponseHeaders:
    """An `amend` policy: edits the response's fields on their way to the client. Values as in `RequestHeaders`."""

    __slots__ = ("_edits",)

    def __init__(
        self,
        *,
        set: Mapping[str, str] | None = None,  # noqa: A002 - the word of the configuration
        add: Mapping[str, str] | None = None,
        remove: Iterable[str] = (),
    ) -> None:
        self._edits = _Edits(set or {}, add or {}, remove)

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        self._edits.apply(exchange, head.headers)


class StrictTransportSecurity:
    """An `amend` policy: tells browsers to come by HTTPS only (RFC 6797 sections 6.1 and 7.2).

    max_age: seconds; 0 makes them forget. Sent over HTTPS alone, and never beside the application's own field.
    """

    __slots__ = ("_field",)

    def __init__(self, max_age: int, *, include_subdomains: bool = False, preload: bool = False) -> None:
        if max_age < 0:
            msg = f"max_age is a number of seconds, not {max_age}"
            raise ValueError(msg)
        value = b"max-age=%d" % max_age
        if include_subdomains:
            value += b"; includeSubDomains"
        if preload:
            value += b"; preload"
        self._field = (b"strict-transport-security", value)

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        if exchange.scheme == b"https" and head.header(b"strict-transport-security") is None:
            head.headers.append(self._field)
