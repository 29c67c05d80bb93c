"""Connections to one SQLite database: lent to one thread at a time, safe across threads, forks and reopening."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from typing import TYPE_CHECKING, Final

from semroute.errors import StoreError
from semroute.stores._sqlite.opening import Opener, is_damage

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from semroute.stores._sqlite.location import Location
    from semroute.stores._sqlite.schema import Connection

_FORK_WAIT_S: Final = 2.0


class ConnectionPool:
    """Lends connections out, opening as many as are needed at once; a database in memory has only one.

    SQLite connections must not cross a fork, and neither must its note of the locks that this process holds. So all
    idle connections are closed just before a fork, and parent and child open new ones when they need them; the child
    notices by its process id.
    """

    def __init__(self, location: Location, opener: Opener, *, busy_timeout_s: float) -> None:
        self._location = location
        self._opener = opener
        self._busy_timeout_s = busy_timeout_s
        self._generation = 0
        self._is_opened = False
        self._is_suspect = False
        self._watches_forks = False
        self._idle: list[Connection] = []
        self._abandoned: list[Connection] = []
        self._start_afresh()

    def _start_afresh(self) -> None:
        """Forget all connections and locks without touching them: they belong to the process we were forked from."""
        self._abandoned += self._idle  # kept, because to drop a connection is to close it
        self._idle = []
        self._lent = 0
        self._is_opened = False
        self._is_forking = False
        self._generation += 1
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._opening = threading.Lock()
        self._writer = threading.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether a connection could be had at once, without opening one or waiting for another thread."""
        return bool(self._idle) and self._pid == os.getpid()

    @property
    def generation(self) -> int:
        """A number that changes whenever the database may have become another one."""
        return self._generation

    def reading(self) -> _Lease:
        """Lend a connection for reading: `with pool.reading() as connection`; errors leave as StoreError."""
        return _Lease(self)

    def writing(self) -> _WriteLease:
        """Lend a connection inside a transaction that is committed at the end, or rolled back on any error."""
        return _WriteLease(self)

    def close(self) -> None:
        """Close what is idle now, and what is lent out when it comes back."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._generation += 1
            self._is_opened = False
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __repr__(self) -> str:
        if not self._is_opened:
            return "closed"
        access = ", read-only" if self._opener.is_read_only else ""
        return f"open, {len(self._idle) + self._lent} connections{access}"

    def take(self) -> Connection:
        """Lend a connection; raises StoreError or ConfigError. Every one that is taken must be given back."""
        if self._pid != os.getpid():
            self._start_afresh()
        if self._opener.is_outdated:
            self.close()
        with self._lock:
            while self._is_forking or (self._lent and self._location.is_memory):
                if not self._changed.wait(self._busy_timeout_s):
                    raise StoreError(f"{self._location} was busy for {self._busy_timeout_s} s")
            self._lent += 1
            if self._idle:
                return self._idle.pop()
        try:
            return self._open()
        except BaseException as error:  # an interrupt too: a loan that was never made must not be waited for
            with self._lock:
                self._forget_loan()
            if isinstance(error, sqlite3.Error | OSError):
                raise self.translate(error) from error
            raise

    def give_back(self, connection: Connection) -> None:
        """Take a lent connection back, closing it if the pool was closed meanwhile."""
        with self._lock:
            is_current = connection.generation == self._generation
            if is_current:
                self._idle.append(connection)
            self._forget_loan()
        if not is_current:
            connection.close()

    def _forget_loan(self) -> None:
        self._lent -= 1
        if self._is_forking or self._location.is_memory:  # nobody else waits
            self._changed.notify_all()

    def lock_writer(self) -> None:
        """Wait for the turn to write; raises StoreError when it does not come in time."""
        if self._pid != os.getpid():
            self._start_afresh()
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise StoreError(f"{self._location} was being written to for {self._busy_timeout_s} s")

    def unlock_writer(self) -> None:
        self._writer.release()

    def translate(self, error: sqlite3.Error | OSError) -> StoreError:
        """Turn an error of SQLite or the file system into ours, and note when the file must be looked at again."""
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._is_suspect = True
            self.close()
        return StoreError(f"{self._location}: {_advice(error, self._busy_timeout_s)}")

    def _open(self) -> Connection:
        self._watch_forks()
        with self._opening:
            generation = self._generation
            if self._is_opened:
                connection = self._opener.another()
            else:
                connection = self._opener.first(is_suspect=self._is_suspect)
                self._is_opened = True
                self._is_suspect = False
        connection.generation = generation
        return connection

    def _watch_forks(self) -> None:
        if self._watches_forks or not hasattr(os, "register_at_fork"):
            return
        self._watches_forks = True
        me = weakref.ref(self)
        os.register_at_fork(
            before=lambda: _tell(me, ConnectionPool._before_fork),
            after_in_parent=lambda: _tell(me, ConnectionPool._after_fork_in_parent),
        )

    def _before_fork(self) -> None:
        if self._pid != os.getpid():
            return
        with self._lock:
            self._is_forking = True
            self._changed.wait_for(lambda: self._lent == 0, timeout=_FORK_WAIT_S)
            if self._location.is_memory:
                return
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _after_fork_in_parent(self) -> None:
        with self._lock:
            self._is_forking = False
            self._changed.notify_all()


class _Lease:
    """One loan of a connection, as a context manager."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def __enter__(self) -> Connection:
        self._connection = self._pool.take()
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give_back(self._connection)
        if isinstance(error, sqlite3.Error):
            raise self._pool.translate(error) from error


class _WriteLease:
    """One loan of a connection for one transaction, as a context manager."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def __enter__(self) -> Connection:
        self._pool.lock_writer()
        try:
            self._connection = self._pool.take()
        except BaseException:  # an interrupt too: a lock that is kept stops every writer
            self._pool.unlock_writer()
            raise
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:  # as above
            self._leave()
            if isinstance(error, sqlite3.Error):
                raise self._pool.translate(error) from error
            raise
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error as failure:
                error = failure
        if error is not None:
            self._roll_back()
        self._leave()
        if isinstance(error, sqlite3.Error):
            raise self._pool.translate(error) from error

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except sqlite3.Error:
            # SQLite rolls back by itself after the gravest errors, and what is half done here dies with the file.
            self._connection.generation = -1

    def _leave(self) -> None:
        self._pool.give_back(self._connection)
        self._pool.unlock_writer()


def _tell(target: weakref.ref[ConnectionPool], what: Callable[[ConnectionPool], None]) -> None:
    pool = target()
    if pool is not None:
        what(pool)


def _advice(error: sqlite3.Error | OSError, busy_timeout_s: float) -> str:
    if isinstance(error, OSError):
        return f"cannot be opened: {error}"
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another process kept it locked for {busy_timeout_s} s; try again, or raise busy_timeout_s"
        case sqlite3.SQLITE_FULL:
            return "the disk is full; free some space or lower max_bytes"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return "the file or its folder is read-only; lookups work, nothing can be stored"
        case sqlite3.SQLITE_CANTOPEN:
            return "the file cannot be opened; check that its folder exists and may be written"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"the file is damaged ({error}); it is checked, and set aside if need be, at the next use"
        case _:
            return str(error)
