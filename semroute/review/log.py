"""The shadow log: one SQLite file with what lookups found, written behind the application's back."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from semroute.background import Writer
from semroute.errors import ConfigError, StoreError
from semroute.review import _log_rows as rows
from semroute.review._log_file import LogFile
from semroute.shadow import ShadowEvent, ShadowRecord

if TYPE_CHECKING:
    import os
    import sqlite3

    from semroute.entry import Selector
    from semroute.telemetry import Event

logger = logging.getLogger("semroute.review")

_WAITING: Final = 10_000
_BATCH: Final = 256
_STEP: Final = 64
_PIECE: Final = 1_000


@dataclass(frozen=True, slots=True)
class LogSize:
    """How much a shadow log holds."""

    records: int
    bytes: int


class ShadowLog:
    """Takes down shadow records in one file, which several processes may share; give it to a cache as a listener.

    `path` defaults to `semroute/shadow.db` in the user's data folder; the file is readable by its owner alone. At
    `max_bytes` of records the oldest go first; an answer longer than `max_answer_chars` is cut. Writing happens on a
    thread of its own and never raises: what could not be written (disk full, file locked, damaged, too much at once)
    is counted in `lost`, and logged once until writing works again. Reading raises StoreError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_bytes: int = 64 * 1024**2,
        max_answer_chars: int = 8_000,
        busy_timeout_s: float = 5.0,
    ) -> None:
        if max_bytes < 1:
            raise ConfigError(f"max_bytes={max_bytes} is out of range: it must be at least 1")
        if max_answer_chars < 0:
            raise ConfigError(f"max_answer_chars={max_answer_chars} is out of range: it must be at least 0")
        self._file = LogFile(_place(path), busy_timeout_s=busy_timeout_s)
        self._max_bytes = max_bytes
        self._max_answer_chars = max_answer_chars
        self._writer = Writer(limit=2)
        self._waiting: deque[ShadowRecord] = deque()
        self._lock = threading.Lock()
        self._lost = 0
        self._is_down = False

    def __repr__(self) -> str:
        return f"<ShadowLog {str(self.path)!r}, {self._lost} lost>"

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def lost(self) -> int:
        """How many records this object could not write."""
        return self._lost

    # --- writing -----------------------------------------------------------------------------------------------

    def on(self, event: Event | ShadowEvent) -> None:
        """Take down the records of a shadow event; all other events are none of its business."""
        if isinstance(event, ShadowEvent):
            self.add(event.records)

    def add(self, records: Iterable[ShadowRecord]) -> None:
        """Queue records to be written; never raises, and never waits for the file."""
        given = tuple(records)
        if len(self._waiting) + len(given) > _WAITING:
            self._note_loss(len(given), "more arrived than could be written")
            return
        self._waiting.extend(given)
        try:
            # A refusal is fine: the job that waits already takes these records too.
            self._writer.offer(self._write_waiting)
        except RuntimeError:  # the interpreter is ending and starts no threads any more
            self._write_waiting()

    def flush(self) -> None:
        """Wait until everything that was added before is written, or lost."""
        self._writer.flush()
        self._write_waiting()

    def close(self) -> None:
        """Write what waits, and let go of the file and the thread; a later record comes back to both."""
        self.flush()
        self._writer.close()
        self._file.close()

    def _write_waiting(self) -> None:
        while self._waiting:
            batch: list[ShadowRecord] = []
            while self._waiting and len(batch) < _BATCH:
                try:
                    batch.append(self._waiting.popleft())
                except IndexError:  # another thread took the last one
                    break
            self._write(batch)

    def _write(self, batch: list[ShadowRecord]) -> None:
        encoded = [row for row in map(self._encoded, batch) if row is not None]
        if not encoded:
            return
        try:
            with self._file.writing() as connection:
                connection.executemany(rows.INSERT, encoded)
                self._make_room(connection)
        except StoreError as error:
            self._note_loss(len(encoded), str(error))
            return
        self._note_success()

    def _encoded(self, record: ShadowRecord) -> tuple[object, ...] | None:
        try:
            return rows.row_of(record, self._max_answer_chars)
        except (StoreError, ValueError, TypeError) as error:
            self._note_loss(1, f"a record cannot be written: {error}")
            return None

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest records until the rest fits."""
        while True:
            (held,) = connection.execute("SELECT bytes FROM state").fetchone()
            if held <= self._max_bytes:
                return
            last, excess = 0, held - self._max_bytes
            for number, size in connection.execute(f"SELECT number, bytes FROM records ORDER BY number LIMIT {_STEP}"):
                last, excess = number, excess - size
                if excess <= 0:
                    break
            if connection.execute("DELETE FROM records WHERE number <= ?", (last,)).rowcount == 0:
                return

    def _note_loss(self, count: int, reason: str) -> None:
        with self._lock:
            self._lost += count
            was_down, self._is_down = self._is_down, True
        if not was_down:
            logger.warning("shadow records are being lost: %s", reason)

    def _note_success(self) -> None:
        with self._lock:
            was_down, self._is_down = self._is_down, False
        if was_down:
            logger.info("the shadow log %s is written again; %d records were lost", self.path, self._lost)

    # --- reading and care --------------------------------------------------------------------------------------

    def scan(self) -> Iterator[ShadowRecord]:
        """Yield every record, oldest first, without its answers. Raises StoreError."""
        last = 0
        while True:
            # In pieces, so that nothing is held open while the caller thinks.
            with self._file.reading() as connection:
                piece = connection.execute(rows.SCAN, (last, _PIECE)).fetchall()
            yield from map(rows.record_of, piece)
            if len(piece) < _PIECE:
                return
            last = piece[-1][0]

    def read(self, number: int) -> ShadowRecord | None:
        """Return one record with its answers, or None where it has gone meanwhile. Raises StoreError."""
        with self._file.reading() as connection:
            row = connection.execute(rows.READ, (number,)).fetchone()
        return None if row is None else rows.record_of(row)

    def size(self) -> LogSize:
        """Return how much the log holds. Raises StoreError."""
        with self._file.reading() as connection:
            return LogSize(*connection.execute("SELECT records, bytes FROM state").fetchone())

    def delete(self, selector: Selector) -> int:
        """Remove the records that a selector names, as a store removes entries; returns how many went.

        Records that wait to be written are written first, so that none comes back. Raises StoreError.
        """
        self.flush()
        if not self.path.is_file():
            return 0
        labels = sorted(selector.labels)
        conditions = ["number IN (SELECT number FROM labels WHERE label = ?)"] * len(labels)
        values: list[object] = [*labels]
        if selector.created_before is not None:
            conditions.append("at < ?")
            values.append(selector.created_before)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._file.writing() as connection:
            return connection.execute(f"DELETE FROM records{where}", values).rowcount


def _place(path: str | os.PathLike[str] | None) -> Path:
    if path is not None:
        return Path(path).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("semroute", appauthor=False) / "shadow.db"
