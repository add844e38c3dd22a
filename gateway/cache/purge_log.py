"""The purges of a fleet, in their order, as one process knows them. Pure.

A purge by tag takes ten thousand entries by one record, whoever holds them: every entry bears a mark, the newest purge
that was known when its response was asked for, and is void where a later one takes it. So nothing has to be searched,
and an answer that was under way during a purge is void as well. Marks are microseconds of Redis' clock, made to ascend.

Records are forgotten, the oldest first. What was stored before the newest forgotten one (the floor) is void as a whole,
since nobody can tell any more; whoever asks for it fetches it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.cache.purge import Purge, Scope, path_of, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_KEPT: Final = 10_000  # purges by tag, prefix or path that are known by their names
MAX_PREFIXES: Final = 1000  # of those; each is looked at for an entry that is older than it
MAX_RECENT: Final = 10_000  # purges of a URL or a key; Redis knows these itself
MICROSECONDS: Final = 1_000_000
UNTOUCHED: Final = float("inf")

_SCOPES: Final = {Scope.KEY: b"k", Scope.URL: b"u", Scope.PREFIX: b"p", Scope.TAG: b"t", Scope.ALL: b"a"}
_LETTERS: Final = {letter: scope for scope, letter in _SCOPES.items()}
_HARD, _SOFT = b"h", b"s"
_ALL: Final = b"a"
_PATH: Final = b"x"  # of a URL with a host, for keys that have none


def records_of(purge: Purge) -> list[bytes]:
    """One for each value, as they stand in the log. Equal purges have equal records."""
    head = _SCOPES[purge.scope] + (_SOFT if purge.soft else _HARD)
    return [head] if purge.scope is Scope.ALL else [head + value for value in dict.fromkeys(purge.values)]


def purge_of(record: bytes) -> Purge | None:
    """None for what is no record."""
    scope = _LETTERS.get(record[:1])
    if scope is None or record[1:2] not in (_HARD, _SOFT):
        return None
    return Purge(scope, () if scope is Scope.ALL else (record[2:],), soft=record[1:2] == _SOFT)


def is_kept(record: bytes) -> bool:
    """It must be known for as long as entries live. Purges of one URL or key are recorded beside the entries."""
    return record[:1] in (b"t", b"p", b"a") or (record[:1] == b"u" and record[2:3] == b"/")


class PurgeLog:
    """last: the newest purge up to which all are known. newest: that is known at all. floor: what was stored before it is
    void."""

    __slots__ = ("_hard", "_prefixes", "_recent", "_soft", "floor", "last", "newest", "recent_floor")

    def __init__(self) -> None:
        self.last = 0
        self.newest = 0
        self.floor = 0
        self.recent_floor = 0  # purges of URLs and keys up to this one are forgotten here
        self._hard: dict[bytes, int] = {}
        self._soft: dict[bytes, int] = {}
        self._prefixes: dict[bytes, tuple[int, int]] = {}  # the newest hard purge, the newest soft one
        self._recent: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})

    def add(self, at: int, record: bytes) -> Purge | None:
        """One purge; it need not be the newest. What it takes, or None where the record is none of ours."""
        purge = purge_of(record)
        if purge is None:
            return None
        self.newest = max(self.newest, at)
        value = record[2:]
        if purge.scope is Scope.PREFIX:
            hard, soft = self._prefixes.get(value, (0, 0))
            self._prefixes[value] = (hard, max(soft, at)) if purge.soft else (max(hard, at), soft)
            self._forget_prefixes()
        elif is_kept(record):
            kept = self._soft if purge.soft else self._hard
            _note(kept, record[:1] + value, at)
            self.floor = max(self.floor, _trim(kept, MAX_KEPT))
        else:
            recent = self._recent[purge.soft]
            _note(recent, record[:1] + value, at)
            if purge.scope is Scope.URL:
                _note(recent, _PATH + path_of(value), at)
            self.recent_floor = max(self.recent_floor, _trim(recent, MAX_RECENT))
        return purge

    def fresh_limit(self, mark: int, key: bytes, tags: Sequence[bytes]) -> float | None:
        """Until when an entry may count as fresh, in Unix seconds: UNTOUCHED, or the time of a soft purge. None where it
        is void."""
        if mark < self.floor:
            return None
        if mark >= self.newest:
            return UNTOUCHED
        names = tuple(_names(key, tags))
        later = [(value, times) for value, times in self._prefixes.items() if max(times) > mark]
        prefixed = [times for value, times in later if Purge(Scope.PREFIX, (value,)).takes(key, ())]
        hard, soft = (
            max(
                *(kept.get(name, 0) for name in names),
                *(recent.get(name, 0) for name in names),
                *(times[index] for times in prefixed),
            )
            for index, (kept, recent) in enumerate(zip((self._hard, self._soft), self._recent, strict=True))
        )
        if hard > mark:
            return None
        return soft / MICROSECONDS if soft > mark else UNTOUCHED

    def may_store(self, mark: int, key: bytes, tags: Sequence[bytes]) -> bool:
        """Nothing was purged since `mark` that an answer with these tags would bring back."""
        return mark >= self.recent_floor and self.fresh_limit(mark, key, tags) is not None

    def _forget_prefixes(self) -> None:
        if len(self._prefixes) > MAX_PREFIXES:
            oldest = min(self._prefixes, key=lambda prefix: max(self._prefixes[prefix]))
            self.floor = max(self.floor, *self._prefixes.pop(oldest))


def _names(key: bytes, tags: Sequence[bytes]) -> Iterator[bytes]:
    """What an entry is found by in the tables."""
    url = url_of(key)
    yield _ALL
    yield b"k" + key
    yield b"u" + url
    yield _PATH + url if url[:1] == b"/" else b"u" + path_of(url)
    for tag in tags:
        yield b"t" + tag


def _note(table: dict[bytes, int], name: bytes, at: int) -> None:
    """The newest purge of a name, at the end of the table, which is in the order of the last change."""
    table[name] = max(table.pop(name, 0), at)


def _trim(table: dict[bytes, int], limit: int) -> int:
    """Forget the oldest names above the limit; the newest purge that was forgotten."""
    forgotten = 0
    while len(table) > limit:
        forgotten = max(forgotten, table.pop(next(iter(table))))
    return forgotten
