"""The tables of an embedded store, and how a connection to them is made."""

from __future__ import annotations

import secrets
import sqlite3
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from semroute.stores._sqlite.location import Location

APPLICATION_ID: Final = 0x53_4D_52_54  # "SMRT"
SCHEMA_VERSION: Final = 3
KEY_BYTES: Final = 32

# `entries` holds what is small and changes, `bodies` what is large and does not: marking an entry as used must not
# rewrite its answer, and reading a partition's vectors must not read its answers (hence the column order).
# Row numbers only ever grow and a replaced entry gets a new one, so "row > last seen" finds every new vector;
# `removals` tells the other processes which rows went.
_INVALIDATIONS: Final = """
CREATE TABLE invalidations (
    labels TEXT NOT NULL,
    created_before REAL,
    epoch INTEGER NOT NULL,
    at REAL NOT NULL,
    under_way INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX invalidations_by_labels ON invalidations (labels);
CREATE INDEX invalidations_by_epoch ON invalidations (epoch);
"""
_NOTE: Final = """
CREATE TABLE IF NOT EXISTS note (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    text TEXT NOT NULL
);
"""
_FROM_VERSION_1: Final = f"""
ALTER TABLE state ADD COLUMN complete_since INTEGER NOT NULL DEFAULT 0;
UPDATE state SET complete_since = epoch;
ALTER TABLE invalidations RENAME TO former_invalidations;
{_INVALIDATIONS}
INSERT INTO invalidations (labels, epoch, at) SELECT labels, epoch, at FROM former_invalidations;
DROP TABLE former_invalidations;
{_NOTE}
"""
"""Deletions by age left no trace in version 1, so that what it remembers begins now."""
_FROM_VERSION_2: Final = "ALTER TABLE invalidations ADD COLUMN under_way INTEGER NOT NULL DEFAULT 0;\n"
_TABLES: Final = f"""
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    digest_key BLOB NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    writes INTEGER NOT NULL DEFAULT 0,
    embedder TEXT,
    dimensions INTEGER,
    entries INTEGER NOT NULL DEFAULT 0,
    aliases INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    complete_since INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE entries (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    exact TEXT NOT NULL UNIQUE,
    partition TEXT NOT NULL,
    shard TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    last_used REAL NOT NULL,
    epoch INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    labels TEXT NOT NULL
);
CREATE INDEX entries_by_partition ON entries (partition, row);
CREATE INDEX entries_by_expiry ON entries (expires_at);
CREATE INDEX entries_by_use ON entries (last_used);
CREATE TABLE bodies (
    row INTEGER PRIMARY KEY,
    query BLOB NOT NULL,
    vector BLOB,
    answer BLOB NOT NULL
);
CREATE TABLE labels (
    label TEXT NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (label, row)
) WITHOUT ROWID;
CREATE TABLE aliases (
    exact TEXT NOT NULL UNIQUE,
    partition TEXT NOT NULL,
    shard TEXT NOT NULL,
    row INTEGER NOT NULL,
    query BLOB NOT NULL,
    similarity REAL NOT NULL,
    p_reusable REAL,
    policy TEXT NOT NULL,
    created_at REAL NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE INDEX aliases_by_entry ON aliases (row);
CREATE TABLE removals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    partition TEXT NOT NULL,
    row INTEGER NOT NULL
);
{_INVALIDATIONS}
{_NOTE}
CREATE TRIGGER entry_came AFTER INSERT ON entries BEGIN
    UPDATE state SET entries = entries + 1, bytes = bytes + new.bytes, writes = writes + 1;
END;
CREATE TRIGGER entry_went AFTER DELETE ON entries BEGIN
    DELETE FROM bodies WHERE row = old.row;
    DELETE FROM labels WHERE row = old.row AND label IN (SELECT value FROM json_each(old.labels));
    DELETE FROM aliases WHERE row = old.row;
    INSERT INTO removals (partition, row) VALUES (old.partition, old.row);
    UPDATE state SET entries = entries - 1, bytes = bytes - old.bytes, writes = writes + 1;
END;
CREATE TRIGGER alias_came AFTER INSERT ON aliases BEGIN
    UPDATE state SET aliases = aliases + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER alias_went AFTER DELETE ON aliases BEGIN
    UPDATE state SET aliases = aliases - 1, bytes = bytes - old.bytes;
END;
"""


class Connection(sqlite3.Connection):
    """A connection that knows which opening of the store it belongs to."""

    generation: int = 0


def connect(location: Location, *, busy_timeout_s: float, mode: str = "rw") -> Connection:
    """Connect without looking at the contents; `mode` is SQLite's rw or ro, or `immutable`."""
    if location.path is None:
        target = ":memory:"
    else:
        target = f"{location.path.as_uri()}?{'immutable=1' if mode == 'immutable' else f'mode={mode}'}"
    return sqlite3.connect(
        target,
        uri=location.path is not None,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )


def tune(connection: Connection) -> None:
    """Set what SQLite does not remember in the file."""
    # With a write-ahead log, NORMAL loses nothing to a killed process. A power cut may undo the latest commits,
    # and never leaves a torn file.
    connection.execute("PRAGMA synchronous = NORMAL")


def create(connection: Connection, location: Location, *, digest_key: bytes | None, wait_s: float) -> None:
    """Make the tables, or bring older ones up to date; safe against a process that does the same at this moment."""
    if not location.is_memory:
        _use_write_ahead_log(connection, wait_s)
    if _pragma(connection, "user_version") == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _pragma(connection, "user_version")
        if version == 0:
            _create(connection, digest_key)
        elif version == 1:
            _run(connection, _FROM_VERSION_1)
        elif version == 2:
            _run(connection, _FROM_VERSION_2)
        connection.execute("COMMIT")
    except BaseException:  # an interrupt too: half a schema must not stay behind
        connection.rollback()
        raise


def _create(connection: Connection, digest_key: bytes | None) -> None:
    _run(connection, _TABLES)
    key = secrets.token_bytes(KEY_BYTES) if digest_key is None else digest_key
    connection.execute("INSERT INTO state (one, digest_key) VALUES (1, ?)", (key,))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _run(connection: Connection, script: str) -> None:
    """Run a script that brings the tables to this version, inside the transaction of the caller."""
    for statement in _statements(script):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _statements(script: str) -> list[str]:
    """Split a script, because `executescript` would commit the transaction it runs in."""
    statements, pending = [], ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _use_write_ahead_log(connection: Connection, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself here when two processes switch a new file at once.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _pragma(connection: Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
