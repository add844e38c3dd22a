"""What every exchange has, whatever its route says: it is counted and logged, has a method that we serve, and its answer has an id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import MethodNotAllowed
from gateway.exchange import Reply

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead
    from gateway.observe.access_log import AccessLog
    from gateway.observe.counters import Counters
    from gateway.observe.request_id import RequestIds

_REFUSED: Final = frozenset({b"CONNECT", b"TRACE"})
_COUNT: Final = re.compile(rb"[0-9]{1,9}").fullmatch
_ALLOWED: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Standard:
    """The policy around all others of a pipeline, which knows it by its class: compiled, that makes a call of it cost a
    twentieth of what a hook's does. log: None where none is written. id_field: by which an answer carries the id."""

    __slots__ = ("_counters", "_ids", "_log", "id_field")

    def __init__(self, counters: Counters, log: AccessLog | None, ids: RequestIds) -> None:
        self._counters = counters
        self._log = log
        self._ids = ids
        self.id_field = ids.field

    def admit(self, exchange: Exchange) -> Reply | None:
        """405 for CONNECT and TRACE (RFC 9110 sections 9.3.6 and 9.3.8), and Max-Forwards of OPTIONS.

        A tunnel to anywhere is a forward proxy's business, and TRACE would show a client the fields that we add.
        """
        self._counters.admit(exchange)
        method = exchange.method
        if method in _REFUSED:
            return Reply(405, error=MethodNotAllowed(_ALLOWED))
        if method == b"OPTIONS":
            return _count_down(exchange)
        return None

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        """The answer carries the id of its request, in place of what a target says."""
        if not exchange.request_id:  # refused before it could be given one
            self._ids.assign(exchange)
        field = self.id_field
        headers = head.headers
        for name, _ in headers:
            if name == field:
                headers[:] = [pair for pair in headers if pair[0] != field]
                break
        headers.append((field, exchange.request_id))

    def finish(self, exchange: Exchange) -> None:
        try:
            self._counters.finish(exchange)
        finally:
            if self._log is not None:
                self._log.finish(exchange)


def _count_down(exchange: Exchange) -> Reply | None:
    """RFC 9110 section 7.6.2: at 0 the request ends here, else it goes on with one less."""
    left = exchange.header(b"max-forwards")
    if left is None or _COUNT(left) is None:
        return None
    if not int(left):
        return Reply(204, [(b"allow", _ALLOWED.encode())])
    exchange.headers = [
        (name, b"%d" % (int(left) - 1) if name == b"max-forwards" else value) for name, value in exchange.headers
    ]
    return None
