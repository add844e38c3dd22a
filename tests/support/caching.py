"""Requests and responses made by hand, at a fixed time."""

from __future__ import annotations

from typing import Any

from gateway.cache.answered import Answered
from gateway.cache.ask import Ask
from gateway.cache.entry import Entry
from gateway.cache.rules import Rules
from gateway.cache.storable import Refusal, storable
from gateway.exchange import Exchange
from gateway.rfc.dates import format_date

NOW = 1_800_000_000.0
URL = b"https://shop.example/a?x=1"
Pairs = list[tuple[bytes, bytes]]


def fields(*lines: str) -> Pairs:
    """`Name: value` lines as pairs."""
    return [(name.lower().encode(), value.strip().encode("latin-1")) for name, _, value in (line.partition(":") for line in lines)]


def date(seconds: float = 0.0) -> str:
    return format_date(NOW + seconds).decode()


def asking(*lines: str, method: str = "GET", heed: bool = True) -> Ask:
    return Ask(method.encode(), fields(*lines), heed=heed)


def answer(*lines: str, status: int = 200, length: int | None = 5, at: float = NOW, url: bytes = URL) -> Answered:
    return Answered(status, fields(*lines), length, at, at, url)


def stored(*lines: str, ask: Ask | None = None, rules: Rules | None = None, body: bytes = b"hello", **options: Any) -> Entry:
    """An entry by the rules, with its body."""
    made = storable(ask or asking(), answer(*lines, **{"length": len(body), **options}), rules or Rules())
    assert isinstance(made, Entry), made
    return made.with_body([body] if body else [])


def refused(*lines: str, ask: Ask | None = None, rules: Rules | None = None, **options: Any) -> Refusal:
    made = storable(ask or asking(), answer(*lines, **options), rules or Rules())
    assert isinstance(made, Refusal), made
    return made


def request(path: str = "/a", query: str | None = None, *lines: str, method: str = "GET", host: str = "Shop.example") -> Exchange:
    exchange = Exchange(method.encode(), path.encode(), None if query is None else query.encode(), fields(*lines), scheme=b"https")
    exchange.host = host.encode()
    return exchange


def are_waiting(fetches: Any, count: int) -> bool:
    """Whether so many requests wait for one fetch."""
    return count in waiting_for(fetches)


def waiting_for(fetches: Any) -> list[int]:
    """How many requests wait for each fetch, with that which it is made for."""
    return [
        fetched.is_led + len(fetched._followers or ()) if fetched.flight is None else len(fetched.flight._readers)
        for fetched in fetches.under_way.values()
    ]
