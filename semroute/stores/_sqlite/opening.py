"""Opening a database file: create it, look whether it can be trusted, and set aside one that cannot."""

from __future__ import annotations

import logging
import os
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError
from semroute.stores._sqlite import schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from semroute.stores._sqlite.location import Location
    from semroute.stores._sqlite.schema import Connection

_LOG: Final = logging.getLogger("semroute.stores")
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNWRITABLE: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_NO_SUCH_TABLE: Final = sqlite3.SQLITE_ERROR


class _Unfit(Exception):
    """The file cannot serve as a store; `kind` becomes part of the name it is set aside under."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class Opener:
    """Makes the connections of one store. The first one of an opening looks at the file, the others trust it."""

    def __init__(
        self,
        location: Location,
        *,
        digest_key: bytes | None,
        busy_timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._location = location
        self._required_key = digest_key
        self._key = digest_key
        self._busy_timeout_s = busy_timeout_s
        self._clock = clock
        self._mode = "rw"
        self._seen: tuple[int, int] | None = None

    @property
    def is_read_only(self) -> bool:
        return self._mode != "rw"

    @property
    def is_outdated(self) -> bool:
        """Whether a file taken as immutable was written to after all, so that it must be opened anew."""
        return self._mode == "immutable" and (self._has_log() or self._fingerprint() != self._seen)

    def keep_key(self, key: bytes) -> None:
        """Make the next database of this store, should there be one, with the key that it has taken over."""
        self._key = key

    def first(self, *, is_suspect: bool) -> Connection:
        """Open or create the database; a damaged or newer file is moved aside with a warning, never deleted.

        With `is_suspect` the whole file is checked, which takes a while. Raises ConfigError, sqlite3.Error, OSError.
        """
        self._mode = "rw"
        path = self._location.path
        if path is not None:
            self._make_file(path)
        for _ in range(2):
            seen = None if path is None else path.stat()
            try:
                return self._open_checked(is_suspect)
            except _Unfit as unfit:
                if path is not None and seen is not None and os.path.samestat(path.stat(), seen):
                    _set_aside(path, unfit, self._clock())
                    self._make_file(path)
        return self._open_checked(is_suspect)

    def another(self) -> Connection:
        """Open one more connection to a database that `first` has seen; raises sqlite3.Error."""
        connection = self._connect()
        try:
            self._tune(connection)
        except BaseException:  # an interrupt too: nobody else knows of this connection
            connection.close()
            raise
        return connection

    def _connect(self) -> Connection:
        return schema.connect(self._location, busy_timeout_s=self._busy_timeout_s, mode=self._mode)

    def _tune(self, connection: Connection) -> None:
        if not self.is_read_only:
            schema.tune(connection)

    def _make_file(self, path: Path) -> None:
        if path.is_dir():
            raise ConfigError(f"the store path {path} is a folder: name a file in it, such as {path / 'answers.db'}")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file that is there is never opened: to close it again would drop all locks that this process holds on it
        # (POSIX), and another process would start its log anew under the connections of ours.
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            if not os.access(path, os.R_OK | os.W_OK):
                self._mode = "ro"

    def _open_checked(self, is_suspect: bool) -> Connection:
        if self._mode == "ro":
            return self._open_read_only()
        connection = self._connect()
        try:
            _examine(connection, is_suspect)
            self._tune(connection)
            schema.create(connection, self._location, digest_key=self._key, wait_s=self._busy_timeout_s)
            self._check_state(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            code = error.sqlite_errorcode & 0xFF
            if code in _UNWRITABLE:
                return self._open_read_only()
            if code in _DAMAGE or code == _NO_SUCH_TABLE:
                raise _Unfit("damaged", str(error)) from error
            raise
        except BaseException:  # an interrupt too: nobody else knows of this connection
            connection.close()
            raise
        return connection

    def _open_read_only(self) -> Connection:
        """Open a file that this process may not write, for lookups only.

        A write-ahead log needs a shared-memory file beside it. Where that cannot be made and no log is left over,
        nobody is writing, and SQLite may take the file as immutable.
        """
        for mode in ("ro", "immutable"):
            self._mode = mode
            self._seen = self._fingerprint()
            connection = self._connect()
            try:
                _examine(connection, is_suspect=False)
                self._check_state(connection)
            except BaseException as error:  # as above
                connection.close()
                if mode == "ro" and _needs_shared_memory(error) and not self._has_log():
                    continue
                raise
            _LOG.warning("%s cannot be written: lookups work, nothing new is stored", self._location)
            return connection
        raise AssertionError("unreachable: the last mode returns or raises")

    def _check_state(self, connection: Connection) -> None:
        row = connection.execute("SELECT digest_key, epoch, writes, embedder, dimensions FROM state").fetchone()
        if row is None:
            raise _Unfit("damaged", "its state row is gone")
        # A store that must start anew keeps its key, so that the digests in use stay good.
        self._key = row[0]
        if self._required_key is not None and self._required_key != self._key:
            raise ConfigError(
                f"{self._location} was made with another digest_key: "
                "give it that key, leave digest_key out, or use another file"
            )

    def _fingerprint(self) -> tuple[int, int] | None:
        try:
            found = None if self._location.path is None else self._location.path.stat()
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size)

    def _has_log(self) -> bool:
        path = self._location.path
        return path is not None and path.with_name(path.name + "-wal").exists()


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether the error means that the file itself is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def _needs_shared_memory(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in _UNWRITABLE


def _examine(connection: Connection, is_suspect: bool) -> None:
    """Raise _Unfit or ConfigError unless the file is empty or a store of a version that this release reads."""
    # In one transaction: another process may make the tables between two looks.
    connection.execute("BEGIN")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    connection.execute("ROLLBACK")
    if tables and application != schema.APPLICATION_ID:
        raise ConfigError("the store path holds a SQLite database of another application: name another file")
    if version > schema.SCHEMA_VERSION:
        raise _Unfit("newer", f"it has schema version {version}, this release reads {schema.SCHEMA_VERSION}")
    if is_suspect:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise _Unfit("damaged", verdict)


def _set_aside(path: Path, unfit: _Unfit, now: float) -> None:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.{unfit.kind}-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{unfit.kind}-{stamp}-{number}")
    # The log first: beside a new file, a left-over log would be taken for that file's own.
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    _LOG.warning("%s cannot be used (%s): moved to %s, starting with an empty store", path, unfit, target)
