"""What is void, what is stale, and what may be stored, by the purges that are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache import purge_log
from gateway.cache.purge import Purge, Scope
from gateway.cache.purge_log import (
    MAX_KEPT,
    MAX_PREFIXES,
    MAX_RECENT,
    UNTOUCHED,
    PurgeLog,
    is_kept,
    purge_of,
    records_of,
)

URLS = st.sampled_from([b"https://a/x", b"https://a/x/y", b"https://b/x", b"/x", b"/x/y"])
KEYS = st.builds(lambda url, rest: url + rest, URLS, st.sampled_from([b" GET", b" GET tenant=1"]))
TAGS = st.lists(st.sampled_from([b"s", b"t", b"u"]), max_size=3, unique=True).map(tuple)
PURGES = st.one_of(
    st.builds(Purge, st.just(Scope.KEY), KEYS.map(lambda key: (key,)), st.booleans()),
    st.builds(Purge, st.sampled_from([Scope.URL, Scope.PREFIX]), st.lists(URLS, min_size=1, max_size=2).map(tuple), st.booleans()),
    st.builds(Purge, st.just(Scope.TAG), TAGS.filter(bool), st.booleans()),
    st.builds(Purge, st.just(Scope.ALL), st.just(()), st.booleans()),
)


def logged(*purges: tuple[int, Purge]) -> PurgeLog:
    log = PurgeLog()
    for at, purge in purges:
        for record in records_of(purge):
            assert log.add(at, record) is not None
    return log


@given(st.lists(PURGES, max_size=8), KEYS, TAGS, st.integers(0, 9))
def test_an_entry_is_void_or_stale_as_the_purges_after_its_mark_say(
    purges: list[Purge], key: bytes, tags: tuple[bytes, ...], mark: int
):
    log = logged(*enumerate(purges, 1))
    later = [(at, purge) for at, purge in enumerate(purges, 1) if at > mark and purge.takes(key, tags)]
    hard = any(not purge.soft for _, purge in later)
    soft = max((at for at, purge in later if purge.soft), default=None)
    expected = None if hard else UNTOUCHED if soft is None else soft / 1_000_000
    assert log.fresh_limit(mark, key, tags) == expected
    assert log.may_store(mark, key, tags) == (not hard)


@given(st.lists(PURGES, max_size=6), KEYS, TAGS, st.integers(0, 7), st.randoms())
def test_the_order_in_which_purges_become_known_is_nothing(
    purges: list[Purge], key: bytes, tags: tuple[bytes, ...], mark: int, chance: object
):
    told = list(enumerate(purges, 1))
    chance.shuffle(told)  # type: ignore[attr-defined]
    assert logged(*told).fresh_limit(mark, key, tags) == logged(*enumerate(purges, 1)).fresh_limit(mark, key, tags)


@given(PURGES)
def test_records_say_what_a_purge_takes(purge: Purge):
    said = [purge_of(record) for record in records_of(purge)]
    values = [value for one in said if one is not None for value in one.values]
    assert tuple(dict.fromkeys(purge.values)) == tuple(values)
    assert all(one is not None and (one.scope, one.soft) == (purge.scope, purge.soft) for one in said)


@given(st.binary(max_size=5))
def test_what_is_no_record_is_nothing(record: bytes):
    known = record[:1] in (b"k", b"u", b"p", b"t", b"a") and record[1:2] in (b"h", b"s")
    log = PurgeLog()
    assert (log.add(5, record) is not None) == known
    assert (log.newest == 5) == known


@pytest.mark.parametrize(
    ("purge", "kept"),
    [(Purge(Scope.TAG, (b"t",)), True), (Purge(Scope.PREFIX, (b"/",)), True), (Purge(Scope.ALL), True),
     (Purge(Scope.URL, (b"/x",)), True), (Purge(Scope.URL, (b"https://a/x",)), False), (Purge(Scope.KEY, (b"/x GET",)), False)],
)  # fmt: skip
def test_what_stands_beside_the_entries_need_not_be_kept(purge: Purge, kept: bool):
    assert [is_kept(record) for record in records_of(purge)] == [kept]


@pytest.mark.parametrize(("limit", "scope"), [("MAX_KEPT", Scope.TAG), ("MAX_PREFIXES", Scope.PREFIX)])
@pytest.mark.parametrize("soft", [False, True])
def test_what_is_forgotten_voids_all_that_is_older(monkeypatch: pytest.MonkeyPatch, limit: str, scope: Scope, soft: bool):
    monkeypatch.setattr(purge_log, limit, 3)
    log = logged(*((at, Purge(scope, (b"https://c/%d" % at,), soft=soft)) for at in range(1, 6)))
    assert log.floor == 2
    assert log.fresh_limit(1, b"https://a/x GET", ()) is None
    assert log.fresh_limit(2, b"https://a/x GET", ()) == UNTOUCHED


def test_a_name_that_is_purged_again_counts_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(purge_log, "MAX_KEPT", 3)
    log = logged(*((at, Purge(Scope.TAG, (b"often",))) for at in range(1, 100)), (100, Purge(Scope.TAG, (b"t",))))
    assert log.floor == 0
    assert log.fresh_limit(50, b"/x GET", (b"often",)) is None
    assert log.fresh_limit(99, b"/x GET", (b"often",)) == UNTOUCHED


def test_urls_are_forgotten_without_a_loss_but_nothing_older_is_stored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(purge_log, "MAX_RECENT", 4)
    log = logged(*((at, Purge(Scope.URL, (b"https://c/%d" % at,))) for at in range(1, 6)))
    assert (log.floor, log.recent_floor) == (0, 3)
    assert log.fresh_limit(1, b"https://a/x GET", ()) == UNTOUCHED
    assert not log.may_store(2, b"https://a/x GET", ())
    assert log.may_store(3, b"https://a/x GET", ())


def test_the_bounds_are_those_that_are_told():
    assert (MAX_KEPT, MAX_PREFIXES, MAX_RECENT) == (10_000, 1000, 10_000)
