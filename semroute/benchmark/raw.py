"""The raw operations under the cache, measured beside it: a plain SELECT, and a plain product with partitioning.

Those under a store in Redis are in `semroute.benchmark.raw_redis`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.entry import FloatVector

_SELECT: Final = "SELECT payload FROM raw WHERE id = ?"


class Raw(Protocol):
    """The same payloads and vectors without a cache over them."""

    is_quiet: bool
    """Whether a search leaves nothing at work behind it, so that it can be timed amid other operations."""

    def fill(self, rows: Sequence[tuple[str, str]], matrix: NDArray[np.float32]) -> None:
        """Store payloads by key, and their vectors."""
        ...

    def get(self, id: str) -> str | None:
        """Return the payload of a key."""
        ...

    def search(self, vector: FloatVector, k: int) -> object:
        """Find the k nearest vectors."""
        ...

    def close(self) -> None:
        """Remove what was stored, where it would stay otherwise."""
        ...


class RawFile:
    """What is under an embedded store: a plain SQLite table, and a matrix in memory."""

    is_quiet = False  # the product's threads keep a core busy for a while after it

    def __init__(self, path: Path | None) -> None:
        self._table = RawTable(path)
        self._matrix: NDArray[np.float32] = np.empty((0, 0), np.float32)

    def fill(self, rows: Sequence[tuple[str, str]], matrix: NDArray[np.float32]) -> None:
        self._matrix = matrix
        self._table.fill(rows)

    def get(self, id: str) -> str | None:
        return self._table.get(id)

    def search(self, vector: FloatVector, k: int) -> object:
        return raw_search(self._matrix, vector, k)

    def close(self) -> None:
        self._table.close()


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
