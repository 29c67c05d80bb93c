"""The parts of which the Lua scripts of a Redis store are made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, and the digest by which a server that has seen it knows it."""

    text: str = field(repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


HEAD: Final = "local T = KEYS[1]:sub(1, -5)\n"

COVERED: Final = """
-- Whether one of a kind of selectors, noted since an epoch, covers what carries these labels and was created then.
local function one_covers(kind, labels, since, created)
  local last, has = redis.call('HGET', KEYS[1], kind), {}
  if not last or tonumber(last) <= since then return false end
  local rows = redis.call('ZRANGEBYSCORE', T .. kind, string.format('(%.0f', since), '+inf')
  if #rows == 0 then return true end
  for _, label in ipairs(labels) do has[label] = true end
  for _, row in ipairs(rows) do
    local selector, all = cjson.decode(row), true
    for _, label in ipairs(selector.labels) do all = all and has[label] end
    if selector.before ~= cjson.null then all = all and created < selector.before end
    if all then return true end
  end
  return false
end
-- Whether an invalidation since an epoch covers what is stored, carries these labels and was created then.
local function covered(labels, since, created)
  local names = {'l:*', 'floor'}
  for _, label in ipairs(labels) do names[#names + 1] = 'l:' .. label end
  for _, at in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
    if at and tonumber(at) > since then return true end
  end
  return one_covers('compound', labels, since, created)
end
"""

READ: Final = """
-- The fields of an entry of this life that no invalidation covers: g, x, q, d and what else is asked for.
local is_damaged = false
local function read(id, life, stamp, ...)
  for _, kind in ipairs({'e:', 'x:'}) do
    local r = redis.pcall('HMGET', T .. kind .. id, 'g', 'x', 'q', 'd', ...)
    if r.err then
      is_damaged = true
    elseif r[1] and tonumber(r[2] or '') then
      local in_life, at, epoch = r[1]:match('^(%w+):(%d+):%d+:(%d+)$')
      if in_life == life then
        if at == stamp then return r end
        local ok, head = pcall(cjson.decode, (r[4] or ''):match('^[^\\n]*'))
        if not ok or type(head) ~= 'table' or type(head[5]) ~= 'table' or not tonumber(head[3]) then
          is_damaged = true
        elseif not covered(head[5], tonumber(epoch), tonumber(head[3])) then
          return r
        end
      end
    elseif r[2] or r[3] or r[4] then
      is_damaged = true
    end
  end
end
"""

DROP: Final = """
local function drop_alias(id)
  redis.call('DEL', T .. 'a:' .. id)
  local row = redis.call('HGET', T .. 'abook', id)
  if row then
    local size, entry = row:match('^(%d+) (.*)$')
    redis.call('HDEL', T .. 'abook', id)
    redis.call('ZREM', T .. 'aliases', id)
    redis.call('SREM', T .. 'of:' .. entry, id)
    redis.call('HINCRBY', KEYS[1], 'bytes', -size)
  end
end
local function drop(id)
  redis.call('DEL', T .. 'e:' .. id, T .. 'x:' .. id)
  local row = redis.call('HGET', T .. 'book', id)
  if row then
    local size, created, partition, labels = unpack(cjson.decode(row:match('^%d+ (.*)$')))
    redis.call('HDEL', T .. 'book', id)
    redis.call('ZREM', T .. 'used', id)
    redis.call('ZREM', T .. 'ends', id)
    redis.call('HINCRBY', KEYS[1], 'bytes', -size)
    for _, label in ipairs(labels) do redis.call('SREM', T .. 'label:' .. label, id) end
    if redis.call('HINCRBY', T .. 'partitions', partition, -1) < 1 then
      redis.call('HDEL', T .. 'partitions', partition)
    end
    for _, alias in ipairs(redis.call('SMEMBERS', T .. 'of:' .. id)) do drop_alias(alias) end
  end
end
-- Bring the shard under its limits: what has expired goes first, then what Redis has evicted by itself and is only
-- in the book, then the least recently used; never `keep`, and not so many that other clients would wait.
local function make_room(now, max_entries, max_bytes, keep)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', T .. 'ends', '-inf', now, 'LIMIT', 0, 32)) do
    if id ~= keep then drop(id) end
  end
  for _, id in ipairs(redis.call('ZRANDMEMBER', T .. 'used', 4)) do
    if redis.call('EXISTS', T .. 'e:' .. id, T .. 'x:' .. id) == 0 then drop(id) end
  end
  for _ = 1, 200 do
    local entries = redis.call('ZCARD', T .. 'used')
    if entries <= max_entries and tonumber(redis.call('HGET', KEYS[1], 'bytes')) <= max_bytes then break end
    local oldest = redis.call('ZRANGE', T .. 'used', 0, 1)
    local id = oldest[1] ~= keep and oldest[1] or oldest[2]
    if not id then break end
    drop(id)
  end
  while redis.call('ZCARD', T .. 'aliases') > max_entries do
    drop_alias(redis.call('ZRANGE', T .. 'aliases', 0, 0)[1])
  end
end
"""
