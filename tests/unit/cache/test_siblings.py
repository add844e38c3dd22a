"""What other workers are told, and what becomes of one that does not answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.admin.purge import MAX_VALUES, read_purges
from gateway.cache.purge import Purge, Scope
from gateway.cache.siblings import Siblings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def run(work: Callable[[Siblings, list[dict[str, Any]], asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """With siblings that write down what they are asked, and answer once the event is set."""

    async def main() -> None:
        siblings, orders, answers = Siblings(), list[dict[str, Any]](), asyncio.Event()

        async def ask(order: dict[str, Any]) -> None:
            orders.append(order)
            await answers.wait()

        siblings.ask = ask
        async with asyncio.timeout(20):
            await work(siblings, orders, answers)

    asyncio.run(main())


def urls(*numbers: int) -> Purge:
    return Purge(Scope.URL, tuple(b"https://a/%d" % number for number in numbers))


def test_what_comes_while_an_order_is_under_way_goes_into_one():
    async def work(siblings: Siblings, orders: list[dict[str, Any]], answers: asyncio.Event) -> None:
        first = asyncio.create_task(siblings.tell(urls(1)))
        while not orders:
            await asyncio.sleep(0)
        later = [asyncio.create_task(siblings.tell(purge)) for purge in (urls(2), urls(3), Purge(Scope.TAG, (b"t",)), urls(2))]
        await asyncio.sleep(0)
        answers.set()
        await asyncio.gather(first, *later)
        assert orders == [{"url": ["https://a/1"]}, {"url": ["https://a/2", "https://a/3"], "tag": ["t"]}]

    run(work)


def test_more_than_one_order_can_say_is_everything_and_none_is_refused():
    async def work(siblings: Siblings, orders: list[dict[str, Any]], answers: asyncio.Event) -> None:
        answers.set()
        for purge in (urls(*range(MAX_VALUES)), urls(*range(MAX_VALUES + 1)), Purge(Scope.URL, (b"https://a/" + b"x" * 70_000,))):
            await siblings.tell(purge)
        assert [list(order) for order in orders] == [["url"], ["all"], ["all"]]
        for order in orders:
            read_purges(order)  # raises Refused

    run(work)


def test_bytes_that_are_no_text_arrive_as_they_are():
    async def work(siblings: Siblings, orders: list[dict[str, Any]], answers: asyncio.Event) -> None:
        answers.set()
        await siblings.tell(Purge(Scope.URL, (b"https://a/\xff",)))
        assert [purge.values for purge in read_purges(orders[0])] == [(b"https://a/\xff",)]

    run(work)


def test_one_that_does_not_answer_holds_up_neither_clients_nor_what_is_told_next():
    async def work(siblings: Siblings, orders: list[dict[str, Any]], _answers: asyncio.Event) -> None:
        await siblings.tell(urls(1))
        await siblings.tell(urls(2))
        assert orders == [{"url": ["https://a/1"]}, {"url": ["https://a/2"]}]

    run(work)
