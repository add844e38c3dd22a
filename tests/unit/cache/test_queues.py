"""Who leaves the memory store when somebody comes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.entry import Entry
from gateway.cache.queues import MAX_USES, Ghosts, Queue, Queues, Shelf


def key(number: int) -> bytes:
    return b"https://a/%d r" % number


def shelf(number: int, size: int = 100) -> Shelf:
    entry = Entry(200, [], born_at=0.0, stored_at=0.0, fresh_until=9.0, kept_until=9.0)
    made = Shelf(key(number), (entry,))
    made.size = size
    return made


def chain(first: Shelf | None) -> list[Shelf]:
    found: list[Shelf] = []
    while first is not None:
        found.append(first)
        first = first.behind
    return found


def full(limit: int = 10_000, size: int = 100) -> Queues:
    """With a small queue and a large one that have no room left, the small one with the higher numbers."""
    queues = Queues(limit)
    for number in range(limit // size):
        assert queues.enter(queues.small, shelf(number, size)) is None
    return queues


def test_what_is_new_fills_the_large_queue_by_way_of_the_small_one():
    queues = full()
    assert [held.key for held in queues.small] == [key(number) for number in range(90, 100)]
    assert [held.key for held in queues.large] == [key(number) for number in range(90)]
    assert (queues.small.size, queues.large.size, queues.size) == (1000, 9000, 10_000)


def test_the_oldest_of_the_small_queue_leaves_and_is_known_as_a_ghost():
    queues = full()
    [gone] = chain(queues.enter(queues.small, shelf(100)))
    assert (gone.key, gone.queue) == (key(90), None)
    assert queues.ghosts.has(key(90))
    assert queues.queue_of(key(90)) is queues.large
    assert queues.queue_of(key(101)) is queues.small


def test_one_that_was_asked_for_displaces_the_oldest_of_the_large_queue():
    queues = full()
    asked = queues.small.first
    assert asked is not None
    asked.uses = 1
    [gone] = chain(queues.enter(queues.small, shelf(100)))
    assert gone.key == key(0)
    assert (asked.queue, asked.uses, queues.large.last) == (queues.large, 0, asked)
    assert not queues.ghosts.has(key(0))  # only what leaves the small queue comes back to the large one


def test_what_is_in_use_stays_in_the_large_queue_for_as_many_rounds():
    queues = full()
    used = queues.large.first
    assert used is not None
    used.uses = MAX_USES
    stayed = 0
    while used.queue is not None:
        queues.enter(queues.large, shelf(1000 + stayed))
        stayed += 1
    assert used.uses == 0
    assert 85 * MAX_USES < stayed <= 90 * MAX_USES + 1  # else it would have been the first to leave


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2000)), min_size=30, max_size=150), st.integers(1, 9000))
def test_all_who_leave_for_one_that_comes_in_are_told_of_once(held: list[tuple[int, int]], size: int):
    queues = Queues(10_000)
    present: set[Shelf] = set()
    for number, (uses, length) in enumerate([*held, (0, size)]):
        coming = shelf(number, length)
        queue = queues.small if length <= queues.small.limit else queues.large
        gone = chain(queues.enter(queue, coming))
        coming.uses = uses
        present.add(coming)
        assert len(gone) == len(set(gone))
        assert present.issuperset(gone)
        present -= set(gone)
        assert {*queues.small, *queues.large} == present
        for queue in (queues.small, queues.large):
            _is_sound(queue)


def _is_sound(queue: Queue) -> None:
    listed = list(queue)
    assert [held.before for held in listed] == [None, *listed[:-1]][: len(listed)]
    assert (queue.first, queue.last) == ((listed[0], listed[-1]) if listed else (None, None))
    assert all(held.queue is queue for held in listed)
    assert queue.size == sum(held.size for held in listed) <= queue.limit


def test_of_those_that_have_left_most_of_the_last_ones_are_known_and_hardly_others():
    ghosts = Ghosts(4096)
    for number in range(40_000):
        ghosts.add(key(number))
    assert sum(ghosts.has(key(number)) for number in range(40_000 - 2048, 40_000)) > 2048 * 0.93
    assert sum(ghosts.has(key(number)) for number in range(40_000 - 4096, 40_000)) > 4096 * 0.85
    assert sum(ghosts.has(key(number)) for number in range(100_000, 200_000)) < 30


def test_a_key_that_has_just_left_is_known():
    ghosts = Ghosts(64)
    for number in range(1000):
        ghosts.add(key(number))
        assert ghosts.has(key(number))
