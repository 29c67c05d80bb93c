"""Keeping the matrices in memory in step with the database, whoever writes to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.errors import StoreError
from semroute.stores._sqlite import rows
from semroute.stores._sqlite.matrix import Matrix, MatrixCache
from semroute.stores._sqlite.statements import State, check_embedder, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from semroute.entry import Candidate, FloatVector
    from semroute.stores._sqlite.pool import ConnectionPool
    from semroute.stores._sqlite.schema import Connection

_INSTANT_ELEMENTS: Final = 8_000_000
"""Up to this many numbers a search takes less than a millisecond or two: 20,000 vectors of 384 dimensions."""
_INSTANT_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class _Marks:
    """How far the two logs of a database reach: rows that came, and removals still on record."""

    last_row: int
    first_removal: int
    last_removal: int


class VectorIndex:
    """Finds the nearest entries of a partition; loads its vectors at the first search and follows every change."""

    def __init__(self, pool: ConnectionPool, *, max_bytes: int, count_damaged: Callable[[], None]) -> None:
        self._pool = pool
        self._matrices = MatrixCache(max_bytes)
        self._count_damaged = count_damaged

    def __repr__(self) -> str:
        return f"{len(self._matrices)} matrices of {self._matrices.size_bytes / 1e6:.1f} MB"

    def search(self, partition: str, vector: FloatVector, *, embedder: str, k: int, now: float) -> Sequence[Candidate]:
        """Search one partition as it is at this moment; raises ConfigError for vectors of another embedder."""
        with self._pool.reading() as connection:
            state = read_state(connection)
            check_embedder(state, embedder, vector.size)
            matrix = None if state.dimensions is None else self._current(connection, partition, state)
        return [] if matrix is None else matrix.search(vector, k, now)

    def search_instantly(
        self, partition: str, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate] | None:
        """Do what `search` does where that is short work; None where it may have to load vectors, or wait."""
        with self._pool.reading() as connection:
            state = read_state(connection)
            check_embedder(state, embedder, vector.size)
            if state.dimensions is None:
                return []
            if not self._is_instant(connection, partition, state):
                return None
            matrix = self._current(connection, partition, state)
        return matrix.search(vector, k, now)

    def _is_instant(self, connection: Connection, partition: str, state: State) -> bool:
        matrix = self._matrices.get(partition, self._pool.generation)
        if matrix is None or matrix.elements > _INSTANT_ELEMENTS or matrix.lock.locked():
            return False
        if matrix.writes == state.writes:
            return True
        (last_row,) = connection.execute("SELECT coalesce(max(row), 0) FROM entries").fetchone()
        return bool(last_row - matrix.last_row <= _INSTANT_ROWS)

    def clear(self) -> None:
        self._matrices.clear()

    def _current(self, connection: Connection, partition: str, state: State) -> Matrix:
        generation = self._pool.generation
        matrix = self._matrices.get(partition, generation)
        if matrix is not None and matrix.writes == state.writes and matrix.dimensions == state.dimensions:
            return matrix
        marks = _read_marks(connection)
        if matrix is None or not _can_follow(matrix, state, marks):
            matrix = Matrix(state.dimensions or 0)
            matrix.last_removal = marks.last_removal
        with matrix.lock:
            self._follow(connection, matrix, partition, state, marks)
        self._matrices.keep(partition, matrix, generation)
        return matrix

    def _follow(self, connection: Connection, matrix: Matrix, partition: str, state: State, marks: _Marks) -> None:
        """Add the rows that came and drop those that went; rows first, so that none comes back after its removal."""
        came = connection.execute(
            "SELECT e.row, e.exact, e.expires_at, b.query, b.vector FROM entries e JOIN bodies b ON b.row = e.row"
            " WHERE e.partition = ? AND e.row > ? ORDER BY e.row",
            (partition, matrix.last_row),
        )
        for row, exact, expires_at, query, blob in came:
            if blob is not None:
                self._append(matrix, row, exact, expires_at, query, blob, state)
        went = connection.execute(
            "SELECT row FROM removals WHERE number > ? AND partition = ?", (matrix.last_removal, partition)
        )
        for (row,) in went:
            matrix.remove(row)
        matrix.last_row = max(matrix.last_row, marks.last_row)
        matrix.last_removal = max(matrix.last_removal, marks.last_removal)
        matrix.writes = max(matrix.writes, state.writes)

    def _append(
        self, matrix: Matrix, row: int, exact: str, expires_at: float, query: bytes, blob: bytes, state: State
    ) -> None:
        try:
            vector = rows.column_vector(blob, state.dimensions)
            text = rows.column_text(query)
        except (StoreError, ValueError, TypeError, AttributeError):
            self._count_damaged()
            return
        if vector is None or not np.isfinite(vector).all():
            self._count_damaged()
            return
        matrix.append(row, exact, text, expires_at, vector)


def _can_follow(matrix: Matrix, state: State, marks: _Marks) -> bool:
    is_on_record = marks.first_removal <= matrix.last_removal + 1
    return is_on_record and matrix.dimensions == state.dimensions and not matrix.is_sparse


def _read_marks(connection: Connection) -> _Marks:
    # Each on its own, because SQLite finds only a lone min or max without reading the table. A log that was pruned is
    # never empty: pruning keeps the newest.
    return _Marks(
        *connection.execute(
            "SELECT coalesce((SELECT max(row) FROM entries), 0),"
            " coalesce((SELECT min(number) FROM removals), 1), coalesce((SELECT max(number) FROM removals), 0)"
        ).fetchone()
    )
