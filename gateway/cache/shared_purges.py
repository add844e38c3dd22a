"""A purge reaches every process: told by Redis at once, and written down there for whoever was away.

Two sorted sets hold the purges by their time, one those that must be known as long as entries live, one the newest of
single URLs. Each has a first member without a name, whose time is the floor: nothing before it is known there any more.
A process that has lost its connection, or finds that it was not told of something, reads what it lacks before it is
current again; where that has been forgotten, or Redis has lost the log, it can trust nothing that it holds. A log that ends
before what its reader knows is one that has lost something, as after a failover to a replica that was behind: it begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.cache.purge import Purge, Scope
from gateway.cache.purge_log import MAX_KEPT, MAX_RECENT, PurgeLog, is_kept, records_of
from gateway.redis.link import Away
from gateway.redis.script import Script
from gateway.redis.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.redis.client import Redis
    from gateway.redis.resp import Reply

LOOK_AGAIN: Final = 1.0  # seconds between two looks at the log, should a message have been lost
LIFETIME: Final = 8 * 86_400  # seconds without a purge after which the log may go; no entry lives so long
MAX_UNSENT: Final = 1000  # purges that wait for Redis to come back; with more, everything is purged then
MAX_MESSAGES: Final = 10_000  # that have come and are not applied; those above are read from the log
MAX_VALUES: Final = 500  # of one purge in one step

# A full Redis refuses what adds to it, but not in a script that has begun to write: DEL or EXPIRE come first here.
_COMMON: Final = """
local function top(log)
  local last = redis.call('ZRANGE', log, -1, -1, 'WITHSCORES')
  return tonumber(last[2] or '0')
