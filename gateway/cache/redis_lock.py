"""One fetch for a whole fleet: a lock in Redis with an expiry and a token (see `gateway.cache.store.FetchLock`).

Who comes while it is held is told of its release, by a channel of its own, and is not left to guess by waiting. A lock
that was released stays for a moment as "over": whoever had looked for the entry just before it was there would else find
the lock free and fetch once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final

from gateway.cache.redis_names import Names
from gateway.redis.link import Away
from gateway.redis.resp import command
from gateway.redis.script import Script

if TYPE_CHECKING:
    from gateway.cache.redis import RedisStore
    from gateway.redis.resp import Reply

EXPIRY: Final = 2.0  # seconds after which the lock of a process that has died is free
RENEWAL: Final = 0.6  # seconds between two proofs of life
OVER: Final = 500  # milliseconds that a released lock is remembered; longer than any look-up takes
LOOK_AGAIN: Final = 0.25  # seconds between two looks, should nothing be said of the release; requests wait

_FREE, _OVER, _HELD = 1, 2, 3

# What expires never, or is of another kind, is foreign.
_TAKE: Final = Script(
    """
local kind = redis.call('TYPE', KEYS[1]).ok
local held = kind == 'string' and redis.call('PTTL', KEYS[1]) > 0 and redis.call('GET', KEYS[1])
if not held then
  if kind ~= 'string' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return held == 'over' and 2 or 3
"""
)
_RENEW: Final = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
)
# A full Redis refuses what is written, and takes what is deleted.
_RELEASE: Final = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.pcall('SET', KEYS[1], 'over', 'PX', ARGV[2]).err then redis.call('DEL', KEYS[1]) end
return redis.call('PUBLISH', ARGV[3], '')
"""
)


class RedisLock:
    """Of a store's keys."""

    __slots__ = ("_store",)

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def lead(self, key: bytes, patience: float) -> RedisLease | None:
        if not self._store.is_current:
            return RedisLease(self._store, b"", b"")
        name = Names(self._store.prefix, key).lock
        token = os.urandom(16)
        lease = RedisLease(self._store, name, token)
        try:
            reply = await self._take(lease, name, token)
            if reply == _OVER:
                return None
            if reply == _HELD:
                await self._wait(name, patience)
                return None
        except Away:
            reply = None
        if reply == _FREE:
            lease.keep()
        return lease

    async def _take(self, lease: RedisLease, name: bytes, token: bytes) -> Reply:
        """Raises Away."""
        try:
            return await self._store.redis.run(_TAKE, (name,), token, int(EXPIRY * 1000))
        except asyncio.CancelledError:  # nobody is there to hold it, and it may be ours by now
            self._store.spawn(lease.give_back)
            raise

    async def _wait(self, name: bytes, patience: float) -> None:
        """Until it is released, its holder has died, or patience is at its end. Raises Away."""
        subscriber = self._store.purges.subscriber
        released = await subscriber.expect(name)
        if released is None:
            raise Away("nobody would tell of the release")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                try:
                    while await self._is_held(name):
                        await asyncio.wait((released,), timeout=LOOK_AGAIN)
                        if released.done():
                            return
                finally:
                    subscriber.forget(name, released)

    async def _is_held(self, name: bytes) -> bool:
        look = command(b"GETRANGE", name, b"0", b"31"), command(b"PTTL", name)
        held, left = await self._store.redis.ask(name, look)
        return isinstance(held, bytes) and held not in (b"", b"over") and isinstance(left, int) and left > 0


class RedisLease:
    """The right to fetch. name: of the lock, which there is none of until it is kept."""

    __slots__ = ("_name", "_store", "_timer", "_token")

    def __init__(self, store: RedisStore, name: bytes, token: bytes) -> None:
        self._store = store
        self._name = name
        self._token = token
        self._timer: asyncio.TimerHandle | None = None

    def keep(self) -> None:
        """Prove that its holder lives, from now on until it is released."""
        self._timer = asyncio.get_running_loop().call_later(RENEWAL, self._renew)

    def _renew(self) -> None:
        self._store.spawn(lambda: self._store.redis.run(_RENEW, (self._name,), self._token, int(EXPIRY * 1000)))
        self.keep()

    async def release(self) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        with contextlib.suppress(Away):
            await self.give_back()

    async def give_back(self) -> None:
        """Whatever it is, if it is ours. Raises Away."""
        await self._store.redis.run(_RELEASE, (self._name,), self._token, OVER, self._name)
