"""How a Redis shard is gone through for the entries that new documents are near to; generators like the operations.

The index knows nothing of labels, nor of entries that only the exact tier serves. So it is not asked: a script goes
through the rarest of the labels a page at a time, and returns places and vectors without the answers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from semroute.entry import Address
from semroute.errors import StoreError
from semroute.stores._nearness import PAGE
from semroute.stores._redis import rows
from semroute.stores._redis.lua import COVERED, HEAD, READ, Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.entry import FloatVector
    from semroute.stores._nearness import Nearness
    from semroute.stores._redis.operations import Operations
    from semroute.stores._redis.state import State, Steps
    from semroute.stores.capabilities import Near

NEAR_PAGE: Final = Script(
    "#!lua flags=no-writes\n"
    + HEAD
    + COVERED
    + READ
    + """
-- ARGV: life, label to go by, cursor, how many, now
local meta = redis.call('HMGET', KEYS[1], 'life', 'epoch', 'stamp')
if meta[1] ~= ARGV[1] then return 'reopen' end
local page = ARGV[2] ~= '' and redis.call('SSCAN', T .. 'label:' .. ARGV[2], ARGV[3], 'COUNT', ARGV[4])
  or redis.call('ZSCAN', T .. 'used', ARGV[3], 'COUNT', ARGV[4])
local rows = {page[1]}
for at = 1, #page[2], ARGV[2] ~= '' and 1 or 2 do
  local id = page[2][at]
  local r = read(id, meta[1], meta[3], 'v')
  if r and tonumber(r[2]) > tonumber(ARGV[5]) then
    rows[#rows + 1] = {id, (r[4] or ''):match('^[^\\n]*'), r[5]}
  end
end
return rows
"""
)


class NearWalk:
    """One walk through the entries of a shard: `begin`, and then `take` every `page` until it `is_done`."""

    def __init__(self, operations: Operations, wanted: Nearness, labels: frozenset[str], *, now: float) -> None:
        self.found: list[Near] = []
        self.is_done = wanted.is_vain
        self._operations = operations
        self._wanted = wanted
        self._labels = labels
        self._now = now
        self._rarest = ""
        self._cursor = "0"
        self._seen: set[bytes] = set()

    def begin(self, embedder: str) -> Steps[None]:
        """Choose the label to go by; raises ConfigError where the shard holds vectors of another embedder."""
        yield from self._operations.check_comparable(embedder, self._wanted.dimensions)
        prefix = self._operations.life.names.prefix
        sizes: dict[str, int] = {}
        for label in sorted(self._labels):
            sizes[label] = int((yield ("SCARD", f"{prefix}label:{label}")))
        self._rarest = min(sizes, key=sizes.__getitem__, default="")

    def page(self) -> Steps[list[tuple[Address, FloatVector | None]]]:
        """Read the next entries, each once though Redis may return a key twice while its tables grow."""
        life = self._operations.life
        reply = yield from life.run(NEAR_PAGE, self._rarest, self._cursor, PAGE, self._now)
        state = yield from life.current()
        self._cursor = reply[0].decode()
        self.is_done = self._cursor == "0"
        fresh = [values for values in reply[1:] if values[0] not in self._seen]
        self._seen.update(values[0] for values in fresh)
        read = [self._read(state, values) for values in fresh]
        return [one for one in read if one is not None]

    def take(self, page: Sequence[tuple[Address, FloatVector | None]]) -> None:
        """Compare a page; no work for an event loop."""
        self.found += self._wanted.among(page)

    def _read(self, state: State, values: Sequence[Any]) -> tuple[Address, FloatVector | None] | None:
        """Return where an entry lives and its vector; None for one that lacks a label, or that no read would serve."""
        id, head, blob = values
        try:
            shard, partition, _, _, labels = json.loads(rows.decode_text(head))
            address = Address(shard, partition, id.decode())
            is_wanted = self._labels <= frozenset(labels)
        except (ValueError, TypeError):
            self._operations.damaged_rows += 1
            return None
        return (address, _vector(state, blob)) if is_wanted else None


def _vector(state: State, blob: bytes | None) -> FloatVector | None:
    """Return a vector, None for one that is damaged: the exact tier serves its entry all the same."""
    try:
        return rows.decode_vector(blob, state.dtype, state.dimensions)
    except StoreError:
        return None
