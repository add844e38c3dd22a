"""The store in memory: what is found, what goes when room is wanted, what a purge takes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cache.entry import MAX_VARIANTS, OVERHEAD, Entry
from gateway.cache.memory import _PURGES, PIECE, WHOLE, MemoryStore
from gateway.cache.purge import Purge, Scope

NOW = 1000.0
Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(work)


def store(limit: int = 1 << 20) -> MemoryStore:
    return MemoryStore(limit, lambda: NOW)


def head(vary: bytes | None = None, *tags: bytes, fresh_until: float = NOW + 60) -> Entry:
    varied = () if vary is None else ((b"accept", vary),)
    return Entry(200, [], born_at=NOW, stored_at=NOW, fresh_until=fresh_until, kept_until=fresh_until, vary=varied, tags=tags)


def write(held: MemoryStore, key: bytes, *chunks: bytes, entry: Entry | None = None, mark: int | None = None) -> Entry | None:
    writer = held.begin(key, entry or head(), held.mark() if mark is None else mark)
    for chunk in chunks:
        writer.append(chunk)
    return run(writer.commit())


def key(number: int, host: bytes = b"https://a") -> bytes:
    return host + b"/%d r" % number


def bodies(held: MemoryStore, wanted: bytes) -> list[bytes]:
    return [b"".join(entry.chunks or ()) for entry in held.peek(wanted)]


# ---------------------------------------------------------------- writing and finding


def test_an_entry_is_found_once_it_is_whole_and_never_before():
    held = store()
    writer = held.begin(key(1), head(), held.mark())
    writer.append(b"a")
    assert held.peek(key(1)) == ()
    writer.append(b"b")
    entry = run(writer.commit())
    assert run(held.find(key(1))) == (entry,)
    assert bodies(held, key(1)) == [b"ab"]


def test_an_aborted_write_never_was():
    held = store()
    writer = held.begin(key(1), head(), held.mark())
    writer.append(b"a")
    writer.abort()
    writer.append(b"b")
    assert run(writer.commit()) is None
    assert held.peek(key(1)) == ()
    assert held.usage().entries == 0


def test_a_body_is_read_piece_by_piece():
    held = store()
    entry = write(held, key(1), b"a", b"b")
    assert entry is not None

    async def read(first: int, end: int) -> bytes:
        return b"".join([piece async for piece in held.body(key(1), entry, first, end)])

    assert [run(read(*span)) for span in ((0, 2), (1, 2), (0, 1))] == [b"ab", b"b", b"a"]


@given(st.lists(st.integers(1, 3 * PIECE), min_size=1, max_size=12))
@settings(deadline=None, max_examples=25)
def test_bodies_lie_in_one_piece_or_in_few_large_ones(sizes: list[int]):
    held = store(1 << 26)
    entry = write(held, key(1), *map(bytes, sizes))
    assert entry is not None
    assert entry.chunks is not None
    assert entry.length == sum(sizes)
    if entry.length <= WHOLE:
        assert len(entry.chunks) == 1
    assert all(len(piece) >= PIECE for piece in entry.chunks[:-1])


def test_an_empty_body_has_no_pieces():
    entry = write(store(), key(1))
    assert entry is not None
    assert entry.chunks == ()


def test_variants_stand_side_by_side_the_newest_first_and_each_once():
    held = store()
    write(held, key(1), b"a", entry=head(b"a"))
    write(held, key(1), b"b", entry=head(b"b"))
    assert bodies(held, key(1)) == [b"b", b"a"]
    write(held, key(1), b"A", entry=head(b"a"))
    assert bodies(held, key(1)) == [b"A", b"b"]


def test_there_are_only_so_many_variants():
    held = store()
    for number in range(MAX_VARIANTS + 3):
        write(held, key(1), b"x", entry=head(b"%d" % number))
    entries = held.peek(key(1))
    assert len(entries) == MAX_VARIANTS
    assert entries[0].vary == ((b"accept", b"%d" % (MAX_VARIANTS + 2)),)


def test_a_renewed_entry_takes_the_place_of_the_old_one_and_keeps_its_forms():
    held = store()
    old = write(held, key(1), b"abc")
    other = write(held, key(1), b"x", entry=head(b"x"))
    assert old is not None
    held.add_form(key(1), old, b"gzip", b"z")
    new = old.copy(fresh_until=NOW + 500)
    assert run(held.renew(key(1), old, new, held.mark()))
    assert held.peek(key(1)) == (new, other)
    assert new.forms == {b"gzip": b"z"}
    assert not run(held.renew(key(1), old, new, held.mark()))
    assert not run(held.renew(key(2), old, new, held.mark()))
    longer = new.copy(length=9)
    assert run(held.renew(key(1), new, longer, held.mark()))
    assert longer.forms == {}


def test_a_form_counts_for_the_size_and_is_kept_only_for_what_is_there():
    held = store()
    entry = write(held, key(1), b"abc")
    assert entry is not None
    before = held.usage().bytes_held
    assert held.add_form(key(1), entry, b"gzip", bytes(100))
    assert held.usage().bytes_held == before + 100
    assert held.add_form(key(1), entry.copy(), b"br", b"x")  # of one that has gone: no reason to make none again
    assert held.add_form(key(2), entry, b"br", b"x")
    assert not held.add_form(key(1), entry, b"br", bytes(1 << 20))
    assert set(entry.forms) == {b"gzip"}


def test_one_variant_can_be_dropped():
    held = store()
    one = write(held, key(1), b"a", entry=head(b"a"))
    two = write(held, key(1), b"b", entry=head(b"b"))
    assert one is not None
    assert two is not None
    run(held.drop(key(1), one))
    assert held.peek(key(1)) == (two,)
    run(held.drop(key(1), two))
    run(held.drop(key(1), two))
    assert held.peek(key(1)) == ()
    assert held.usage()[:2] == (0, 0)


# ---------------------------------------------------------------- room


def test_the_bytes_are_bounded_whatever_comes():
    held = store(200_000)
    for number in range(500):
        write(held, key(number), bytes(1000))
        assert held.usage().bytes_held <= 200_000
    assert held.usage().entries > 50


def test_what_finds_no_room_at_all_is_given_up_while_it_comes():
    held = store(100_000)
    assert write(held, key(1), bytes(held.max_body + 1)) is None
    assert write(held, key(2), bytes(held.max_body)) is None  # its fields do not fit any more
    assert write(held, key(3), bytes(held.max_body - OVERHEAD - 2 * len(key(3)))) is not None


def test_long_keys_and_values_that_are_varied_on_count_as_what_they_are():
    held = store(400_000)
    for number in range(1000):
        write(held, b"https://a/%d?%b r" % (number, b"x" * 8000), entry=head(b"y" * 4000))
    kept = sum(2 * len(key) + len(shelf.entries[0].vary[0][1] or b"") for key, shelf in held.shelves())
    assert 0 < kept <= held.usage().bytes_held <= 400_000


def test_a_scan_does_not_flush_what_is_in_use():
    held = store(400_000)
    hot = [key(number) for number in range(50)]
    for wanted in hot:
        write(held, wanted, bytes(1000))
        held.peek(wanted)
    for number in range(1000, 6000):
        write(held, key(number), bytes(1000))
    kept = sum(1 for wanted in hot if held.peek(wanted))
    assert kept >= len(hot) - 3  # one in 30,000 that are new is taken for one that comes back, and displaces another one


def test_what_is_not_asked_for_any_more_goes_at_last():
    held = store(100_000)
    write(held, key(0), bytes(1000))
    held.peek(key(0))
    for number in range(1, 400):
        write(held, key(number), bytes(1000))
        held.peek(key(number))
    assert held.peek(key(0)) == ()


def test_keys_that_come_back_soon_are_not_thrown_out_again():
    held = store(400_000)

    def come(numbers: range) -> None:
        for number in numbers:
            write(held, key(number), bytes(1000))

    come(range(1000, 1400))  # there is no room left
    come(range(20))
    come(range(1400, 1430))
    assert not any(held.peek(key(number)) for number in range(20))
    come(range(20))
    come(range(2000, 2100))
    assert sum(bool(held.peek(key(number))) for number in range(20)) > 10  # one or the other may have been forgotten


def test_room_that_nobody_else_wants_is_used():
    held = store(400_000)
    for number in range(150):
        write(held, key(number), bytes(1000))
    assert held.usage().entries == 150


def test_the_oldest_variants_leave_for_one_that_finds_no_room_beside_them():
    held = store(100_000)
    for name in (b"a", b"b", b"c"):
        assert write(held, key(1), bytes(30_000), entry=head(name)) is not None
    assert bodies(held, key(1)) == [bytes(30_000)] * 2
    assert [entry.vary for entry in held.peek(key(1))] == [head(name).vary for name in (b"c", b"b")]
    assert held.usage().entries == 2


def test_who_looks_again_or_only_looks_uses_nothing():
    held = store(100_000)
    write(held, key(1), bytes(100))
    held.peek(key(1))
    assert held.look(key(1)) == run(held.find(key(1))) == held.peek(key(1)) != ()
    assert held.look(key(2)) == run(held.find(key(2))) == ()
    assert [(shelf.uses, shelf.hits) for _, shelf in held.shelves()] == [(2, 2)]


def test_one_that_comes_in_does_not_walk_through_all_that_is_in_use():
    held = store(2_000_000)
    for number in range(3000):
        write(held, key(number), bytes(100))
    for wanted in dict(held.shelves()):
        for _ in range(4):
            held.peek(wanted)
    uses = {wanted: shelf.uses for wanted, shelf in held.shelves()}
    write(held, key(3000), bytes(100))
    now = {wanted: shelf.uses for wanted, shelf in held.shelves()}
    walked = [wanted for wanted, count in uses.items() if now.get(wanted) != count]
    assert 0 < len(walked) < 100 < len(uses)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["write", "peek", "drop", "purge", "form"]), st.integers(0, 30), st.integers(0, 9000)), max_size=120
)


@given(OPERATIONS)
@settings(deadline=None, max_examples=60)
def test_queues_shelves_and_indices_always_tell_the_same(operations: list[tuple[str, int, int]]):
    held = store(60_000)
    for operation, number, size in operations:
        wanted = b"https://a/%d" % number + (b" r", b" s", b" r x:q", b" r cookie:a=b", b" s x:r")[number % 5]
        if operation == "write":
            write(held, wanted, bytes(size), entry=head(b"%d" % (size % 3), b"tag%d" % (number % 4)))
        elif operation == "drop":
            for entry in held.peek(wanted)[:1]:
                run(held.drop(wanted, entry))
        elif operation == "purge":
            run(held.purge(Purge(Scope.TAG, (b"tag%d" % (number % 4),))))
        elif operation == "form":
            for entry in held.peek(wanted)[:1]:
                held.add_form(wanted, entry, b"br", bytes(size))
        small, large = list(held._queues.small), list(held._queues.large)
        queued = {shelf.key for shelf in small + large}
        assert queued == set(held._shelves)
        assert len(small) + len(large) == len(queued)
        for queue in (small, large):
            assert [shelf.before for shelf in queue] == [None, *queue[:-1]][: len(queue)]
        assert {*held._of_url} == {found.partition(b" ")[0] for found in queued if found.count(b" ") > 1}
        plain = [b" " + found.partition(b" ")[2] for found in queued if found.count(b" ") == 1]
        assert {route: counted.number for route, counted in held._routes.items()} == {route: plain.count(route) for route in plain}
        tagged = {(tag, found) for found, shelf in held._shelves.items() for entry in shelf.entries for tag in entry.tags}
        assert tagged == {(tag, found) for tag, keys in held._tagged.items() for found in keys}
        assert held.usage().bytes_held == sum(shelf.size for shelf in held._shelves.values()) <= 60_000


# ---------------------------------------------------------------- purging


@pytest.mark.parametrize(
    ("purge", "left"),
    [
        (Purge(Scope.KEY, (key(1), key(1), key(9))), {2, 3}),
        (Purge(Scope.URL, (b"https://a/1",)), {2, 3}),
        (Purge(Scope.URL, (b"/1",)), {2, 3}),
        (Purge(Scope.PREFIX, (b"https://a/",)), {3}),
        (Purge(Scope.TAG, (b"red", b"none")), {1}),
        (Purge(Scope.ALL), set()),
        (Purge(Scope.TAG, (b"none",)), {1, 2, 3}),
    ],
)
def test_a_purge_takes_what_it_names_and_nothing_else(purge: Purge, left: set[int]):
    held = store()
    keys = {1: key(1), 2: key(2), 3: key(3, b"https://b")}
    for number, wanted in keys.items():
        write(held, wanted, b"x", entry=head(None, *([b"red"] if number > 1 else [b"blue"])))
    assert run(held.purge(purge)) == 3 - len(left) == held.usage().purged
    assert {number for number, wanted in keys.items() if held.peek(wanted)} == left


def test_a_purge_of_a_url_takes_the_keys_of_all_routes_with_and_without_further_parts():
    held = store()
    taken = [b"https://a/1 r", b"https://a/1 s", b"https://a/1 r cookie:a=b", b"/1 t", b"/1 t x:y"]
    kept = [b"https://a/2 r", b"https://a/1?q r", b"https://b/1 r", b"https://a/2 r cookie:a=b", b"/2 t"]
    for wanted in taken + kept:
        write(held, wanted, b"x")
    assert run(held.purge(Purge(Scope.URL, (b"https://a/1",)))) == len(taken)
    assert {wanted for wanted, _ in held.shelves()} == set(kept)


def test_a_purge_of_a_tag_leaves_the_other_variants():
    held = store()
    write(held, key(1), b"a", entry=head(b"a", b"red"))
    write(held, key(1), b"b", entry=head(b"b"))
    assert run(held.purge(Purge(Scope.TAG, (b"red",)))) == 1
    assert bodies(held, key(1)) == [b"b"]


def test_a_soft_purge_makes_stale_and_never_fresher():
    held = store()
    write(held, key(1), b"a")
    write(held, key(2), b"b", entry=head(fresh_until=NOW - 50))
    assert run(held.purge(Purge(Scope.ALL, soft=True))) == 2
    assert [held.peek(key(number))[0].fresh_until for number in (1, 2)] == [NOW, NOW - 50]


def test_a_write_that_began_before_a_purge_of_it_is_not_stored():
    held = store()
    mark = held.mark()
    old = write(held, key(3), b"x")
    run(held.purge(Purge(Scope.URL, (b"https://a/1",))))
    assert write(held, key(1), b"x", mark=mark) is None
    assert write(held, key(2), b"x", mark=mark) is not None
    assert write(held, key(1), b"x") is not None
    assert old is not None
    run(held.purge(Purge(Scope.TAG, (b"red",))))
    assert not run(held.renew(key(3), old, old.copy(tags=(b"red",)), mark))


def test_a_write_older_than_all_purges_that_are_remembered_is_not_stored():
    held = store()
    mark = held.mark()
    for _ in range(_PURGES):
        run(held.purge(Purge(Scope.TAG, (b"other",))))
    assert write(held, key(1), b"x", mark=mark) is not None
    run(held.purge(Purge(Scope.TAG, (b"other",))))
    assert write(held, key(1), b"x", mark=mark) is None


def test_ten_thousand_keys_of_one_tag_are_purged_at_once():
    held = store(1 << 26)
    for number in range(10_000):
        write_now = held.put(key(number), head(None, b"all").with_body([b"x"]), held.mark())
        assert write_now
    assert run(held.purge(Purge(Scope.TAG, (b"all",)))) == 10_000
    assert held.usage()[:2] == (0, 0)
