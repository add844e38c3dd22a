"""What outlives a configuration: things with a name, kept while what they are made from stays the same.

A new configuration is a draft: it takes over what fits and makes the rest, and nothing changes for the one in force.
Accepted, it is in force at once, in one step of the event loop; refused, what was made for it is thrown away.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gateway.upstream.tally import Tally

T = TypeVar("T")


@runtime_checkable
class Running(Protocol):
    """A thing with a life: begun before its configuration is in force, ended when what was under way is over."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


@runtime_checkable
class Retiring(Protocol):
    """A thing with exchanges of its own, which are to end before it stops."""

    def retire(self) -> None:
        """Another one takes its place."""

    @property
    def busy(self) -> bool:
        """Exchanges are under way that will end with it."""


class Lasting:
    """The things of the configuration that is in force. tally: what workers count together, where there are several."""

    __slots__ = ("_things", "tally")

    def __init__(self, tally: Tally | None = None) -> None:
        self._things: dict[Hashable, tuple[object, Any]] = {}
        self.tally = tally

    def draft(self) -> Draft:
        return Draft(self)

    def running(self) -> list[Running]:
        return [thing for _, thing in self._things.values() if isinstance(thing, Running)]


class Draft:
    """The things of the next configuration."""

    __slots__ = ("_changes", "_lasting", "_made", "_things")

    def __init__(self, lasting: Lasting) -> None:
        self._lasting = lasting
        self._things: dict[Hashable, tuple[object, Any]] = {}
        self._made: list[Any] = []
        self._changes: list[Callable[[], None]] = []

    def keep(self, name: Hashable, made_from: object, make: Callable[[], T]) -> T:
        """The thing of that name as it is, where it was made from the same; else a new one. made_from is compared."""
        known = self._things.get(name) or self._lasting._things.get(name)
        if known is None or known[0] != made_from:
            known = made_from, make()
            self._made.append(known[1])
        self._things[name] = known
        found: T = known[1]
        return found

    @property
    def tally(self) -> Tally | None:
        return self._lasting.tally

    def before(self, name: Hashable) -> Any:
        """The thing of that name that is in force, or None."""
        known = self._lasting._things.get(name)
        return None if known is None else known[1]

    def on_accept(self, change: Callable[[], None]) -> None:
        """Something to change in things that are in force, as soon as the draft is. It must not fail."""
        self._changes.append(change)

    def made(self) -> list[Running]:
        """What has to start before the draft can be accepted, and stops where it is refused."""
        return [thing for thing in self._made if isinstance(thing, Running)]

    def accept(self) -> list[Running]:
        """Be in force. Returns what is not needed any more, which has to stop."""
        kept = {id(thing) for _, thing in self._things.values()}
        left = [thing for thing in self._lasting.running() if id(thing) not in kept]
        self._lasting._things = self._things
        for change in self._changes:
            change()
        return left


async def begin(draft: Draft) -> None:
    """Start what the draft needs. Raises what one of them raises, when all that was begun is stopped again."""
    made = draft.made()
    outcomes = await asyncio.gather(*(thing.start() for thing in made), return_exceptions=True)
    faults = [outcome for outcome in outcomes if outcome is not None]
    if faults:
        await end(made)
        raise faults[0]


async def end(things: list[Running]) -> None:
    """Stop them, all of them even where one fails; then raise that."""
    outcomes = await asyncio.gather(*(thing.stop() for thing in things), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
