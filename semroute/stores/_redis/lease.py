"""Leases in a Redis shard: one key each, with a time to live, changed by scripts that look at its token first.

They belong to no life of the shard: a lease that is lost with its server costs one call of the model too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from semroute.stores._redis.lua import HEAD, Script
from semroute.stores._redis.state import call
from semroute.stores.capabilities import Claim

if TYPE_CHECKING:
    from semroute.entry import Address
    from semroute.stores._redis.index import Names
    from semroute.stores._redis.state import Steps

_DECLINED: Final = "-"
"""What stands in the place of a token; no token may be this."""
_CLAIMS: Final = (Claim.THEIRS, Claim.OURS, Claim.DECLINED)

ACQUIRE: Final = Script(
    "#!lua\n"
    + HEAD
    + f"""
-- ARGV: id, token, time to live in ms
local key = T .. 'lease:' .. ARGV[1]
local holder = redis.call('GET', key)
if not holder or holder == ARGV[2] then
  redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
  return 1
end
return holder == '{_DECLINED}' and 2 or 0
"""
)

# Both may run where the server is full: they only shorten what there is.
RENEW: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + """
-- ARGV: id, token, time to live in ms
local key = T .. 'lease:' .. ARGV[1]
if redis.call('GET', key) ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', key, ARGV[3])
return 1
"""
)

RELEASE: Final = Script(
    "#!lua flags=allow-oom\n"
    + HEAD
    + f"""
-- ARGV: id, token, for how many ms it is declined, or 0
local key = T .. 'lease:' .. ARGV[1]
if redis.call('GET', key) ~= ARGV[2] then return 0 end
if tonumber(ARGV[3]) > 0 then
  redis.call('SET', key, '{_DECLINED}', 'PX', ARGV[3])
else
  redis.call('DEL', key)
end
return 1
"""
)


def acquire(names: Names, address: Address, token: str, ttl_s: float) -> Steps[Claim]:
    """Take the lease of a key if it is free."""
    claimed: int = yield from call(ACQUIRE, names.meta, address.exact, token, _ms(ttl_s))
    return _CLAIMS[claimed]


def renew(names: Names, address: Address, token: str, ttl_s: float) -> Steps[bool]:
    """Have a lease last longer, if the token holds it."""
    return bool((yield from call(RENEW, names.meta, address.exact, token, _ms(ttl_s))))


def release(names: Names, address: Address, token: str, declined_s: float) -> Steps[bool]:
    """End a lease, if the token holds it."""
    declined_ms = _ms(declined_s) if declined_s > 0 else 0
    return bool((yield from call(RELEASE, names.meta, address.exact, token, declined_ms)))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
