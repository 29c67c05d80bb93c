"""What a Redis store does, as generators of commands: every operation once, for both faces."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from semroute.entry import Entry, Found
from semroute.errors import ConfigError, StoreError
from semroute.stores._redis import rows, scripts
from semroute.stores._redis.errors import NoIndex, NoScript, OutOfMemory
from semroute.stores._redis.growth import grow_index
from semroute.stores._redis.index import read_neighbours, search_command
from semroute.stores._redis.state import State, Steps, call
from semroute.stores.capabilities import StoreSize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from semroute.entry import Address, Alias, Candidate, FloatVector
    from semroute.stores._redis.index import Neighbours
    from semroute.stores._redis.life import Life
    from semroute.stores._redis.rows import Row

_LOG: Final = logging.getLogger("semroute.stores")

_LIVES: Final = 3
_SCAN_PAGE: Final = 200
_HITS_BEFORE_WRITING: Final = 1_000
_LONGEST_TTL_MS: Final = 10 * 365 * 24 * 3600 * 1000
_FREED_WHEN_FULL: Final = (32, 256)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a shard may hold."""

    max_entries: int
    max_bytes: int


class Operations:
    """The operations on one shard. What they count is theirs, what they know of the shard is `life`'s."""

    def __init__(self, life: Life, limits: Limits, clock: Callable[[], float]) -> None:
        self.life = life
        self.damaged_rows = 0
        self._limits = limits
        self._clock = clock
        self._meta = life.names.meta
        self._used: dict[str, float] = {}

    def open(self) -> Steps[bytes]:
        state = yield from self.life.current()
        return state.key

    def get(self, address: Address, now: float) -> Steps[Found]:
        state = self.life.state
        # As `run` does it, but for the generators between: this is the path of every hit.
        try:
            reply = scripts.REOPEN
            if state is not None:
                reply = yield ("EVALSHA", scripts.GET.sha, 1, self._meta, state.life, address.exact, now)
        except NoScript:
            pass
        if reply == scripts.REOPEN:
            reply = yield from self.life.run(scripts.GET, address.exact, now)
        try:
            found = rows.read_found(reply, address.exact)
        except StoreError:
            self.damaged_rows += 1
            return Found(None, None, int(reply[0]))
        if found.entry is not None:
            self._used[found.entry.id] = now
            if len(self._used) >= _HITS_BEFORE_WRITING:
                yield from self.write_uses()
        return found

    def search(
        self, address: Address, vector: FloatVector, embedder: str, k: int, now: float
    ) -> Steps[Sequence[Candidate]]:
        if k <= 0:
            return []
        wanted = np.asarray(vector)
        known = self.life.state
        state = yield from (self.life.open() if known is None else self._settled(known, embedder, wanted.size))
        found = yield from self._search(state, address, wanted, embedder, k, now)
        if not found and state is known:
            # Nothing there, or all of it in a life that began since: the metadata tell.
            state = yield from self.life.refresh()
            if state != known:
                found = yield from self._search(state, address, wanted, embedder, k, now)
        return found

    def check_comparable(self, embedder: str, dimensions: int) -> Steps[None]:
        """Raise ConfigError where the shard holds vectors of another embedder."""
        known = self.life.state
        state = yield from (self.life.open() if known is None else self._settled(known, embedder, dimensions))
        if state.embedder is not None:
            self._check_embedder(state, embedder, dimensions)

    def put_entry(self, entry: Entry) -> Steps[bool]:
        for _ in range(_LIVES):
            state = yield from self._state_for(entry)
            row = rows.entry_row(entry, life=state.life, dtype=state.dtype or "float32")
            self._ensure_fits(row)
            reply = yield from self._put(state, entry, row)
            if reply != scripts.REOPEN:
                break
            self.life.forget()
        else:
            raise self.life.too_lively()
        is_stored, entries, *number = reply
        if is_stored and entry.vector is not None:
            yield from self._grow_index(state, entries, number[0])
        return bool(is_stored)

    def put_alias(self, alias: Alias) -> Steps[bool]:
        query, rest = rows.alias_fields(alias)
        size = len(query) + len(rest) + rows.ALIAS_OVERHEAD_BYTES
        limits = (self._limits.max_entries, self._limits.max_bytes)
        reply = yield from self.life.run(
            *(scripts.PUT_ALIAS, alias.address.exact, alias.entry_id, alias.created_at, self._clock(), size),
            *(*limits, query, rest),
        )
        return bool(reply)

    def scan_page(self, cursor: str) -> Steps[tuple[str, list[Entry]]]:
        """Return the next cursor ("0" at the end) and the live entries of a page; some may come twice."""
        following, *found = yield from self.life.run(scripts.SCAN_PAGE, cursor, _SCAN_PAGE)
        now = self._clock()
        entries = []
        for values in found:
            entry = yield from self._read_whole(values)
            if entry is not None and entry.expires_at > now:
                entries.append(entry)
        return following.decode(), entries

    def read(self, address: Address, now: float) -> Steps[Entry | None]:
        found = yield from self.life.run(scripts.READ_WHOLE, address.exact)
        entry = (yield from self._read_whole(found)) if found else None
        return entry if entry is not None and entry.expires_at > now else None

    def _read_whole(self, values: Sequence[Any]) -> Steps[Entry | None]:
        state = yield from self.life.current()
        try:
            return rows.read_whole(values, embedder=state.embedder, dtype=state.dtype, dimensions=state.dimensions)
        except StoreError:
            self.damaged_rows += 1
            return None

    def size(self) -> Steps[StoreSize]:
        yield from self.life.current()
        entries, aliases, size_bytes, partitions = yield from call(scripts.SIZE, self._meta)
        return StoreSize(entries, aliases, size_bytes, partitions)

    def write_uses(self) -> Steps[None]:
        """Write down which entries were used lately; a server that cannot be written to serves all the same."""
        used, self._used = self._used, {}
        if not used:
            return
        pairs = [part for id, when in used.items() for part in (when, id)]
        try:
            yield ("ZADD", self.life.names.used, "XX", "GT", *pairs)
        except (StoreError, ConfigError) as error:
            _LOG.info("when entries were last used could not be written: %s", error)

    def _settled(self, known: State, embedder: str, dimensions: int) -> Steps[State]:
        """Return what is known, or what is true now where that is nothing or would refuse the embedder."""
        if (known.embedder, known.dimensions) == (embedder, dimensions):
            return known
        return (yield from self.life.refresh())

    def _search(
        self, state: State, address: Address, vector: FloatVector, embedder: str, k: int, now: float
    ) -> Steps[Sequence[Candidate]]:
        if state.embedder is None:
            return []
        self._check_embedder(state, embedder, vector.size)
        partition, blob = state.life + address.partition, rows.encode_vector(vector, state.dtype or "float32")
        found = yield from self._neighbours(state, partition, blob, k, now, None)
        if found.dead and found.dead + len(found.candidates) >= k:
            found = yield from self._neighbours(state, partition, blob, k, now, now)
        self.damaged_rows += found.damaged
        return found.candidates

    def _neighbours(
        self, state: State, partition: str, vector: bytes, k: int, now: float, live_at: float | None
    ) -> Steps[Neighbours]:
        try:
            reply = yield search_command(self.life.spec(state).name, partition, vector, k, live_at=live_at)
        except NoIndex:
            state = yield from self.life.recreate_index()
            if state.embedder is None:
                return read_neighbours({b"results": []}, self.life.names.prefix, now)
            reply = yield search_command(self.life.spec(state).name, partition, vector, k, live_at=live_at)
        return read_neighbours(reply, self.life.names.prefix, now)

    def _state_for(self, entry: Entry) -> Steps[State]:
        """Return the state in which an entry can be put; raises ConfigError where the shard is of another embedder."""
        state = yield from self.life.current()
        if entry.vector is None:
            return state
        if entry.embedder is None:
            raise ConfigError("an entry with a vector must name its embedder, so that vectors of two never meet")
        dimensions = int(entry.vector.size)
        rows.encode_vector(entry.vector, "float32")
        state = yield from self._settled(state, entry.embedder, dimensions)
        if state.embedder is None:
            state = yield from self.life.claim(entry.embedder, dimensions)
        self._check_embedder(state, entry.embedder, dimensions)
        return state

    def _put(self, state: State, entry: Entry, row: Row) -> Steps[Any]:
        now = self._clock()
        ttl_ms = min(max((entry.expires_at - now) * 1000, 1), _LONGEST_TTL_MS)
        used, self._used = self._used, {}
        uses = [part for id, when in used.items() for part in (id, when)]
        arguments = (
            *(state.life, entry.id, row.kind, now, entry.expires_at, int(ttl_ms), entry.epoch, row.book),
            *(self._limits.max_entries, self._limits.max_bytes, len(used), *uses, *row.fields),
        )
        for freed in _FREED_WHEN_FULL:
            try:
                return (yield from call(scripts.PUT, self._meta, *arguments))
            except OutOfMemory:
                yield from call(scripts.FREE, self._meta, freed)
        return (yield from call(scripts.PUT, self._meta, *arguments))

    def _grow_index(self, state: State, entries: int, number: int) -> Steps[None]:
        try:
            yield from grow_index(self.life, state, entries, number)
        except StoreError as error:
            _LOG.warning("the index of shard %s could not be changed: %s", self.life.names.shard, error)

    def _ensure_fits(self, row: Row) -> None:
        if row.size_bytes > self._limits.max_bytes:
            raise StoreError(f"the entry takes {row.size_bytes} bytes, more than max_bytes={self._limits.max_bytes}")

    def _check_embedder(self, state: State, embedder: str, dimensions: int) -> None:
        if state.embedder != embedder:
            raise ConfigError(
                f"the store holds vectors of embedder {state.embedder!r}, this cache uses {embedder!r}:"
                " name another shard (?shard=NAME), or empty this one with `semroute invalidate --all`"
            )
        if state.dimensions != dimensions:
            raise ConfigError(
                f"the store holds vectors of {state.dimensions} dimensions, embedder {embedder!r} now makes"
                f" {dimensions}: give the embedder another identity, name another shard (?shard=NAME),"
                " or empty this one with `semroute invalidate --all`"
            )
