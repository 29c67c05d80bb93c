"""What an embedded store does inside one connection: every statement it runs after the tables are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from semroute.entry import Alias, Entry, Found
from semroute.errors import ConfigError, StoreError
from semroute.stores._sqlite import epochs, rows
from semroute.stores.capabilities import StoreSize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from semroute.entry import Selector
    from semroute.stores._sqlite.schema import Connection
    from semroute.stores.capabilities import EpochState

REMOVALS_KEPT: Final = 10_000
"""A process that slept through more removals than this reads its partitions anew."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store may hold."""

    max_entries: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class State:
    """The store's own row: what every operation must know."""

    epoch: int
    writes: int
    embedder: str | None
    dimensions: int | None
    entries: int
    aliases: int
    bytes: int

    def has_room(self, limits: Limits, *, entries: int = 0, bytes: int = 0) -> bool:
        """Say whether nothing would have to go if this much came."""
        return self.entries + entries <= limits.max_entries and self.bytes + bytes <= limits.max_bytes


def read_state(connection: Connection) -> State:
    return State(
        *connection.execute("SELECT epoch, writes, embedder, dimensions, entries, aliases, bytes FROM state").fetchone()
    )


def _entry_columns(**instead: str) -> str:
    """Name the entry's columns in the join of `entries t` and `bodies b`; `instead` names others for some."""
    at = {"query": "b.query", "answer": "b.answer", "vector": "b.vector", **instead}
    return ", ".join(at.get(name, f"t.{name}") for name in rows.ENTRY_COLUMNS.split(", "))


_SERVED_ENTRY: Final = _entry_columns(vector="NULL", labels="NULL")
_WHOLE_ENTRY: Final = _entry_columns()
_ALIAS: Final = ", ".join(f"a.{name}" for name in rows.ALIAS_COLUMNS.split(", "))
_GET: Final = f"""
SELECT s.epoch, s.embedder, s.dimensions, t.row, {_SERVED_ENTRY}, {_ALIAS}
FROM state s
LEFT JOIN entries e ON e.exact = ?1 AND e.expires_at > ?2
LEFT JOIN aliases a ON e.row IS NULL AND a.exact = ?1
LEFT JOIN entries t ON t.row = coalesce(e.row, a.row) AND t.expires_at > ?2
LEFT JOIN bodies b ON b.row = t.row
"""
_ENTRY_WIDTH: Final = len(rows.ENTRY_COLUMNS.split(", "))


def get(connection: Connection, exact: str, now: float) -> tuple[int | None, Found]:
    """Look a key up; returns the row that served it, for the record of use. Raises StoreError for a damaged row."""
    found = connection.execute(_GET, (exact, now)).fetchone()
    epoch, embedder, dimensions, row = found[:4]
    if row is None:
        return None, Found(None, None, epoch)
    entry = rows.read_entry(found[4 : 4 + _ENTRY_WIDTH], embedder=embedder, dimensions=dimensions)
    alias = found[4 + _ENTRY_WIDTH :]
    return row, Found(entry, None if alias[0] is None else rows.read_alias(alias, entry.id), epoch)


def get_epoch(connection: Connection) -> int:
    (epoch,) = connection.execute("SELECT epoch FROM state").fetchone()
    return int(epoch)


def check_embedder(state: State, embedder: str | None, dimensions: int) -> None:
    """Raise ConfigError when the store holds vectors of another embedder."""
    if embedder is None:
        raise ConfigError("an entry with a vector must name its embedder, so that vectors of two never meet")
    if state.embedder is None:
        return
    if state.embedder != embedder:
        raise ConfigError(
            f"the store holds vectors of embedder {state.embedder!r}, this cache uses {embedder!r}: "
            "use another file, or empty this one with `semroute invalidate --all`"
        )
    if state.dimensions != dimensions:
        raise ConfigError(
            f"the store holds vectors of {state.dimensions} dimensions, embedder {embedder!r} now makes {dimensions}: "
            "give the embedder another identity, use another file, or empty this one with `semroute invalidate --all`"
        )


