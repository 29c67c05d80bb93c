"""What an embedded store reads to find the entries that new documents are near to; no answer is among it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from semroute.entry import Address
from semroute.errors import StoreError
from semroute.stores._sqlite import rows
from semroute.stores._sqlite.statements import check_embedder, read_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.entry import FloatVector
    from semroute.stores._sqlite.schema import Connection

_LABELLED: Final = """
SELECT l.row FROM labels l JOIN entries e ON e.row = l.row
WHERE l.label IN (SELECT value FROM json_each(?)) AND e.expires_at > ? GROUP BY l.row HAVING count(*) = ?
"""
_PAGE: Final = """
SELECT e.shard, e.partition, e.exact, b.vector, s.dimensions
FROM state s, entries e JOIN bodies b ON b.row = e.row WHERE e.row IN (SELECT value FROM json_each(?))
"""


def find(connection: Connection, labels: frozenset[str], *, embedder: str, dimensions: int, now: float) -> list[int]:
    """Return the rows of all live entries that carry some labels; raises ConfigError for another embedder's."""
    check_embedder(read_state(connection), embedder, dimensions)
    if labels:
        found = connection.execute(_LABELLED, (json.dumps(sorted(labels)), now, len(labels)))
    else:
        found = connection.execute("SELECT row FROM entries WHERE expires_at > ?", (now,))
    return [row for (row,) in found]


def read_page(connection: Connection, page: Sequence[int]) -> list[tuple[Address, FloatVector | None]]:
    """Return where the entries of some rows live, with their vectors; what has gone meanwhile is left out."""
    found = connection.execute(_PAGE, (json.dumps(page),))
    return [(Address(*place), _vector(blob, dimensions)) for *place, blob, dimensions in found]


def _vector(blob: bytes | None, dimensions: int | None) -> FloatVector | None:
    """Return a vector, None for one that is damaged: the exact tier serves its entry all the same."""
    try:
        return rows.column_vector(blob, dimensions)
    except (StoreError, TypeError):
        return None
