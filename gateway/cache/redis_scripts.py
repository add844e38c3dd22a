"""What has to happen in Redis in one step: to store an entry, to take one out, to purge a URL.

The mark of a URL reads `m1 HARD SOFT`: the time of its newest hard purge, or since when it is known, and that of its newest
soft one. Where a full Redis refuses to change it, it goes: entries without it are void. What is of another kind under a
name of ours is foreign, and goes.
"""

from __future__ import annotations

from typing import Final

from gateway.redis.script import Script

_MARKS: Final = """
local function mark(text)
  local hard, soft = string.match(text or '', '^m1 (%d+) (%d+)$')
  hard, soft = tonumber(hard), tonumber(soft)
  local latest = (redis.call('TIME')[1] + 60) * 1000000
  if hard and hard < latest and soft < latest then return hard, soft end
end
local function text(hard, soft) return string.format('m1 %.0f %.0f', hard, soft) end
local function lives(key, milliseconds)
  if redis.call('PTTL', key) < milliseconds then redis.call('PEXPIRE', key, milliseconds) end
end
local function as(key, kind)
  local there = redis.call('TYPE', key).ok
  if there ~= kind and there ~= 'none' then redis.call('DEL', key) end
end
as(KEYS[1], 'string')
"""
# KEYS: the mark, the hash. ARGV: field, frame, mark, milliseconds, the write it replaces or nothing, MAX_FIELDS, HEAD, MAX_BYTES.
# The head of what it replaced, or nothing; false where it was not done. A hash that would be too much for one look-up begins
# anew; its size is that of its values, in a field `s`.
STORE: Final = Script(
    _MARKS
    + """
as(KEYS[2], 'hash')
local hard, soft = mark(redis.call('GET', KEYS[1]))
local own, own_soft = mark(redis.call('HGET', KEYS[2], 'p'))
local at, milliseconds = tonumber(ARGV[3]), tonumber(ARGV[4])
if (hard and hard > at) or (own and own > at) then return false end
local old = redis.call('HGET', KEYS[2], ARGV[1]) or ''
if ARGV[5] ~= '' and string.sub(old, 5, 12) ~= ARGV[5] then return false end
if not hard then redis.call('SET', KEYS[1], text(at, 0), 'PX', milliseconds) end
local size = (tonumber(redis.call('HGET', KEYS[2], 's')) or 0) + #ARGV[2] - #old
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[6]) or size > tonumber(ARGV[8]) then
  redis.call('DEL', KEYS[2])
  if own then redis.call('HSET', KEYS[2], 'p', text(own, own_soft)) end
  size = #ARGV[2]
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2], 's', size)
lives(KEYS[1], milliseconds)
lives(KEYS[2], milliseconds)
return string.sub(old, 1, tonumber(ARGV[7]))
"""
)
# KEYS: the mark, the hash. ARGV: field, write, HEAD. As STORE.
DROP: Final = Script(
    """
if redis.call('TYPE', KEYS[2]).ok ~= 'hash' then return false end
local old = redis.call('HGET', KEYS[2], ARGV[1]) or ''
if string.sub(old, 5, 12) ~= ARGV[2] then return false end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[2], 's', -#old)
return string.sub(old, 1, tonumber(ARGV[3]))
"""
)
# KEYS: the mark, the hash. ARGV: field of the entry, its write, field of the form, frame, MAX_BYTES.
ADD_FORM: Final = Script(
    """
if redis.call('TYPE', KEYS[2]).ok ~= 'hash' then return 0 end
if string.sub(redis.call('HGET', KEYS[2], ARGV[1]) or '', 5, 12) ~= ARGV[2] then return 0 end
local more = #ARGV[4] - redis.call('HSTRLEN', KEYS[2], ARGV[3])
if redis.call('HINCRBY', KEYS[2], 's', more) > tonumber(ARGV[5]) then
  redis.call('HINCRBY', KEYS[2], 's', -more)
  return 0
end
return redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
"""
)
# KEYS: the mark of a URL. ARGV: time, whether it is soft, milliseconds.
PURGE_URL: Final = Script(
    _MARKS
    + """
local hard, soft = mark(redis.call('GET', KEYS[1]))
local at = tonumber(ARGV[1])
if ARGV[2] == '1' then
  if not hard then return 0 end
  soft = math.max(soft, at)
else
  hard = math.max(hard or 0, at)
end
if redis.pcall('SET', KEYS[1], text(hard, soft or 0), 'KEEPTTL').err then redis.call('DEL', KEYS[1]) end
lives(KEYS[1], tonumber(ARGV[3]))
return 1
"""
)
# KEYS: the mark, the hash. ARGV: time, whether it is soft.
PURGE_KEY: Final = Script(
    _MARKS
    + """
if redis.call('TYPE', KEYS[2]).ok ~= 'hash' then return 0 end
local hard, soft = mark(redis.call('HGET', KEYS[2], 'p'))
local at = tonumber(ARGV[1])
if ARGV[2] == '1' then soft = math.max(soft or 0, at) else hard = math.max(hard or 0, at) end
if type(redis.pcall('HSET', KEYS[2], 'p', text(hard or 0, soft or 0))) == 'table' then redis.call('DEL', KEYS[2]) end
return 1
"""
)