end
local function text(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local now = math.max(time[1] * 1000000 + time[2], tonumber(ARGV[1]) + 1)
local function begin(log)
  redis.call('DEL', log)
  redis.call('ZADD', log, text(now), '')
end
for _, log in ipairs(KEYS) do
  if redis.call('TYPE', log).ok ~= 'zset' or not redis.call('ZSCORE', log, '') then begin(log) end
  redis.call('EXPIRE', log, ARGV[2])
end
if math.max(top(KEYS[1]), top(KEYS[2])) < tonumber(ARGV[1]) then
  for _, log in ipairs(KEYS) do
    begin(log)
    redis.call('EXPIRE', log, ARGV[2])
  end
end
"""
_PURGE: Final = Script(
    _COMMON
    + """
local limits = {tonumber(ARGV[3]), tonumber(ARGV[4])}
local before = math.max(top(KEYS[1]), top(KEYS[2]))
local at = math.max(now, before + 1)
local message = text(before) .. ' ' .. text(at) .. ' '
for index = 6, #ARGV do
  local log = tonumber(string.sub(ARGV[index], 1, 1))
  local record = string.sub(ARGV[index], 2)
  redis.call('ZADD', KEYS[log], text(at), record)
  message = message .. #record .. ':' .. record
end
for index, log in ipairs(KEYS) do
  local more = redis.call('ZCARD', log) - 1 - limits[index]
  if more > 0 then
    local newest = redis.call('ZRANGE', log, more, more, 'WITHSCORES')
    redis.call('ZREMRANGEBYRANK', log, 1, more)
    redis.call('ZADD', log, newest[2], '')
  end
end
redis.call('PUBLISH', ARGV[5], message)
return text(at)
"""
)
_CATCH_UP: Final = Script(
    _COMMON
    + """
local found = {}
for index, log in ipairs(KEYS) do
  found[index] = redis.call('ZSCORE', log, '')
  found[index + 2] = redis.call('ZRANGEBYSCORE', log, '(' .. ARGV[2 + index], '+inf', 'WITHSCORES')
end
return found
"""
)

log = logging.getLogger("gateway.cache")


class SharedPurges:
    """recorded: awaited with every purge that this process has sent, and its time, to do what is left to do in Redis; it may
    raise Away. applied: awaited with every purge, whoever asked for it. distrusted: called where everything that this process
    holds may have been purged unseen. left: called when it is told of purges no more."""

    def __init__(
        self,
        redis: Redis,
        prefix: bytes,
        recorded: Callable[[Purge, int], Awaitable[object]],
        applied: Callable[[Purge], Awaitable[object]],
        distrusted: Callable[[], Awaitable[object]],
        left: Callable[[], None],
    ) -> None:
        self.log = PurgeLog()
        self._keys = (prefix + b"{purges}:kept", prefix + b"{purges}:recent")
        self.subscriber = Subscriber(redis, prefix + b"purged", self._told, self._join, left, key=self._keys[0])
        self._redis = redis
        self._channel = prefix + b"purged"
        self._recorded = recorded
        self._applied = applied
        self._distrusted = distrusted
        self._unsent: deque[Purge] = deque(maxlen=MAX_UNSENT)
        self._overflowed = False
        self._told_of = asyncio.Event()
        self._messages: asyncio.Queue[bytes] = asyncio.Queue(MAX_MESSAGES)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_current(self) -> bool:
        """All purges of the fleet are known here, but for those of the last moment."""
        return self.subscriber.is_listening

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._apply_messages()), asyncio.create_task(self._look_again())]
        await self.subscriber.start()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.subscriber.stop()

    async def send(self, purge: Purge) -> int:
        """Tell all processes, this one included; the purge's time. Raises Away: it is then sent as soon as Redis is back,
        before anything is served from there."""
        try:
            return await self._send(purge)
        except Away:
            self._overflowed |= len(self._unsent) == MAX_UNSENT
            self._unsent.append(purge)
            self.subscriber.drop()
            raise

    async def _send(self, purge: Purge) -> int:
        at = 0
        records = records_of(purge)
        for start in range(0, len(records), MAX_VALUES):
            some = records[start : start + MAX_VALUES]
            numbered = [(b"1" if is_kept(record) else b"2") + record for record in some]
            reply = await self._redis.run(
                _PURGE, self._keys, self.log.newest, LIFETIME, MAX_KEPT, MAX_RECENT, self._channel, *numbered
            )
            at = _time(reply)
            for record in some:
                self.log.add(at, record)
        await self._recorded(purge, at)
        await self._until_told(at)
        return at

    async def _until_told(self, at: int) -> None:
        """Marks that are taken from now on are not before it: else the next answer to be stored would be void at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._redis.bound):
                while self.is_current and self.log.last < at:
                    self._told_of.clear()
                    await self._told_of.wait()

    # ------------------------------------------------------------ being told

    def _told(self, message: bytes) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # the next message tells that some are missing
            self._messages.put_nowait(message)

    async def _apply_messages(self) -> None:
        while True:
            message = await self._messages.get()
            try:
                before, at, records = read_message(message)
                if before == self.log.last:
                    await self._take(at, records)
                elif at > self.log.last:
                    await self._catch_up()
            except (Away, ValueError) as exc:
                log.info("purges were missed", extra={"reason": str(exc)})
                self.subscriber.drop()  # it is not current, until it has caught up

    async def _take(self, at: int, records: Sequence[bytes]) -> None:
        for record in records:
            purge = self.log.add(at, record)
            if purge is not None:
                await self._applied(purge)
        self.log.last = max(self.log.last, at)
        self._told_of.set()

    # ------------------------------------------------------------ catching up

    async def _join(self) -> None:
        """After every time without a connection, before this process is current. Raises Away."""
        await self._catch_up()
        if self._overflowed:
            self._unsent.clear()
            self._unsent.append(Purge(Scope.ALL))
            self._overflowed = False
        if not self._unsent:
            return
        while self._unsent:
            purge = self._unsent[0]
            await self._send(purge)
            self._unsent.popleft()
        await self._catch_up()  # with them: their messages may come later than the first answer to be stored

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            if self.is_current:
                with contextlib.suppress(Away):
                    await self._catch_up()

    async def _catch_up(self) -> None:
        known = self.log.last
        recent = known or (1 << 62)  # nothing is held yet that a purge of a URL could take
        reply = await self._redis.run(_CATCH_UP, self._keys, known, LIFETIME, known, recent, bulk=True)
        match reply:
            case [bytes(floor), bytes(recent_floor), list(kept), list(others)]:
                floors = _time(floor), _time(recent_floor)
                times = [(_time(at), record) for found in (kept, others) for record, at in _pairs(found)]
            case _:
                self.subscriber.drop()
                raise Away(f"the log of purges can not be read: {reply!r}")
        if known and max(floors) > known:
            await self._distrusted()
        self.log.floor = max(self.log.floor, floors[0])
        by_time: dict[int, list[bytes]] = {max(*floors, known): []}
        for at, record in sorted(times):
            by_time.setdefault(at, []).append(record)
        for at, records in sorted(by_time.items()):
            await self._take(at, [record for record in records if record])


def read_message(message: bytes) -> tuple[int, int, list[bytes]]:
    """The time of the purge before, that of this one, and its records. Raises ValueError."""
    before, at, rest = message.split(b" ", 2)
    records = []
    while rest:
        length, colon, rest = rest.partition(b":")
        size = int(length)
        if not colon or not 0 <= size <= len(rest):
            raise ValueError("a record is cut off")
        records.append(rest[:size])
        rest = rest[size:]
    return int(before), int(at), records


def _pairs(flat: list[Reply]) -> list[tuple[bytes, Reply]]:
    return [(name, at) for name, at in zip(flat[::2], flat[1::2], strict=False) if isinstance(name, bytes)]


def _time(reply: Reply) -> int:
    """Raises Away for what is no time of a purge."""
    if isinstance(reply, bytes):
        with contextlib.suppress(ValueError, OverflowError):
            return int(float(reply))
    raise Away(f"this is no time of a purge: {reply!r}")

