"""The order of the hooks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import pytest

from gateway.exchange import Exchange, Headers, Reply, ResponseHead
from gateway.observe.counters import Counters
from gateway.observe.request_id import RequestIds
from gateway.pipeline import Pipeline
from gateway.policies.standard import Standard

if TYPE_CHECKING:
    from gateway.errors import GatewayError


class Whole:
    """A policy of all four hooks that writes down when it ran."""

    def __init__(self, name: str, seen: list[str], reply: Reply | None = None) -> None:
        self.name = name
        self.seen = seen
        self.reply = reply

    def admit(self, exchange: Exchange) -> Reply | None:
        self.seen.append(f"admit {self.name}")
        return self.reply

    def prepare(self, exchange: Exchange, headers: Headers) -> None:
        headers.append((self.name.encode(), b""))

    def amend(self, exchange: Exchange, head: ResponseHead) -> None:
        head.headers.append((self.name.encode(), b""))

    def finish(self, exchange: Exchange) -> None:
        self.seen.append(f"finish {self.name}")


class Awaiting(Whole):
    async def admit(self, exchange: Exchange) -> Reply | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().admit(exchange)


class OnlyFinish:
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def finish(self, exchange: Exchange) -> None:
        self.seen.append("only")


class Broken(OnlyFinish):
    def finish(self, exchange: Exchange) -> None:
        msg = "broken"
        raise RuntimeError(msg)


def an_exchange() -> Exchange:
    return Exchange(b"GET", b"/", None, [])


def test_admit_runs_in_order_until_somebody_replies():
    seen: list[str] = []
    reply = Reply(403)
    pipeline = Pipeline([Whole("a", seen), OnlyFinish(seen), Whole("b", seen, reply), Whole("c", seen)])
    assert not pipeline.awaits
    assert pipeline.admit(an_exchange()) is reply
    assert seen == ["admit a", "admit b"]


def test_without_a_reply_the_request_goes_on():
    assert Pipeline([Whole("a", [])]).admit(an_exchange()) is None
    assert Pipeline([]).admit(an_exchange()) is None


def test_prepare_runs_in_order_and_amend_backwards():
    pipeline = Pipeline([Whole("a", []), Whole("b", [])])
    headers: Headers = []
    pipeline.prepare(an_exchange(), headers)
    assert headers == [(b"a", b""), (b"b", b"")]
    head = ResponseHead(200, [])
    pipeline.amend(an_exchange(), head)
    assert head.headers == [(b"b", b""), (b"a", b"")]


@pytest.mark.parametrize("last", [None, Reply(401)])
def test_an_admit_that_awaits_is_awaited_among_the_others(last: Reply | None):
    seen: list[str] = []
    pipeline = Pipeline([Whole("a", seen), Awaiting("b", seen), Whole("c", seen, last), Whole("d", seen)])
    assert pipeline.awaits
    assert asyncio.run(pipeline.admit_awaiting(an_exchange())) is last
    assert seen == ["admit a", "admit b", "admit c", *([] if last else ["admit d"])]


def test_every_finish_runs_whatever_another_does(caplog: pytest.LogCaptureFixture):
    seen: list[str] = []
    with caplog.at_level(logging.ERROR):
        Pipeline([OnlyFinish(seen), Broken(seen), Whole("a", seen)]).finish(an_exchange())
    assert seen == ["only", "finish a"]
    assert [record.message for record in caplog.records] == ["finish hook failed"]


def test_what_every_exchange_has_comes_first_and_its_answers_id_last(caplog: pytest.LogCaptureFixture):
    seen: list[str] = []
    standard = Standard(Counters(), None, RequestIds())
    for pipeline in (Pipeline([Whole("a", seen)], standard), Pipeline([Awaiting("a", seen)], standard)):
        refused = asyncio.run(pipeline.admit_awaiting(Exchange(b"TRACE", b"/", None, [])))
        assert refused is not None
        assert refused.status == 405
        assert seen == []
    assert pipeline.awaits
    exchange = an_exchange()
    head = ResponseHead(200, [])
    pipeline.amend(exchange, head)
    assert [name for name, _ in head.headers] == [b"a", b"x-request-id"]
    exchange.error = cast("GatewayError", "no error at all")  # counting fails over it
    with caplog.at_level(logging.ERROR):
        pipeline.finish(exchange)
    assert seen == ["finish a"]
    assert [record.message for record in caplog.records] == ["finish hook failed"]
