"""What an embedded store keeps beside its entries as a shard of a fleet, and how a moved entry leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semroute.stores._sqlite.schema import Connection


def read(connection: Connection) -> str | None:
    found = connection.execute("SELECT text FROM note").fetchone()
    return None if found is None else str(found[0])


def keep(connection: Connection, text: str, *, instead_of: str | None) -> bool:
    """Exchange the text inside a transaction, unless another stands there."""
    if read(connection) != instead_of:
        return False
    connection.execute("INSERT OR REPLACE INTO note (one, text) VALUES (1, ?)", (text,))
    return True


def drop(connection: Connection, exact: str, created_at: float) -> bool:
    """Remove an entry with its aliases inside a transaction, without a trace among the invalidations."""
    gone = connection.execute("DELETE FROM entries WHERE exact = ? AND created_at = ?", (exact, created_at))
    return gone.rowcount > 0
