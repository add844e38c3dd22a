"""How much a fetch keeps for those who read it."""

from __future__ import annotations

from gateway.body import RequestBody
from gateway.cache.flight import WINDOW, Flight, Kept, Kind, Landing, Reader
from gateway.errors import GatewayError
from gateway.exchange import Exchange

PIECE = bytes(WINDOW // 2)


class Valve:
    def __init__(self) -> None:
        self.is_open = True

    def pause_reading(self) -> None:
        self.is_open = False

    def resume_reading(self) -> None:
        self.is_open = True


def begun(kept: Kept) -> tuple[Flight, Reader, Valve]:
    flight, valve = Flight(lambda: None, kept), Valve()
    reader = flight.join(RequestBody.of(b"", Exchange(b"GET", b"/", None, [])))
    flight.land(Landing(Kind.ANSWER, 200), valve)
    return flight, reader, valve


def test_what_flights_keep_is_counted_until_the_last_reader_has_left():
    kept = Kept(10 * WINDOW)
    flight, reader, valve = begun(kept)
    other = flight.join(reader.body)
    for _ in range(6):
        flight.data(PIECE)
    assert (kept.size, flight.keeps_all, valve.is_open) == (3 * WINDOW, True, True)
    flight.end([])
    reader.leave()
    assert kept.size == 3 * WINDOW
    other.leave()
    assert kept.size == 0


def test_a_flight_that_fails_or_ends_without_readers_is_not_counted():
    kept = Kept(10 * WINDOW)
    for over in ("end", "fail"):
        flight, reader, _ = begun(kept)
        flight.is_lone = True
        flight.data(PIECE)
        reader.leave()
        assert kept.size == len(PIECE)
        if over == "end":
            flight.end([])
        else:
            flight.fail(GatewayError("x"))
        assert kept.size == 0


def test_beyond_the_limit_a_flight_waits_for_its_slowest_reader():
    kept = Kept(4 * WINDOW)
    first, _, _ = begun(kept)
    for _ in range(7):
        first.data(PIECE)
    second, reader, valve = begun(kept)
    for _ in range(2):
        second.data(PIECE)
    assert (second.keeps_all, valve.is_open) == (False, False)
    assert kept.size == 7 * len(PIECE)
    assert len(second.pieces(0)) == 2
    reader.number = 2
    second.taken()
    assert (valve.is_open, second.chunks) == (True, [])
    assert first.keeps_all
