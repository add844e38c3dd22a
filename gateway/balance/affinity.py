"""Affinity: a client comes back to where it was, by a cookie that we give it.

The cookie's value is an HMAC of the name that it stands for (of a target, or of a split's share). So it tells nothing of
what is inside, nothing is kept for a client, and whatever a client makes up is no more than unknown. A value made with
an older key is still understood, and answered with one of the newest key. Where the name is not among those that may
be picked the request is picked for anew, and the cookie with it.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.rfc.cookies import cookie

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.balance import Balanced, Balancer
    from gateway.exchange import Exchange, ResponseHead

_VALUE_BYTES = 15  # of the HMAC: 120 bits are 20 characters, without padding


T = TypeVar("T", bound="Balanced")


class StickyCookie:
    """What Set-Cookie says beside the value (RFC 6265 section 4.1). max_age: seconds; None until the browser closes.

    secure: None is as the client came: over HTTPS alone, or not.
    """

    __slots__ = ("_plain", "_secure", "name")

    def __init__(
        self,
        name: str,
        *,
        path: str = "/",
        domain: str | None = None,
        max_age: int | None = None,
        secure: bool | None = None,
        http_only: bool = True,
        same_site: str = "Lax",
    ) -> None:
        self.name = name.encode()
        attributes = f"; Path={path}"
        if domain is not None:
            attributes += f"; Domain={domain}"
        if max_age is not None:
            attributes += f"; Max-Age={max_age}"
        if http_only:
            attributes += "; HttpOnly"
        attributes += f"; SameSite={same_site}"
        self._plain = attributes.encode()
        self._secure = self._plain + b"; Secure"
        if secure is not None:
            self._plain = self._secure = self._secure if secure else self._plain

    def field(self, value: bytes, scheme: bytes) -> tuple[bytes, bytes]:
        """Set-Cookie for a client that came by this scheme."""
        return b"set-cookie", self.name + b"=" + value + (self._secure if scheme == b"https" else self._plain)


class Affinity(Generic[T]):
    """scope: what the names belong to, so that the same name elsewhere has another value. keys: the newest first."""

    __slots__ = ("_cookie", "_keys", "_members", "_scope", "_values")

    def __init__(self, scope: str, cookie: StickyCookie, keys: Sequence[bytes]) -> None:
        self._scope = scope
        self._cookie = cookie
        self._keys = tuple(keys)
        self._members: dict[bytes, T] = {}
        self._values: dict[str, bytes] = {}

    def over(self, members: Sequence[T]) -> None:
        """Those that cookies may stand for from now on."""
        self._values = {member.name: self._value(self._keys[0], member.name) for member in members}
        self._members = {self._value(key, member.name): member for key in self._keys for member in members}

    def find(self, exchange: Exchange) -> T | None:
        """Who the request's cookie stands for, of those that may be picked."""
        value = cookie(exchange.headers, self._cookie.name)
        return None if value is None else self._members.get(value)

    def give(self, exchange: Exchange, head: ResponseHead, name: str) -> None:
        """Set the cookie for the one that was picked, unless the client has it already.

        No cache on the way may keep such an answer: it would send everybody to the same target.
        """
        value = self._values.get(name)
        if value is None or cookie(exchange.headers, self._cookie.name) == value:
            return
        head.headers += (self._cookie.field(value, exchange.scheme), (b"cache-control", b"private"))

    def _value(self, key: bytes, name: str) -> bytes:
        made = hmac.digest(key, f"{self._scope}\0{name}".encode(), "sha256")
        return urlsafe_b64encode(made[:_VALUE_BYTES])


class Preference(Generic[T]):
    """What a request says about where it wants to go: first its cookie, then the key that the balancer hashes.

    key: finds it in the request (`keys.py`).
    """

    __slots__ = ("_key", "affinity")

    def __init__(self, key: Callable[[Exchange], bytes] | None = None, affinity: Affinity[T] | None = None) -> None:
        self._key = key
        self.affinity = affinity

    def over(self, members: Sequence[T]) -> None:
        if self.affinity is not None:
            self.affinity.over(members)

    def pick(self, balancer: Balancer[T], exchange: Exchange, tried: tuple[T, ...]) -> T | None:
        if self.affinity is not None:
            member = self.affinity.find(exchange)
            if member is not None and member not in tried:
                return member
        return balancer.pick(b"" if self._key is None else self._key(exchange), tried)
