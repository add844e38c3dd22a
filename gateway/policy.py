"""What a policy is: an object that takes part in some of the phases of an exchange.

A policy implements any of the four hooks below; `Pipeline` gathers them once, when the configuration is loaded, into
one flat tuple a phase. All hooks are synchronous and must not block. Only `admit` may be a coroutine function: the
routes that use such a policy then always take the ASGI road.

    admit(exchange) -> Reply | None          before a target is picked; a Reply ends the exchange
    prepare(exchange, headers) -> None       the request header fields on their way to the target; edit them in place
    amend(exchange, head) -> None            the answer's head on its way to the client, ours or a target's
    finish(exchange) -> None                 always, once, after the last byte or the failure

Whose `amend` does nothing to what a cache answers from its store says so by `amends_hits = False`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.exchange import Exchange, Headers, Reply, ResponseHead


@runtime_checkable
class Admits(Protocol):
    def admit(self, exchange: Exchange) -> Reply | Awaitable[Reply | None] | None: ...


@runtime_checkable
class Prepares(Protocol):
    def prepare(self, exchange: Exchange, headers: Headers) -> None: ...


@runtime_checkable
class Amends(Protocol):
    def amend(self, exchange: Exchange, head: ResponseHead) -> None: ...


@runtime_checkable
class Finishes(Protocol):
    def finish(self, exchange: Exchange) -> None: ...


Policy = Admits | Prepares | Amends | Finishes
