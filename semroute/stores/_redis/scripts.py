"""The Lua scripts of a Redis store: each operation that must not be torn apart, in one round trip.

All keys of a shard begin with `semroute:{SHARD}:`, of which KEYS[1], the shard's metadata, is the only one declared:
the hash tag puts the others on the same slot.

    meta            version, digest key, life, epoch, embedder …; `stamp` counts the changes of invalidations,
                    `l:LABEL` is the epoch at which a label was last invalidated, `l:*` that of everything, `compound`
                    that of a selector of several labels or of an age, `under-way` that of one that spares what is
                    stored, `floor` the one below which nothing holds
    e:ID, x:ID      an entry with a vector (indexed), and one that only the exact tier serves; its `g` says when it was
                    put, and which epoch counts for it: LIFE:STAMP:NUMBER:EPOCH
    a:ID            an alias; it holds the `g` of its entry, so that it never leads to another that took its place
    used, ends      entries by last use and by expiry;  aliases: by the order in which they came
    book, abook     what must be known to remove an entry or an alias that Redis itself may have expired already
    label:L, of:ID  the entries of a label, the aliases of an entry;  partitions: how many entries each has
    log             the selectors of all invalidations by the epoch of each;  log-at: by time
    compound, under-way     those of them that are looked through one by one

Only entries and aliases have a time to live, so that a volatile-* policy evicts nothing else. Under an allkeys-* one,
metadata may go too: a new `life` begins then, and nothing that was stored in an earlier life is served.
"""

from __future__ import annotations

from typing import Final

from semroute.stores._redis.lua import COVERED, DROP, HEAD, READ, Script

REOPEN: Final = b"reopen"
"""The reply of a script whose caller speaks of a life that is over."""
DAMAGED: Final = b"damaged"

META_FIELDS: Final = (
    "version",
    "key",
    "life",
    "epoch",
    "embedder",
    "dimensions",
    "dtype",
    "algorithm",
    "building",
    "uid",
)
_META: Final = f"redis.call('HMGET', KEYS[1], {', '.join(repr(name) for name in META_FIELDS)})"

CREATE: Final = Script(f"""#!lua
-- ARGV: version, key, life, epoch, uid
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'key', ARGV[2], 'life', ARGV[3], 'epoch', ARGV[4], 'uid', ARGV[5],
    'bytes', 0, 'stamp', 0)
  return {{1, {_META}}}
end
return {{0, {_META}}}
""")

CLAIM: Final = Script(f"""#!lua
-- Say which embedder's vectors this shard holds, unless it is said. ARGV: life, embedder, dimensions, dtype, algorithm
local m = redis.call('HMGET', KEYS[1], 'life', 'embedder')
if m[1] == ARGV[1] and not m[2] then
  redis.call('HSET', KEYS[1], 'embedder', ARGV[2], 'dimensions', ARGV[3], 'dtype', ARGV[4], 'algorithm', ARGV[5])
end
return {_META}
""")

BUILD: Final = Script("""#!lua
-- Begin or end the change to another kind of index. ARGV: life, kind that is there, kind that comes, begin or end
local m = redis.call('HMGET', KEYS[1], 'life', 'algorithm', 'building')
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return 0 end
if ARGV[4] == 'begin' then
  if m[3] then return 0 end
  redis.call('HSET', KEYS[1], 'building', ARGV[3])
else
  redis.call('HSET', KEYS[1], 'algorithm', ARGV[3])
  redis.call('HDEL', KEYS[1], 'building')
end
return 1
""")

GET: Final = Script(
    "#!lua flags=no-writes\n"
    + HEAD
    + """
-- ARGV: life, id, now. First what nearly every hit is: an entry of its own, put since the last invalidation.
local meta = redis.call('HMGET', KEYS[1], 'life', 'epoch', 'stamp')
if meta[1] ~= ARGV[1] then return 'reopen' end
local now, id = tonumber(ARGV[3]), ARGV[2]
local own = redis.pcall('HMGET', T .. 'e:' .. id, 'g', 'x', 'q', 'd')
if own[1] and string.find(own[1], meta[1] .. ':' .. meta[3] .. ':', 1, true) == 1 and (tonumber(own[2]) or 0) > now then
  return {meta[2], own[1], own[3], own[4]}
end
"""
    + COVERED
    + READ
    + """
local r = read(id, meta[1], meta[3])
if r and tonumber(r[2]) > now then return {meta[2], r[1], r[3], r[4]} end
local a = redis.pcall('HMGET', T .. 'a:' .. id, 'g', 't', 'q', 'm')
if a.err then
  is_damaged = true
elseif a[1] and a[2] then
  r = read(a[2], meta[1], meta[3])
  if r and tonumber(r[2]) > now and r[1] == a[1] then
    return {meta[2], r[1], r[3], r[4], a[2], a[3], a[4]}
  end
elseif a[2] or a[3] or a[4] then
  is_damaged = true
end
return is_damaged and {meta[2], 'damaged'} or {meta[2]}
"""
)

