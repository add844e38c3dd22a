"""Who may give orders on the admin listener? Pure.

A browser is no friend of it: a page of somebody else's can send requests to every address that its reader can reach.
So a request that names another origin is refused, and without a token also one whose Host is a name that anybody could
point at this machine (DNS rebinding).
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.exchange import Headers
    from gateway.rfc.message import RequestHead

JSON: Final = b"application/json"
_OWN_SITES: Final = (b"same-origin", b"none")  # of Sec-Fetch-Site: our own page, and the address bar


class Refused(Exception):
    """An order that is not followed: the status and the words to answer, and fields and facts that go with them."""

    def __init__(self, status: int, message: str, headers: Headers | None = None, **facts: object) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or []
        self.facts = facts


class Guard:
    """token: what a bearer must show, None where all who can connect may give orders. names: hosts that are ours."""

    __slots__ = ("_any_host", "_names", "_token")

    def __init__(self, token: str | None, names: Collection[str] = (), *, local: bool = False) -> None:
        """local: nobody comes here by a name, as it is a Unix socket."""
        self._token = None if token is None else token.encode()
        self._names = {"localhost", *names}
        self._any_host = local or token is not None

    def check(self, head: RequestHead) -> None:
        """Raises Refused."""
        self._check_site(head)
        if self._token is not None:
            self._check_token(head.fields.headers)
        if head.fields.length and value(head.fields.headers, b"content-type").partition(b";")[0].strip().lower() != JSON:
            raise Refused(415, "the body has to be application/json")

    def _check_site(self, head: RequestHead) -> None:
        if not self._any_host and not self._is_ours(head.fields.host):
            raise Refused(421, "this host is not served here; use the address")
        origin = value(head.fields.headers, b"origin")
        if origin and origin not in (b"http://" + head.fields.host, b"https://" + head.fields.host):
            raise Refused(403, "pages of other sites give no orders")
        site = value(head.fields.headers, b"sec-fetch-site")
        if site and site not in _OWN_SITES:
            raise Refused(403, "pages of other sites give no orders")

    def _check_token(self, headers: Headers) -> None:
        scheme, _, given = value(headers, b"authorization").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(b" "), self._token or b""):
            raise Refused(401, "a bearer token is needed", [(b"www-authenticate", b'Bearer realm="gateway"')])

    def _is_ours(self, host: bytes) -> bool:
        name = host.decode("latin-1").lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif ":" in name:
            name = name.rpartition(":")[0]
        return name in self._names or is_address(name)


def value(headers: Headers, name: bytes) -> bytes:
    """Of the one field of that name; of several, something that nothing equals."""
    return b", ".join([text for field, text in headers if field == name])


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
