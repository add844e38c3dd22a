"""What the end of an attempt teaches a balancer that learns."""

from __future__ import annotations

from gateway.balance import Learns, LeastTime, RoundRobin
from gateway.errors import ClientGone, ConnectionRefused, FirstByteTimeout, IncompleteResponse
from gateway.exchange import Exchange
from gateway.upstream.address import Address
from gateway.upstream.lessons import teach
from gateway.upstream.local import LocalApp
from gateway.upstream.local_target import LocalTarget
from gateway.upstream.upstream import Upstream
from support.balancing import Stub, options


class Pupil:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float, float]] = []

    def answered(self, target: Stub, seconds: float, now: float) -> None:
        self.told.append(("answered", seconds, now))

    def failed(self, target: Stub, seconds: float, now: float) -> None:
        self.told.append(("failed", seconds, now))

    def left(self, target: Stub, seconds: float, now: float) -> None:
        self.told.append(("left", seconds, now))


def lesson(error: BaseException | None, *, first_byte_at: float = 0.0, websocket: bool = False, status: int = 200) -> list[tuple[str, float, float]]:
    """Of an attempt from 10.0 to 13.0."""
    exchange, pupil = Exchange(b"GET", b"/", None, []), Pupil()
    assert isinstance(pupil, Learns)
    exchange.attempt_at = 10.0
    exchange.first_byte_at = first_byte_at
    exchange.websocket = websocket
    exchange.status = status
    teach(pupil, exchange, Stub(), error, 13.0)  # type: ignore[arg-type]
    return pupil.told


def test_an_answer_counts_until_its_first_byte():
    assert lesson(None, first_byte_at=10.5) == [("answered", 0.5, 13.0)]


def test_a_failure_counts_until_it_was_clear_even_where_an_answer_had_begun():
    assert lesson(ConnectionRefused()) == [("failed", 3.0, 13.0)]
    assert lesson(FirstByteTimeout()) == [("failed", 3.0, 13.0)]
    assert lesson(IncompleteResponse(), first_byte_at=10.5) == [("failed", 3.0, 13.0)]


def test_a_target_that_answers_fast_because_it_does_nothing_does_not_look_fast():
    for status in (502, 503, 504):
        assert lesson(None, first_byte_at=10.001, status=status) == [("failed", 3.0, 13.0)]
    for status in (404, 500):
        assert lesson(None, first_byte_at=10.5, status=status) == [("answered", 0.5, 13.0)]


def test_the_first_byte_of_an_earlier_attempt_does_not_count():
    assert lesson(ClientGone(), first_byte_at=9.0) == [("left", 3.0, 13.0)]


def test_a_client_that_leaves_did_not_wait_any_longer():
    assert lesson(ClientGone()) == [("left", 3.0, 13.0)]
    assert lesson(ClientGone(), first_byte_at=11.0) == [("answered", 1.0, 13.0)]


def test_the_life_of_a_websocket_teaches_nothing():
    assert lesson(None, websocket=True) == []
    assert lesson(ClientGone(), websocket=True) == []


def test_an_upstream_teaches_the_balancer_that_wants_to_learn():
    clock = iter([10.0, 13.0]).__next__
    target = LocalTarget(Address("asgi://a:app"), LocalApp("a:app"))
    upstream = Upstream("u", [target], lambda ready: LeastTime(ready, options()), now=clock)
    exchange = Exchange(b"GET", b"/", None, [])
    upstream.began(exchange, target)
    exchange.first_byte_at = 10.25
    upstream.ended(exchange, target, None)
    assert target.latency.at(13.0) == 0.25


def test_another_balancer_never_asks_the_clock():
    def clock() -> float:
        raise AssertionError("nobody wants to know")

    target = LocalTarget(Address("asgi://a:app"), LocalApp("a:app"))
    upstream = Upstream("u", [target], RoundRobin, now=clock)
    exchange = Exchange(b"GET", b"/", None, [])
    upstream.began(exchange, target)
    upstream.ended(exchange, target, None)
    assert not target.latency.is_known
