"""Many clients at once, and origins in any mood: everybody gets an answer of their own, or an honest error."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from support.client import Answer, connected
from support.origin import Visit, echo, reset
from support.serving import in_front, on_both

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.serving import Entrance

THREADS, REQUESTS = 8, 40


def at_once(work: Callable[[int], None]) -> None:
    """Run `work` in so many threads, with the number of each; what one of them raises is raised here."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as exc:  # raised below
            failures.append(exc)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@on_both
def test_many_clients_at_once_get_their_own_bodies_back(entrance: Entrance) -> None:
    with in_front(entrance, echo(), max_connections=3, timeouts={"pool": "1m"}) as pair:

        def work(number: int) -> None:
            chance = random.Random(number)
            with connected(pair.port) as client:
                for _ in range(REQUESTS):
                    body = chance.randbytes(chance.choice((0, 1, 100, 70_000)))
                    answer = client.get("/", method="POST", body=body)
                    assert (answer.status, answer.complete, answer.body == body) == (200, True, True)

        at_once(work)
        target = pair.gateway.target()
        pair.gateway.until(lambda: target.in_flight == 0)
        assert target.open <= 3


MOODS = ("fine", "chunked", "until close", "reset", "close", "cut", "broken chunks", "garbage", "surplus", "early", "stale")


async def moody(visit: Visit) -> None:
    """The path says how the origin feels; a good answer's body is the path."""
    mood, name = visit.request.target[1:].replace(b"%20", b" ").decode(), visit.request.target
    mood = mood.partition("/")[0]
    length = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(name)
    coded = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(name), name)
    if mood == "early":
        await visit.send(length + name)
        visit.close()
        return
    await visit.read_body()
    answers = {
        "fine": length + name,
        "chunked": coded + b"0\r\n\r\n",
        "until close": b"HTTP/1.1 200 OK\r\n\r\n" + name,
        "cut": length + name[:-1],
        "broken chunks": coded + b"zz\r\n",
        "garbage": b"\0\1\2\r\n\r\n",
        "surplus": length + name + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        "stale": length + name,
    }
    if mood == "reset":
        await reset()(visit)
        return
    if mood != "close":
        await visit.send(answers[mood])
    if mood not in ("fine", "chunked", "surplus"):
        visit.close()


GOOD = {"fine", "chunked", "until close", "surplus", "stale"}
BROKEN = {"cut", "broken chunks"}


def check(mood: str, target: str, answer: Answer) -> None:
    if answer.status == 200 and answer.complete:
        assert answer.body == target.encode(), f"{mood}: the answer of another"
        assert mood not in BROKEN, f"{mood} looks whole"
    elif answer.status == 200:
        assert mood in BROKEN, f"{mood} was cut off"
    else:
        assert answer.status == 502, f"{mood} {answer.status}"


@on_both
def test_origins_in_any_mood_harm_nobody_else(entrance: Entrance) -> None:
    with in_front(entrance, moody, max_connections=4, timeouts={"pool": "1m"}) as pair:

        def work(number: int) -> None:
            chance = random.Random(number)
            left = REQUESTS
            while left:
                with connected(pair.port) as client:
                    while left:
                        left -= 1
                        mood = chance.choice(MOODS)
                        target = f"/{mood}/{number}/{left}".replace(" ", "%20")
                        method, body = chance.choice((("GET", b""), ("POST", b"x" * 10), ("PUT", b"y" * 70_000)))
                        with suppress(ConnectionError):  # a body that the gateway did not wait for
                            answer = client.get(target, method=method, body=body)
                            check(mood, target, answer)
                            if answer.complete and answer.get("connection") != b"close":
                                continue
                        break

        at_once(work)
        target = pair.gateway.target()
        pair.gateway.until(lambda: target.in_flight == 0)
        pair.gateway.until(lambda: target.open == len(target._idle) == len(target.connections))
        assert len(target._waiting) == 0
