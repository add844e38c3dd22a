"""What things are called in Redis, and what the mark of a URL says. Pure."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from gateway.cache.purge import url_of
from gateway.redis.resp import command

if TYPE_CHECKING:
    from gateway.cache.entry import Vary
    from gateway.redis.resp import Reply

_LAST: Final = b"63"  # the last byte of a mark that is read: what is there may be foreign, and long
_MARK: Final = re.compile(rb"m1 (\d{1,16}) (\d{1,16})")


class Names:
    """What a key is called in Redis; all in one slot of a Cluster.

    For people who look into the cache, since it was last remembered: hits, and at the last one the bytes of all entries and the
    tags of each.
    """

    __slots__ = ("hash", "hits", "lock", "look_up", "mark", "size", "tags")

    def __init__(self, prefix: bytes, key: bytes) -> None:
        url = url_of(key)
        self.hits = self.size = 0
        self.tags: list[tuple[bytes, ...]] = []
        self.mark = b"%b{%b}" % (prefix, _digest(url, 16))
        self.hash = b"%b:%b" % (self.mark, _digest(key[len(url) :], 8))
        self.look_up = (command(b"GETRANGE", self.mark, b"0", _LAST), command(b"HGETALL", self.hash))
        self.lock = self.hash + b":lock"  # and the channel that tells of its release

    @property
    def both(self) -> tuple[bytes, bytes]:
        return self.mark, self.hash

    def chunk(self, write: bytes, index: int) -> bytes:
        return b"%b:%b:%d" % (self.mark, write.hex().encode(), index)


def read_mark(reply: Reply) -> tuple[int, int] | None:
    """The times of the newest hard purge of a URL, or since when it is known, and of the newest soft one. None where
    there is none, or something that is not ours."""
    matched = _MARK.fullmatch(reply) if isinstance(reply, bytes) else None
    return None if matched is None else (int(matched[1]), int(matched[2]))


def field_of(vary: Vary) -> bytes:
    """The field of a variant. Lengths keep values apart that hold anything."""
    parts = (b"%d:%b=%b;" % (len(name), name, b"" if value is None else b"%d:%b" % (len(value), value)) for name, value in vary)
    return b"v" + _digest(b"".join(parts), 8)


def _digest(data: bytes, size: int) -> bytes:
    return blake2b(data, digest_size=size).hexdigest().encode()
