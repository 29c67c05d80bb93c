"""The raw operations under the cache, measured beside it: a plain SELECT, and a plain product with partitioning."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.entry import FloatVector

_SELECT: Final = "SELECT payload FROM raw WHERE id = ?"


class RawTable:
    """A plain SQLite table of payloads by key: a file with a write-ahead log, or in memory."""

    def __init__(self, path: Path | None) -> None:
        self._connection = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        if path is not None:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("CREATE TABLE raw (id TEXT PRIMARY KEY, payload TEXT NOT NULL) WITHOUT ROWID")

    def fill(self, rows: Sequence[tuple[str, str]]) -> None:
        """Store payloads by key."""
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO raw VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def get(self, id: str) -> str | None:
        """Return the payload of a key."""
        row = self._connection.execute(_SELECT, (id,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def raw_search(matrix: NDArray[np.float32], vector: FloatVector, k: int) -> NDArray[np.intp]:
    """Return the rows of the k largest products, in no order."""
    return np.argpartition(matrix @ vector, -k)[-k:]
