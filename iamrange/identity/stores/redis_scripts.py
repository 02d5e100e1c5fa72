"""The scripts that Redis or Valkey runs for us: each is atomic there.

- Nothing here expires by the server's clock, nor by one caller's: what is beyond the callers'
  settled past is dropped, and `until` says how far that went.
- `born` is a random name that a store is given once. A store that comes back without it, or with
  another, has lost what it knew (a restart without persistence, a flush, a failover to an empty
  replica): whatever could have been known before then counts as used, or as revoked.
- All keys of a store share a hash tag, so that a cluster keeps them together.
"""

from __future__ import annotations

from typing import Final

_STATE: Final = """
local prefix = KEYS[1]
local state = prefix .. ':state'
local mark = tonumber(redis.call('HGET', state, 'until') or '0')
local function forget(moment)
  if moment > mark then
    mark = moment
    redis.call('HSET', state, 'until', string.format('%.3f', moment))
  end
end
local function birth(expected, fresh, lost)
  local born = redis.call('HGET', state, 'born')
  if not born then
    born = fresh
    redis.call('HSET', state, 'born', born)
  end
  if expected ~= '' and expected ~= born then
    forget(lost)
  end
  return born
end
"""

INSERT: Final = f"""{_STATE}
local index, member, width = prefix .. ':index', ARGV[1], tonumber(ARGV[2])
local expires, past = tonumber(ARGV[3]), tonumber(ARGV[4])
local born = birth(ARGV[5], ARGV[6], tonumber(ARGV[7]))
local used = expires <= mark
for _, bucket in ipairs(redis.call('ZRANGE', index, 0, -1)) do
  local name, last = prefix .. ':' .. bucket, tonumber(bucket) + width
  if last < past then
    redis.call('UNLINK', name)
    redis.call('ZREM', index, bucket)
    forget(last)
  elseif not used and redis.call('SISMEMBER', name, member) == 1 then
    used = true
  end
end
if used or expires <= mark then
  return {{0, born}}
end
local bucket = string.format('%d', math.floor(expires / width) * width)
redis.call('SADD', prefix .. ':' .. bucket, member)
redis.call('ZADD', index, bucket, bucket)
return {{1, born}}
"""
"""Used proofs stand in sets, one for each `width` seconds in which they expire."""

SEEN: Final = f"""{_STATE}
if tonumber(ARGV[2]) <= mark then
  return 1
end
for _, bucket in ipairs(redis.call('ZRANGE', prefix .. ':index', 0, -1)) do
  if redis.call('SISMEMBER', prefix .. ':' .. bucket, ARGV[1]) == 1 then
    return 1
  end
end
return 0
"""

REVOKE: Final = f"""{_STATE}
local tokens = prefix .. ':tokens'
local born = birth(ARGV[1], ARGV[2], tonumber(ARGV[3]))
redis.call('ZADD', tokens, 'GT', ARGV[5], ARGV[4])
local below, most = '(' .. ARGV[6], tonumber(ARGV[7])
local old = redis.call('ZRANGEBYSCORE', tokens, '-inf', below, 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #old, 2 do
  redis.call('ZREM', tokens, old[i])
  forget(tonumber(old[i + 1]))
end
return born
"""

RAISE: Final = f"""{_STATE}
local born = birth(ARGV[1], ARGV[2], tonumber(ARGV[3]))
if tonumber(ARGV[5]) > tonumber(redis.call('HGET', prefix .. ':epochs', ARGV[4]) or '-1') then
  redis.call('HSET', prefix .. ':epochs', ARGV[4], ARGV[5])
end
return born
"""

ASK: Final = f"""{_STATE}
local born = birth(ARGV[1], ARGV[2], tonumber(ARGV[3]))
local agents, answer = tonumber(ARGV[4]), {{}}
for i = 5, #ARGV do
  if i < 5 + agents then
    answer[i - 4] = redis.call('HGET', prefix .. ':epochs', ARGV[i])
  else
    answer[i - 4] = redis.call('ZSCORE', prefix .. ':tokens', ARGV[i])
  end
end
return {{born, string.format('%.3f', mark), answer}}
"""
"""The first of the arguments are agents, the others token ids; a missing one answers false."""
