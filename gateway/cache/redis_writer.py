"""One response on its way into Redis: the pieces of a large body at once, the entry last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from gateway.cache.codec import Stamp, encode_chunk
from gateway.redis.link import Away
from gateway.redis.resp import command

if TYPE_CHECKING:
    import asyncio

    from gateway.cache.entry import Entry
    from gateway.cache.redis import RedisStore
    from gateway.redis.resp import Reply

INLINE: Final = 32 * 1024  # bytes of a body that lie with their entry
CHUNK: Final = 64 * 1024  # bytes of a piece


class RedisWriter:
    """See `gateway.cache.store.Writer`."""

    __slots__ = (
        "_chunks", "_entry", "_given_up", "_held", "_held_size", "_key", "_lifetime", "_mark", "_names", "_sent", "_size",
        "_store", "_write",
    )  # fmt: skip

    def __init__(self, store: RedisStore, key: bytes, entry: Entry, mark: int) -> None:
        self._store = store
        self._key = key
        self._entry = entry
        self._mark = mark
        self._names = store.names(key)
        self._write = os.urandom(8)
        self._lifetime = store.lifetime(entry)
        self._given_up = self._lifetime <= 0 or not store.has_room(key)
        self._held: list[bytes] = []  # of the body, not sent yet
        self._held_size = 0
        self._size = 0
        self._chunks = 0  # pieces that were sent
        self._sent: list[asyncio.Future[list[Reply]]] = []

    def append(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._given_up:
            return
        self._held.append(chunk)
        self._held_size += len(chunk)
        if self._size > INLINE:
            while self._held_size >= CHUNK and not self._given_up:
                self._send_pieces(whole=False)

    def _send_pieces(self, *, whole: bool) -> None:
        """What is held, in pieces of CHUNK bytes; whole: the shorter rest too."""
        data = b"".join(self._held)
        end = len(data) if whole else len(data) - len(data) % CHUNK
        if not self._store.has_room(self._key):
            self.abort()
            return
        try:
            node = self._store.redis.node(self._names.mark)
            for start in range(0, end, CHUNK):
                frame = encode_chunk(self._write, self._chunks, data[start : min(start + CHUNK, end)])
                name = self._names.chunk(self._write, self._chunks)
                piece = command(b"SET", name, frame, b"PX", self._lifetime)
                self._chunks += 1
                self._sent.append(node.send(piece, 1, bulk=True))
        except Away:
            self.abort()
            return
        self._held = [data[end:]] if end < len(data) else []
        self._held_size = len(data) - end

    async def commit(self) -> Entry | None:
        if not self._given_up and self._size > INLINE and self._held:
            self._send_pieces(whole=True)
        if self._given_up:
            return None
        stamp = Stamp(self._write, self._mark, self._chunks)
        elsewhere = self._entry.copy(chunks=None, length=self._size)
        entry = elsewhere if self._chunks else self._entry.with_body(self._held)
        if not await self._pieces_were_taken() or not await self._store.store(self._key, entry, stamp):
            self.abort()
            return None
        entry.place = stamp
        return entry

    async def _pieces_were_taken(self) -> bool:
        try:
            replies = [await future for future in self._sent]
        except Away:
            return False
        return all(self._store.was_written(reply) for (reply,) in replies)

    def abort(self) -> None:
        if self._chunks and not self._given_up:
            self._store.remove_pieces(self._key, self._write, self._chunks)
        self._given_up = True
        self._held.clear()
