"""The Lua scripts by which a Redis store invalidates, and takes over what other stores have invalidated."""

from __future__ import annotations

from typing import Final

from semroute.stores._redis.lua import DROP, HEAD, Script

SETTLED: Final = b"settled"
"""The reply of ADOPT where entries or invalidations were made with another digest key."""

_NOTE: Final = """
-- Where the epoch of an invalidation stands: at its label, or among those that are looked through one by one.
local function field_of(selector)
  if selector.under_way then return 'under-way' end
  if selector.before ~= cjson.null or #selector.labels > 1 then return 'compound' end
  return 'l:' .. (selector.labels[1] or '*')
end
-- Note an invalidation, unless the same is known at this epoch or a later one; says whether it was news for what is
-- stored.
local function note(text, epoch, now)
  if tonumber(redis.call('ZSCORE', T .. 'log', text) or -1) >= tonumber(epoch) then return false end
  local field = field_of(cjson.decode(text))
  redis.call('ZADD', T .. 'log', epoch, text)
  redis.call('ZADD', T .. 'log-at', now, text)
  if field == 'compound' or field == 'under-way' then redis.call('ZADD', T .. field, epoch, text) end
  if tonumber(redis.call('HGET', KEYS[1], field) or -1) < tonumber(epoch) then
    redis.call('HSET', KEYS[1], field, epoch)
  end
  return field ~= 'under-way'
end
-- Forget the oldest, one epoch after the other, if they are too old, or too many and not of this hour.
local function forget(now)
  for _ = 1, 64 do
    local text, epoch = unpack(redis.call('ZRANGE', T .. 'log', 0, 0, 'WITHSCORES'))
    local age = text and now - tonumber(redis.call('ZSCORE', T .. 'log-at', text) or 0)
    if not text or age < 3600000 or (age < MEMORY_MS and redis.call('ZCARD', T .. 'log') <= MOST) then break end
    local field = field_of(cjson.decode(text))
    redis.call('ZREM', T .. 'log', text)
    redis.call('ZREM', T .. 'log-at', text)
    redis.call('ZREM', T .. 'compound', text)
    redis.call('ZREM', T .. 'under-way', text)
    if redis.call('HGET', KEYS[1], field) == epoch then redis.call('HDEL', KEYS[1], field) end
    redis.call('HSET', KEYS[1], 'complete_since', epoch)
  end
end
-- Begin a new life, in which nothing of the old one is served and another embedder may move in.
local function begin(life)
  redis.call('HSET', KEYS[1], 'life', life)
  redis.call('HDEL', KEYS[1], 'embedder', 'dimensions', 'dtype', 'algorithm', 'building')
end
""".replace("MEMORY_MS", str(60 * 24 * 3600 * 1000)).replace("MOST", str(10_000))
# Two months are twice the longest life that the rules give to an answer, so that no shard returns with older ones.

INVALIDATE: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + _NOTE
    + """
-- ARGV: life, now in ms, selector (JSON), a new life
local old = redis.call('HMGET', KEYS[1], 'life', 'algorithm', 'building', 'dtype', 'dimensions', 'epoch')
if old[1] ~= ARGV[1] then return 'reopen' end
local epoch = string.format('%.0f', tonumber(old[6]) + 1)
local selector = cjson.decode(ARGV[3])
redis.call('HSET', KEYS[1], 'epoch', epoch)
note(ARGV[3], epoch, ARGV[2])
if not selector.under_way then redis.call('HINCRBY', KEYS[1], 'stamp', 1) end
forget(tonumber(ARGV[2]))
if #selector.labels == 0 and selector.before == cjson.null and not selector.under_way then begin(ARGV[4]) end
return {epoch, unpack(old, 1, 5)}
"""
)

ADOPT: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + _NOTE
    + """
-- ARGV: life, now in ms, digest key, epoch, complete since, a new life, then selectors (JSON) with the epoch of each
local old = redis.call('HMGET', KEYS[1], 'life', 'key', 'epoch', 'number')
if old[1] ~= ARGV[1] then return 'reopen' end
local epoch, complete_since, changes = tonumber(old[3]), tonumber(ARGV[5]), {}
if old[2] ~= ARGV[3] then
  if epoch > 0 or old[4] then return 'settled' end
  redis.call('HSET', KEYS[1], 'key', ARGV[3])
  begin(ARGV[6])
end
if epoch < complete_since then
  redis.call('HSET', KEYS[1], 'floor', ARGV[5], 'complete_since', ARGV[5])
  changes[1] = 0
end
for at = 7, #ARGV, 2 do
  if note(ARGV[at], ARGV[at + 1], ARGV[2]) then changes[#changes + 1] = (at - 5) / 2 end
  epoch = math.max(epoch, tonumber(ARGV[at + 1]))
end
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', math.max(epoch, tonumber(ARGV[4]))))
if #changes > 0 then redis.call('HINCRBY', KEYS[1], 'stamp', 1) end
return changes
"""
)

EPOCHS: Final = Script(
    "#!lua flags=no-writes\n"
    + HEAD
    + """
-- ARGV: the epoch after which invalidations are asked for
local meta = redis.call('HMGET', KEYS[1], 'key', 'epoch', 'complete_since', 'number')
return {meta[1], meta[2], meta[3] or '0', meta[4] or '0',
  redis.call('ZRANGEBYSCORE', T .. 'log', '(' .. ARGV[1], '+inf', 'WITHSCORES')}
"""
)

VACATE: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + _NOTE
    + """
-- Let another embedder move in where nothing is left. ARGV: life, a new life
local old = redis.call('HMGET', KEYS[1], 'life', 'algorithm', 'building', 'dtype', 'dimensions')
if old[1] ~= ARGV[1] or not old[2] or redis.call('ZCARD', T .. 'used') > 0 then return {} end
begin(ARGV[2])
return old
"""
)

DELETE_PAGE: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + DROP
    + """
-- Remove what an invalidation covers, a page at a time. ARGV: its epoch, selector (JSON), label to go by, cursor
local epoch, selector, label = tonumber(ARGV[1]), cjson.decode(ARGV[2]), ARGV[3]
local page = label ~= '' and redis.call('SSCAN', T .. 'label:' .. label, ARGV[4], 'COUNT', 100)
  or redis.call('ZSCAN', T .. 'used', ARGV[4], 'COUNT', 100)
local gone = 0
for at = 1, #page[2], label ~= '' and 1 or 2 do
  local id = page[2][at]
  local row = redis.call('HGET', T .. 'book', id)
  if row then
    local put_at, rest = row:match('^(%d+) (.*)$')
    local _, created, _, labels = unpack(cjson.decode(rest))
    local has = {}
    for _, one in ipairs(labels) do has[one] = true end
    local all = tonumber(put_at) < epoch and (selector.before == cjson.null or created < selector.before)
    for _, one in ipairs(selector.labels) do all = all and has[one] end
    if all then
      drop(id)
      gone = gone + 1
    end
  end
end
return {page[1], gone}
"""
)
