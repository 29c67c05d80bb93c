"""What a Redis shard keeps beside its entries as one of a fleet, and how a moved entry leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from semroute.stores._redis.lua import DROP, HEAD, Script

if TYPE_CHECKING:
    from semroute.stores._redis.life import Life
    from semroute.stores._redis.state import Steps

_FIELD: Final = "note"

_KEEP: Final = Script(
    f"""#!lua flags=allow-oom
-- ARGV: life, text, whether there was one, the text that was there
local m = redis.call('HMGET', KEYS[1], 'life', '{_FIELD}')
if m[1] ~= ARGV[1] then return 'reopen' end
if (m[2] and 1 or 0) ~= tonumber(ARGV[3]) or (m[2] and m[2] ~= ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], '{_FIELD}', ARGV[2])
return 1
"""
)

_DROP: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + DROP
    + """
-- ARGV: life, id, when it was created
if redis.call('HGET', KEYS[1], 'life') ~= ARGV[1] then return 'reopen' end
local row = redis.call('HGET', T .. 'book', ARGV[2])
if not row then return 0 end
local _, created = unpack(cjson.decode(row:match('^%d+ (.*)$')))
if created ~= tonumber(ARGV[3]) then return 0 end
drop(ARGV[2])
return 1
"""
)


def note(life: Life) -> Steps[str | None]:
    yield from life.current()
    found = yield ("HGET", life.names.meta, _FIELD)
    return None if found is None else found.decode("utf-8", "replace")


def keep(life: Life, text: str, instead_of: str | None) -> Steps[bool]:
    was_there, before = (0, "") if instead_of is None else (1, instead_of)
    return bool((yield from life.run(_KEEP, text, was_there, before)))


def drop(life: Life, entry_id: str, created_at: float) -> Steps[bool]:
    return bool((yield from life.run(_DROP, entry_id, repr(created_at))))
