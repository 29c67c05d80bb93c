"""The file of a shadow log: made private, looked at before it is trusted, and never open across a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from semroute.errors import StoreError
from semroute.review import _log_rows as rows

_FORK_WAIT_S: Final = 2.0
_PAUSE_S: Final = 0.005


class _Kept:
    """A connection that stays open, and which file it was opened on."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.file: os.stat_result | None = None

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


def _close_own(kept: _Kept, pid: int) -> None:
    if pid == os.getpid():
        kept.close()


class LogFile:
    """Lends connections to one log, one at a time and for one piece of work each.

    The connection that writes stays open in between. It is closed before a fork, which waits for the work under way:
    SQLite's note of the locks that a process holds must not be inherited. A file that was moved away is noticed.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._watches_forks = False
        self._abandoned: list[_Kept] = []
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._is_held = False
        self._kept = _Kept()
        weakref.finalize(self, _close_own, self._kept, self._pid)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction; the log is made if there is none. Raises StoreError."""
        with self._at_work():
            connection = self._writer()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:  # whatever the caller's block raises, an interrupt too
                connection.rollback()
                if isinstance(error, sqlite3.Error):
                    self._kept.close()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to a log that is there; raises StoreError, which says so where there is none."""
        if not self.path.is_file():
            raise StoreError(f"there is no shadow log at {self.path}: run a cache with mode='shadow', or name its log")
        with self._at_work(), closing(self._connect("ro")) as connection:
            _examine(connection, self.path, may_be_empty=False)
            yield connection

    def close(self) -> None:
        """Let go of the file until it is written to again."""
        with self._at_work():
            self._kept.close()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        if self._pid != os.getpid():
            self._abandoned.append(self._kept)  # never closed: the connection is the parent's
            self._start_afresh()
        self._watch_forks()
        with self._turn:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"shadow log {self.path}: {_advice(error, self._busy_timeout_s)}") from error

    def _writer(self) -> sqlite3.Connection:
        """Return the connection that writes, to the file that has the log's name now."""
        _make_private(self.path)
        found = self.path.stat()
        kept = self._kept
        if kept.connection is not None and kept.file is not None and os.path.samestat(kept.file, found):
            return kept.connection
        kept.close()
        connection = self._connect("rw")
        try:
            _examine(connection, self.path, may_be_empty=True)
            self._prepare(connection)
        except BaseException:  # an interrupt too: nobody else knows of this connection
            connection.close()
            raise
        kept.connection, kept.file = connection, found
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        # Never "rwc": a file that was moved away this moment is not made anew with everybody's rights.
        target = f"{self.path.as_uri()}?mode={mode}"
        return sqlite3.connect(
            target, uri=True, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Set up a connection that writes. A write-ahead log lets a review read while applications write."""
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait by itself here when two processes switch a new file at once.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten
        connection.execute("BEGIN IMMEDIATE")
        try:
            _create(connection)
            connection.execute("COMMIT")
        except BaseException:  # an interrupt too: half a schema must not stay behind
            connection.rollback()
            raise

    def _watch_forks(self) -> None:
        if self._watches_forks or not hasattr(os, "register_at_fork"):
            return
        self._watches_forks = True
        me = weakref.ref(self)
        os.register_at_fork(before=lambda: _hold(me()), after_in_parent=lambda: _let_go(me()))

    def hold(self) -> None:
        """Wait for the work that is under way, and begin none: a fork is about to happen."""
        self._is_held = self._pid == os.getpid() and self._turn.acquire(timeout=_FORK_WAIT_S)
        if self._is_held:
            self._kept.close()

    def let_go(self) -> None:
        """Go on after a fork."""
        if self._is_held:
            self._is_held = False
            self._turn.release()


def _hold(file: LogFile | None) -> None:
    if file is not None:
        file.hold()


def _let_go(file: LogFile | None) -> None:
    if file is not None:
        file.let_go()


def _make_private(path: Path) -> None:
    if path.is_dir():
        raise StoreError(f"the shadow log {path} is a folder: name a file in it, such as {path / 'shadow.db'}")
    if path.exists():  # never opened by the way: closing it would let go of the locks of all connections to it
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _examine(connection: sqlite3.Connection, path: Path, *, may_be_empty: bool) -> None:
    """Raise StoreError unless the file is a shadow log of a version that this release reads."""
    # The tables first: who makes a log at this moment makes them, version and kind at once.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    version, application = _pragma(connection, "user_version"), _pragma(connection, "application_id")
    if not tables and may_be_empty:
        return
    if not tables:
        raise StoreError(f"the shadow log {path} is empty: nothing was logged yet")
    if application != rows.APPLICATION_ID:
        raise StoreError(f"{path} is no shadow log: it holds a SQLite database of another kind")
    if version != rows.SCHEMA_VERSION:
        raise StoreError(
            f"the shadow log {path} has version {version}, and this release reads version {rows.SCHEMA_VERSION}: "
            "use the release that wrote it, or name another file"
        )


def _create(connection: sqlite3.Connection) -> None:
    if _pragma(connection, "user_version") == 0:
        for statement in rows.TABLES:
            connection.execute(statement)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _advice(error: sqlite3.Error | OSError, busy_timeout_s: float) -> str:
    if isinstance(error, OSError):
        return f"cannot be opened: {error}"
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another process kept it locked for {busy_timeout_s:g} s"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return f"the disk is full or failing ({error}): free some space"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return f"the file or its folder may not be written ({error})"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"the file is damaged ({error}): move it away, and a new one is made"
        case _:
            return str(error)
