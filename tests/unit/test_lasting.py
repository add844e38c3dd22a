from __future__ import annotations

import asyncio

import pytest

from gateway.lasting import Draft, Lasting, Retiring, begin, end


class Thing:
    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.told: list[str] = []

    async def start(self) -> None:
        self.told.append("start")
        if self.fault:
            raise ValueError(self.fault)

    async def stop(self) -> None:
        self.told.append("stop")


def accepted(lasting: Lasting, **things: object) -> dict[str, Thing]:
    """A configuration that has these things, made from these values."""
    draft = lasting.draft()
    kept = {name: draft.keep(name, made_from, Thing) for name, made_from in things.items()}
    draft.accept()
    return kept


def test_a_thing_stays_while_it_is_made_from_the_same():
    lasting = Lasting()
    first = accepted(lasting, a=[1], b=[2])
    second = accepted(lasting, a=[1], b=[3])
    assert second["a"] is first["a"]
    assert second["b"] is not first["b"]


def test_what_is_asked_for_twice_is_made_once():
    draft = Lasting().draft()
    assert draft.keep("a", 1, Thing) is draft.keep("a", 1, Thing)
    assert len(draft.made()) == 1


def test_what_is_not_needed_any_more_is_left():
    lasting = Lasting()
    first = accepted(lasting, stays=1, changes=1, goes=1)
    draft = lasting.draft()
    draft.keep("stays", 1, Thing)
    draft.keep("changes", 2, Thing)
    assert draft.accept() == [first["changes"], first["goes"]]


def test_only_what_is_new_has_to_start():
    lasting = Lasting()
    accepted(lasting, old=1)
    draft = lasting.draft()
    draft.keep("old", 1, Thing)
    fresh = draft.keep("new", 1, Thing)
    draft.keep("no life", 1, lambda: "text")
    assert draft.made() == [fresh]


def test_a_draft_changes_nothing_until_it_is_accepted():
    lasting = Lasting()
    first = accepted(lasting, a=1)
    changes: list[str] = []
    draft = lasting.draft()
    draft.keep("a", 2, Thing)
    draft.on_accept(lambda: changes.append("changed"))
    assert (lasting.running(), changes) == ([first["a"]], [])
    assert draft.before("a") is first["a"]
    assert draft.before("b") is None
    draft.accept()
    assert changes == ["changed"]


def failing(lasting: Lasting) -> Draft:
    draft = lasting.draft()
    draft.keep("good", 1, Thing)
    draft.keep("bad", 1, lambda: Thing("no"))
    return draft


def test_what_was_begun_for_a_draft_that_cannot_start_is_stopped():
    draft = failing(Lasting())
    with pytest.raises(ValueError, match="no"):
        asyncio.run(begin(draft))
    assert [thing.told for thing in draft.made()] == [["start", "stop"], ["start", "stop"]]


def test_all_are_stopped_even_where_one_fails():
    class Stuck(Thing):
        async def stop(self) -> None:
            await super().stop()
            raise OSError("stuck")

    things: list[Thing] = [Stuck(), Thing()]
    with pytest.raises(OSError, match="stuck"):
        asyncio.run(end(list(things)))
    assert [thing.told for thing in things] == [["stop"], ["stop"]]


def test_a_thing_without_exchanges_of_its_own_does_not_retire():
    assert not isinstance(Thing(), Retiring)