# Every statement hands the interpreter's lock to other threads twice, so that few of them matter more than short ones.
_BEFORE_ENTRY: Final = """
SELECT epoch, writes, embedder, dimensions, entries, aliases, bytes,
    EXISTS (SELECT 1 FROM entries WHERE exact = ?1) OR EXISTS (SELECT 1 FROM aliases WHERE exact = ?1),
    EXISTS (SELECT 1 FROM invalidations WHERE epoch > ?2)
FROM state
"""


def put_entry(
    connection: Connection,
    entry: Entry,
    columns: Mapping[str, Any],
    *,
    limits: Limits,
    now: float,
    note_uses: Callable[[], None],
) -> bool:
    """Store an entry inside a transaction, replacing one of the same id, and evict what is then too much.

    `note_uses` writes down what was used lately; it is called before the least recently used are chosen.
    """
    *before, is_known, has_newer = connection.execute(_BEFORE_ENTRY, (entry.id, entry.epoch)).fetchone()
    state = State(*before)
    if entry.vector is not None:
        check_embedder(state, entry.embedder, entry.vector.size)
        if state.embedder is None:
            connection.execute("UPDATE state SET embedder = ?, dimensions = ?", (entry.embedder, entry.vector.size))
    if has_newer and epochs.is_invalidated(connection, entry):
        return False
    if is_known:
        connection.execute("DELETE FROM entries WHERE exact = ?", (entry.id,))
        connection.execute("DELETE FROM aliases WHERE exact = ?", (entry.id,))
    row = connection.execute(
        "INSERT INTO entries"
        " (exact, partition, shard, created_at, expires_at, last_used, epoch, bytes, labels)"
        " VALUES (:exact, :partition, :shard, :created_at, :expires_at, :last_used, :epoch, :bytes, :labels)",
        # An epoch that this store has not reached is another store's: it must not outlive invalidations to come.
        {**columns, "last_used": now, "epoch": min(entry.epoch, state.epoch)},
    ).lastrowid
    connection.execute(
        "INSERT INTO bodies (row, query, vector, answer) VALUES (:row, :query, :vector, :answer)",
        {**columns, "row": row},
    )
    connection.executemany("INSERT INTO labels (label, row) VALUES (?, ?)", [(label, row) for label in entry.labels])
    if not state.has_room(limits, entries=1, bytes=columns["bytes"]):
        note_uses()
        evict(connection, limits, keep=row, now=now)
    return True


_BEFORE_ALIAS: Final = """
SELECT e.row, EXISTS (SELECT 1 FROM aliases WHERE exact = ?1),
    s.epoch, s.writes, s.embedder, s.dimensions, s.entries, s.aliases, s.bytes
FROM entries e, state s WHERE e.exact = ?2 AND e.expires_at > ?3
"""


def put_alias(
    connection: Connection, alias: Alias, *, limits: Limits, now: float, note_uses: Callable[[], None]
) -> bool:
    """Store an alias inside a transaction, in the place of one of the same key, unless its entry is gone."""
    exact = alias.address.exact
    found = connection.execute(_BEFORE_ALIAS, (exact, alias.entry_id, alias.created_at)).fetchone()
    if found is None:
        return False
    row, is_known, *before = found
    state = State(*before)
    if is_known:
        connection.execute("DELETE FROM aliases WHERE exact = ?", (exact,))
    columns = rows.alias_columns(alias, row)
    connection.execute(
        "INSERT INTO aliases"
        " (exact, partition, shard, row, query, similarity, p_reusable, policy, created_at, bytes) VALUES"
        " (:exact, :partition, :shard, :row, :query, :similarity, :p_reusable, :policy, :created_at, :bytes)",
        columns,
    )
    if state.aliases >= limits.max_entries:
        _evict_aliases(connection, limits)
    if not state.has_room(limits, bytes=columns["bytes"]):
        note_uses()
        evict(connection, limits, keep=row, now=now)
    return True


