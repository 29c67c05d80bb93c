"""What an embedded store remembers of its invalidations, and how it takes over those of others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from semroute.entry import Selector
from semroute.errors import ConfigError
from semroute.stores._sqlite import rows
from semroute.stores.capabilities import EpochState

if TYPE_CHECKING:
    from semroute.entry import Entry
    from semroute.stores._sqlite.schema import Connection

MEMORY_S: Final = 30 * 24 * 3600.0
"""How long an invalidation is remembered: for requests that began before it, and for shards that were away."""
MOST_REMEMBERED: Final = 10_000
_LONGEST_REQUEST_S: Final = 3600.0
"""What is younger is never forgotten: requests may be under way that began before it."""
_PRUNE_EVERY: Final = 256

_READ: Final = """
SELECT digest_key, epoch > 0 OR entries > 0 OR aliases > 0, epoch, complete_since, embedder, dimensions FROM state
"""


def read(connection: Connection, *, after: int) -> EpochState:
    """Return what the store remembers of invalidations later than `after`; to be called inside a transaction."""
    key, is_settled, epoch, complete_since, embedder, dimensions = connection.execute(_READ).fetchone()
    remembered: dict[Selector, int] = {}
    for labels, before, under_way, at_epoch in connection.execute(
        "SELECT labels, created_before, under_way, epoch FROM invalidations WHERE epoch > ?", (after,)
    ):
        selector = Selector(rows.column_labels(labels), before, bool(under_way))
        remembered[selector] = max(at_epoch, remembered.get(selector, 0))
    complete_since = max(complete_since, min(after, epoch))
    return EpochState(bytes(key), bool(is_settled), epoch, complete_since, remembered, embedder, dimensions)


def _known(connection: Connection, selector: Selector) -> int:
    """Return the highest epoch at which exactly this was invalidated; -1 where it never was."""
    (epoch,) = connection.execute(
        "SELECT max(epoch) FROM invalidations WHERE labels = ? AND created_before IS ? AND under_way = ?",
        (rows.labels_column(selector.labels), selector.created_before, selector.under_way),
    ).fetchone()
    return -1 if epoch is None else int(epoch)


def remember(connection: Connection, selector: Selector, epoch: int, *, now: float) -> None:
    """Note an invalidation in the place of those of the same labels and kind that it covers."""
    labels, before = rows.labels_column(selector.labels), selector.created_before
    connection.execute(
        "DELETE FROM invalidations"
        " WHERE labels = ?1 AND epoch <= ?2 AND (created_before <= ?3 OR ?3 IS NULL) AND under_way = ?4",
        (labels, epoch, before, selector.under_way),
    )
    connection.execute(
        "INSERT INTO invalidations (labels, created_before, under_way, epoch, at) VALUES (?, ?, ?, ?, ?)",
        (labels, before, selector.under_way, epoch, now),
    )


def forget_the_oldest(connection: Connection, *, now: float, at_once: bool = False) -> None:
    """Drop, once in a while, what is too old or too much to remember, and note from when on the memory is complete."""
    (epoch,) = connection.execute("SELECT epoch FROM state").fetchone()
    if epoch % _PRUNE_EVERY and not at_once:
        return
    # Epochs and times need not run alike: what was adopted is young here. So what is too old draws the line.
    (last,) = connection.execute(
        "SELECT max(epoch) FROM invalidations WHERE at < ?1 OR at < ?2 AND epoch <= coalesce("
        "(SELECT epoch FROM invalidations ORDER BY epoch DESC LIMIT 1 OFFSET ?3), 0)",
        (now - MEMORY_S, now - _LONGEST_REQUEST_S, MOST_REMEMBERED),
    ).fetchone()
    if last is not None:
        connection.execute("DELETE FROM invalidations WHERE epoch <= ?", (last,))
        connection.execute("UPDATE state SET complete_since = max(complete_since, ?)", (last,))


def is_invalidated(connection: Connection, entry: Entry) -> bool:
    """Say whether an invalidation since the entry's epoch covers it."""
    newer = connection.execute("SELECT labels, created_before FROM invalidations WHERE epoch > ?", (entry.epoch,))
    return any(
        (before is None or entry.created_at < before) and rows.column_labels(labels) <= entry.labels
        for labels, before in newer
    )


def delete_rows(connection: Connection, selector: Selector, *, below: int | None = None) -> int:
    """Remove the selected entries, of epochs under `below` where that is given; returns how many went."""
    if selector.under_way:
        return 0
    before = float("inf") if selector.created_before is None else selector.created_before
    if selector.labels:
        return connection.execute(
            "DELETE FROM entries WHERE created_at < ?1 AND (epoch < ?2 OR ?2 IS NULL) AND row IN"
            " (SELECT row FROM labels WHERE label IN (SELECT value FROM json_each(?3))"
            " GROUP BY row HAVING count(*) = ?4)",
            (before, below, json.dumps(sorted(selector.labels)), len(selector.labels)),
        ).rowcount
    if selector.created_before is not None:
        return connection.execute(
            "DELETE FROM entries WHERE created_at < ?1 AND (epoch < ?2 OR ?2 IS NULL)", (before, below)
        ).rowcount
    if below is None:
        for table in ("bodies", "labels", "aliases"):  # in one sweep, which the entries' triggers do row by row
            connection.execute(f"DELETE FROM {table}")
    gone = connection.execute("DELETE FROM entries WHERE epoch < ?1 OR ?1 IS NULL", (below,)).rowcount
    connection.execute("UPDATE state SET embedder = NULL, dimensions = NULL WHERE entries = 0")
    return gone


def adopt(connection: Connection, state: EpochState, *, now: float) -> int:
    """Take over invalidations inside a transaction; see `Epochs.adopt`."""
    (reached,) = connection.execute("SELECT epoch FROM state").fetchone()
    own = read(connection, after=reached)
    if own.digest_key != state.digest_key:
        _exchange_key(connection, own, state)
    gone = 0
    if own.epoch < state.complete_since:
        everything = connection.execute("DELETE FROM entries WHERE epoch < ?", (state.complete_since,))
        gone += everything.rowcount
        connection.execute("UPDATE state SET complete_since = ?", (state.complete_since,))
    for selector, epoch in state.invalidations.items():
        if epoch > _known(connection, selector):
            remember(connection, selector, epoch, now=now)
            gone += delete_rows(connection, selector, below=epoch)
    connection.execute("UPDATE state SET epoch = max(epoch, ?)", (state.epoch,))
    connection.execute(
        "UPDATE state SET embedder = ?, dimensions = ? WHERE embedder IS NULL", (state.embedder, state.dimensions)
    )
    forget_the_oldest(connection, now=now, at_once=len(state.invalidations) > _PRUNE_EVERY)
    return gone


def _exchange_key(connection: Connection, own: EpochState, state: EpochState) -> None:
    if own.is_settled:
        raise ConfigError(
            "the store was made with another digest key than the fleet that it is to join: "
            "empty it (remove its file), or give all stores one digest_key"
        )
    connection.execute("UPDATE state SET digest_key = ?", (state.digest_key,))