PUT: Final = Script(
    "#!lua\n"
    + HEAD
    + COVERED
    + DROP
    + """
-- ARGV: life, id, kind, now, expiry, time to live in ms, epoch of the request, [size, created, partition, labels],
-- most entries, most bytes, n, then n times (id, last used), then the fields and values of the hash
local meta = redis.call('HMGET', KEYS[1], 'life', 'epoch', 'stamp')
if meta[1] ~= ARGV[1] then return 'reopen' end
local id, since = ARGV[2], tonumber(ARGV[7])
local size, created, partition, labels = unpack(cjson.decode(ARGV[8]))
-- An epoch that this shard has not reached is another's: it must not outlive invalidations to come.
local epoch = tonumber(meta[2]) < since and meta[2] or ARGV[7]
if tonumber(meta[2]) > since
  and (covered(labels, since, created) or one_covers('under-way', labels, since, created)) then return {0, 0} end
drop(id)
drop_alias(id)
local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
local key = T .. ARGV[3] .. id
local first = 12 + 2 * ARGV[11]
redis.call('HSET', key, 'g', table.concat({meta[1], meta[3], number, epoch}, ':'),
  unpack(ARGV, first))
redis.call('PEXPIRE', key, ARGV[6])
redis.call('HSET', T .. 'book', id, epoch .. ' ' .. ARGV[8])
redis.call('HINCRBY', T .. 'partitions', partition, 1)
redis.call('ZADD', T .. 'used', ARGV[4], id)
redis.call('ZADD', T .. 'ends', ARGV[5], id)
for _, label in ipairs(labels) do redis.call('SADD', T .. 'label:' .. label, id) end
redis.call('HINCRBY', KEYS[1], 'bytes', size)
for at = 12, first - 1, 2 do redis.call('ZADD', T .. 'used', 'XX', 'GT', ARGV[at + 1], ARGV[at]) end
make_room(ARGV[4], tonumber(ARGV[9]), tonumber(ARGV[10]), id)
return {1, redis.call('ZCARD', T .. 'used'), number}
"""
)

PUT_ALIAS: Final = Script(
    "#!lua\n"
    + HEAD
    + COVERED
    + READ
    + DROP
    + """
-- ARGV: life, id, entry, created, now, size, most entries, most bytes, query, the rest (JSON)
local meta = redis.call('HMGET', KEYS[1], 'life', 'epoch', 'stamp')
if meta[1] ~= ARGV[1] then return 'reopen' end
local id, entry = ARGV[2], ARGV[3]
local r = read(entry, meta[1], meta[3])
if not r or tonumber(r[2]) <= tonumber(ARGV[4]) then return 0 end
local ttl = math.max(redis.call('PTTL', T .. 'e:' .. entry), redis.call('PTTL', T .. 'x:' .. entry))
if ttl < 1 then return 0 end
drop_alias(id)
redis.call('HSET', T .. 'a:' .. id, 'g', r[1], 't', entry, 'q', ARGV[9], 'm', ARGV[10])
redis.call('PEXPIRE', T .. 'a:' .. id, ttl)
redis.call('HSET', T .. 'abook', id, ARGV[6] .. ' ' .. entry)
redis.call('SADD', T .. 'of:' .. entry, id)
redis.call('ZADD', T .. 'aliases', redis.call('HINCRBY', KEYS[1], 'number', 1), id)
redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[6])
make_room(ARGV[5], tonumber(ARGV[7]), tonumber(ARGV[8]), entry)
return 1
"""
)

FREE: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + DROP
    + """
-- Remove the least recently used because the server is full. ARGV: how many
for _, id in ipairs(redis.call('ZRANGE', T .. 'used', 0, ARGV[1] - 1)) do drop(id) end
return redis.call('ZCARD', T .. 'used')
"""
)

SCAN_PAGE: Final = Script(
    "#!lua flags=no-writes\n"
    + HEAD
    + COVERED
    + READ
    + """
-- ARGV: life, cursor, how many
local meta = redis.call('HMGET', KEYS[1], 'life', 'epoch', 'stamp')
if meta[1] ~= ARGV[1] then return 'reopen' end
local page = redis.call('ZSCAN', T .. 'used', ARGV[2], 'COUNT', ARGV[3])
local rows = {page[1]}
for at = 1, #page[2], 2 do
  local r = read(page[2][at], meta[1], meta[3], 'v')
  if r then rows[#rows + 1] = {page[2][at], unpack(r, 1, 5)} end
end
return rows
"""
)

SIZE: Final = Script(
    "#!lua flags=no-writes\n"
    + HEAD
    + """
return {redis.call('ZCARD', T .. 'used'), redis.call('ZCARD', T .. 'aliases'),
  tonumber(redis.call('HGET', KEYS[1], 'bytes') or 0), redis.call('HLEN', T .. 'partitions')}
"""
)

READ_WHOLE: Final = Script(
    "#!lua flags=no-writes\n"
    + HEAD
    + COVERED
    + READ
    + """
-- ARGV: life, id
local meta = redis.call('HMGET', KEYS[1], 'life', 'epoch', 'stamp')
if meta[1] ~= ARGV[1] then return 'reopen' end
local r = read(ARGV[2], meta[1], meta[3], 'v')
return r and {ARGV[2], unpack(r, 1, 5)} or {}
"""
)