def touch(connection: Connection, used: Mapping[int, float]) -> None:
    """Note when rows were last used."""
    connection.executemany(
        "UPDATE entries SET last_used = max(last_used, ?) WHERE row = ?", [(when, row) for row, when in used.items()]
    )


def evict(connection: Connection, limits: Limits, *, keep: int | None, now: float) -> None:
    """Bring the store under its limits: expired entries go first, then the least recently used, 1 % at a time."""
    state = read_state(connection)
    if state.has_room(limits):
        return
    connection.execute("DELETE FROM entries WHERE expires_at <= ? AND row IS NOT ?", (now, keep))
    while not (state := read_state(connection)).has_room(limits):
        excess = max(state.entries - limits.max_entries, 0)
        gone = connection.execute(
            "DELETE FROM entries WHERE row IN"
            " (SELECT row FROM entries WHERE row IS NOT ? ORDER BY last_used, row LIMIT ?)",
            (keep, max(1, excess + state.entries // 100)),
        ).rowcount
        if not gone:
            break
    _prune_removals(connection)


def _evict_aliases(connection: Connection, limits: Limits) -> None:
    """Drop the oldest aliases when there are more of them than entries may be."""
    (aliases,) = connection.execute("SELECT aliases FROM state").fetchone()
    if aliases > limits.max_entries:
        connection.execute(
            "DELETE FROM aliases WHERE rowid IN (SELECT rowid FROM aliases ORDER BY rowid LIMIT ?)",
            (aliases - limits.max_entries + aliases // 100,),
        )


def _prune_removals(connection: Connection) -> None:
    connection.execute("DELETE FROM removals WHERE number <= (SELECT max(number) FROM removals) - ?", (REMOVALS_KEPT,))


def delete(connection: Connection, selector: Selector, *, now: float) -> int:
    """Remove the selected entries inside a transaction, and raise the epoch so that older requests are refused."""
    epoch = get_epoch(connection) + 1
    connection.execute("UPDATE state SET epoch = ?", (epoch,))
    epochs.remember(connection, selector, epoch, now=now)
    epochs.forget_the_oldest(connection, now=now)
    gone = epochs.delete_rows(connection, selector)
    _prune_removals(connection)
    return gone


def adopt(connection: Connection, state: EpochState, *, now: float) -> int:
    """Take over invalidations inside a transaction; see `Epochs.adopt`."""
    gone = epochs.adopt(connection, state, now=now)
    _prune_removals(connection)
    return gone


_READ: Final = f"""
SELECT s.embedder, s.dimensions, {_WHOLE_ENTRY}
FROM state s, entries t JOIN bodies b ON b.row = t.row WHERE t.exact = ? AND t.expires_at > ?
"""


def read_whole(connection: Connection, exact: str, now: float) -> Entry | None:
    """Read an entry with its vector and labels; raises StoreError for a damaged one."""
    found = connection.execute(_READ, (exact, now)).fetchone()
    return None if found is None else rows.read_entry(found[2:], embedder=found[0], dimensions=found[1])


_SCAN: Final = f"""
SELECT t.row, {_WHOLE_ENTRY} FROM entries t JOIN bodies b ON b.row = t.row
WHERE t.row > ? AND t.expires_at > ? ORDER BY t.row LIMIT ?
"""


def scan_page(connection: Connection, after_row: int, now: float, size: int) -> list[tuple[Any, ...]]:
    """Read the next rows of a scan: the row number, then the columns of `read_entry`."""
    return connection.execute(_SCAN, (after_row, now, size)).fetchall()


def read_size(connection: Connection) -> StoreSize:
    state = read_state(connection)
    (partitions,) = connection.execute("SELECT count(DISTINCT partition) FROM entries").fetchone()
    return StoreSize(state.entries, state.aliases, state.bytes, partitions)


def ensure_fits(columns: Mapping[str, Any], limits: Limits) -> None:
    """Raise StoreError for an entry that alone is larger than the store may be."""
    if columns["bytes"] > limits.max_bytes:
        raise StoreError(f"the entry takes {columns['bytes']} bytes, more than max_bytes={limits.max_bytes}")
