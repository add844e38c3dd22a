"""Who may come in, by the client's address: deny wins, and where `allow` is not empty nobody else may.

The address is the one behind trusted proxies (`exchange.client`). An address that is not known, as that of a peer on a
Unix socket, belongs to no network: it passes only where `allow` is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import Denied
from gateway.exchange import Reply
from gateway.rfc.forwarded import Networks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.exchange import Exchange

_MEMO_ENTRIES: Final = 8192  # addresses whose verdict is kept; a full memo is cleared


class AccessRules:
    """The verdict on an address. allow, deny: addresses and networks; ValueError where one is neither."""

    __slots__ = ("_allow", "_deny", "_everyone", "_verdicts")

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        allowed = tuple(allow)
        self._everyone = not allowed
        self._allow = Networks(allowed)
        self._deny = Networks(deny)
        self._verdicts: dict[str, str] = {}

    def allows(self, address: str) -> bool:
        return not self.refused_by(address)

    def refused_by(self, address: str) -> str:
        """The option that keeps this address out, `access.deny` or `access.allow`; empty where it may come in."""
        verdict = self._verdicts.get(address)
        if verdict is None:
            verdict = self._judge(address)
            if len(self._verdicts) >= _MEMO_ENTRIES:
                self._verdicts.clear()
            self._verdicts[address] = verdict
        return verdict

    def _judge(self, address: str) -> str:
        if self._deny.contains(address):
            return "access.deny"
        if self._everyone or self._allow.contains(address):
            return ""
        return "access.allow"


class Access:
    """An `admit` policy: 403 for a client that the rules keep out."""

    __slots__ = ("rules",)

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        self.rules = AccessRules(allow, deny)

    def admit(self, exchange: Exchange) -> Reply | None:
        option = self.rules.refused_by(exchange.client)
        if not option:
            return None
        return Reply(403, error=Denied(f"{exchange.client or 'a client without an address'} is refused by {option}"))
