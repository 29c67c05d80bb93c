"""The embedded store: one SQLite file, shared by processes, with the vectors in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
import weakref
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import numpy as np

from semroute.entry import Entry, Found
from semroute.errors import ConfigError, StoreError
from semroute.stores._nearness import PAGE, Nearness
from semroute.stores._sqlite import epochs, nearness, notes, rows, statements
from semroute.stores._sqlite.location import parse_location
from semroute.stores._sqlite.opening import Opener
from semroute.stores._sqlite.pool import ConnectionPool
from semroute.stores._sqlite.schema import KEY_BYTES
from semroute.stores._sqlite.vectors import VectorIndex
from semroute.stores._worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from semroute.entry import Address, Alias, Candidate, FloatVector, Selector
    from semroute.stores._sqlite.schema import Connection
    from semroute.stores.capabilities import EpochState, FloatMatrix, Near, StoreSize

_LOG: Final = logging.getLogger("semroute.stores")

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_MAX_ENTRIES: Final = 100_000
DEFAULT_MAX_BYTES: Final = 1024**3
DEFAULT_BUSY_TIMEOUT_S: Final = 5.0
DEFAULT_MATRIX_BYTES: Final = 256 * 1024**2
_HITS_BEFORE_WRITING: Final = 1_000
_SCAN_PAGE: Final = 200


class EmbeddedStore:
    """Answers in one SQLite file (write-ahead log), or in this process's memory; see `Store` for the methods.

    Several threads, event loops and processes may use one file at once, and a fork is survived: the child opens its
    own connections. After a fork a `memory://` store is empty in the child and keeps its digest key. What `put` has
    returned for outlives `kill -9`; a power cut may undo the latest puts, never tear the file.

    A damaged file, and one that a newer release wrote, is moved aside with a warning and never deleted.
    """

    def __init__(
        self,
        target: str | Path | None = None,
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        max_matrix_bytes: int | None = None,
        busy_timeout_s: float | None = None,
        digest_key: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take a URL or a path; the default is `answers.db` in the user's data folder. Nothing is opened yet.

        `max_bytes` limits queries, answers and vectors, `max_matrix_bytes` the vectors held in memory.
        Raises ConfigError for a URL of another store and for limits out of range.
        """
        self._location = parse_location(target)
        self._limits = statements.Limits(
            _at_least_one("max_entries", max_entries, DEFAULT_MAX_ENTRIES),
            _at_least_one("max_bytes", max_bytes, DEFAULT_MAX_BYTES),
        )
        self._clock = clock
        _check_key(digest_key)
        self._given_key = digest_key
        timeout_s = _checked_timeout(busy_timeout_s)
        self._opener = Opener(self._location, digest_key=digest_key, busy_timeout_s=timeout_s, clock=clock)
        self._pool = ConnectionPool(self._location, self._opener, busy_timeout_s=timeout_s)
        self._vectors = VectorIndex(
            self._pool,
            max_bytes=_at_least_one("max_matrix_bytes", max_matrix_bytes, DEFAULT_MATRIX_BYTES),
            count_damaged=self._count_damaged,
        )
        self.damaged_rows = 0
        """How many reads met a row that could not be understood, and took it for a miss."""
        self._used: dict[int, float] = {}
        self._hits = 0
        self._worker = Worker()
        weakref.finalize(self, ConnectionPool.close, self._pool)

    def __repr__(self) -> str:
        return f"<EmbeddedStore {self._location} {self._pool!r}, {self._vectors!r}>"

    def open(self) -> bytes:
        with self._pool.reading() as connection:
            (key,) = connection.execute("SELECT digest_key FROM state").fetchone()
        return bytes(key)

    def get(self, address: Address, *, now: float) -> Found:
        with self._pool.reading() as connection:
            try:
                row, found = statements.get(connection, address.exact, now)
            except StoreError:
                self._count_damaged()
                return Found(None, None, statements.get_epoch(connection))
        if row is not None:
            self._note_use(row, now)
        return found

    def search(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        query = np.ascontiguousarray(vector, dtype=np.float32)
        return self._vectors.search(address.partition, query, embedder=embedder, k=k, now=now)

    def put(self, record: Entry | Alias) -> bool:
        now = self._clock()
        if not isinstance(record, Entry):
            with self._pool.writing() as connection:
                note_uses = functools.partial(self._note_uses, connection)
                return statements.put_alias(connection, record, limits=self._limits, now=now, note_uses=note_uses)
        columns = rows.entry_columns(record)
        statements.ensure_fits(columns, self._limits)
        with self._pool.writing() as connection:
            note_uses = functools.partial(self._note_uses, connection)
            return statements.put_entry(connection, record, columns, limits=self._limits, now=now, note_uses=note_uses)

    def delete(self, selector: Selector) -> int:
        with self._pool.writing() as connection:
            return statements.delete(connection, selector, now=self._clock())

    def scan(self) -> Iterator[Entry]:
        last_row = 0
        while page := self._scan_page(last_row):
            last_row, entries = page
            yield from entries

    def close(self) -> None:
        try:
            self._write_uses()
        except StoreError as error:
            _LOG.info("when entries were last used could not be written: %s", error)
        self._worker.close()
        self._pool.close()
        self._vectors.clear()

    def size(self) -> StoreSize:
        """Count entries, aliases, bytes and partitions; raises StoreError."""
        with self._pool.reading() as connection:
            return statements.read_size(connection)

    def epochs(self, *, after: int = 0) -> EpochState:
        """Return what the store remembers of its invalidations; a key that was given counts as settled."""
        with self._pool.reading() as connection:
            connection.execute("BEGIN")
            try:
                state = epochs.read(connection, after=after)
            finally:
                connection.rollback()
        return dataclasses.replace(state, is_settled=state.is_settled or self._given_key is not None)

    def adopt(self, state: EpochState) -> int:
        """Take over what another store remembers; see `Epochs.adopt`."""
        if self._given_key is not None and self._given_key != state.digest_key:
            raise ConfigError(
                f"{self._location} was given another digest_key than its fleet has: give all of them the same"
            )
        with self._pool.writing() as connection:
            gone = statements.adopt(connection, state, now=self._clock())
        self._opener.keep_key(state.digest_key)
        return gone

    def read(self, address: Address, *, now: float) -> Entry | None:
        """Return a live entry with vector and labels; see `Copying.read`."""
        with self._pool.reading() as connection:
            try:
                return statements.read_whole(connection, address.exact, now)
            except StoreError:
                self._count_damaged()
                return None

    def nearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        """Return all entries near to one of some vectors, in whatever partition; see `Nearby.nearby`."""
        wanted = Nearness(vectors, at_least)
        with self._pool.reading() as connection:
            found = nearness.find(connection, labels, embedder=embedder, dimensions=wanted.dimensions, now=now)
        near: list[Near] = []
        for start in range(0, 0 if wanted.is_vain else len(found), PAGE):
            # The connection is given back between pages: a store in memory has no other.
            with self._pool.reading() as connection:
                page = nearness.read_page(connection, found[start : start + PAGE])
            near += wanted.among(page)
        return near

    def note(self) -> str | None:
        with self._pool.reading() as connection:
            return notes.read(connection)

    def keep_note(self, text: str, *, instead_of: str | None) -> bool:
        with self._pool.writing() as connection:
            return notes.keep(connection, text, instead_of=instead_of)

    def drop(self, address: Address, *, created_at: float) -> bool:
        """Remove an entry that was copied elsewhere; see `Moving.drop`."""
        with self._pool.writing() as connection:
            return notes.drop(connection, address.exact, created_at)

    # The asynchronous face. Readers of a write-ahead log never wait, so that short reads run on the event loop.

    async def aopen(self) -> bytes:
        return await self._in_thread(self.open)

    async def aget(self, address: Address, *, now: float) -> Found:
        if self._pool.is_ready:
            return self.get(address, now=now)
        return await self._in_thread(self.get, address, now=now)

    async def asearch(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        if self._pool.is_ready:
            query = np.ascontiguousarray(vector, dtype=np.float32)
            found = self._vectors.search_instantly(address.partition, query, embedder=embedder, k=k, now=now)
            if found is not None:
                return found
        return await self._in_thread(self.search, address, vector, embedder=embedder, k=k, now=now)

    async def aput(self, record: Entry | Alias) -> bool:
        return await self._in_thread(self.put, record)

    async def adelete(self, selector: Selector) -> int:
        return await self._in_thread(self.delete, selector)

    async def ascan(self) -> AsyncIterator[Entry]:
        last_row = 0
        while page := await self._in_thread(self._scan_page, last_row):
            last_row, entries = page
            for entry in entries:
                yield entry

    async def aclose(self) -> None:
        # Not in our own threads, which `close` waits for.
        await asyncio.to_thread(self.close)

    async def aepochs(self, *, after: int = 0) -> EpochState:
        return await self._in_thread(self.epochs, after=after)

    async def aadopt(self, state: EpochState) -> int:
        return await self._in_thread(self.adopt, state)

    async def aread(self, address: Address, *, now: float) -> Entry | None:
        return await self._in_thread(self.read, address, now=now)

    async def anearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        return await self._in_thread(self.nearby, vectors, labels=labels, embedder=embedder, at_least=at_least, now=now)

    async def anote(self) -> str | None:
        return await self._in_thread(self.note)

    async def akeep_note(self, text: str, *, instead_of: str | None) -> bool:
        return await self._in_thread(self.keep_note, text, instead_of=instead_of)

    async def adrop(self, address: Address, *, created_at: float) -> bool:
        return await self._in_thread(self.drop, address, created_at=created_at)

    async def asize(self) -> StoreSize:
        return await self._in_thread(self.size)

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.wrap_future(self._worker.submit(functools.partial(call, *args, **kwargs)))

    def _scan_page(self, after_row: int) -> tuple[int, list[Entry]] | None:
        with self._pool.reading() as connection:
            state = statements.read_state(connection)
            page = statements.scan_page(connection, after_row, self._clock(), _SCAN_PAGE)
        entries = []
        for _, *columns in page:
            try:
                entries.append(rows.read_entry(tuple(columns), embedder=state.embedder, dimensions=state.dimensions))
            except StoreError:
                self._count_damaged()
        return (page[-1][0], entries) if page else None

    def _note_use(self, row: int, now: float) -> None:
        self._used[row] = now
        self._hits += 1
        if self._hits >= _HITS_BEFORE_WRITING:
            self._hits = 0
            self._worker.submit(self._write_uses)

    def _note_uses(self, connection: Connection) -> None:
        """Write down what reads have noted, inside a transaction; reads never write themselves."""
        used, self._used = self._used, {}
        self._hits = 0
        statements.touch(connection, used)

    def _write_uses(self) -> None:
        if self._used:
            with self._pool.writing() as connection:
                self._note_uses(connection)

    def _count_damaged(self) -> None:
        self.damaged_rows += 1


def _at_least_one(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 1:
        raise ConfigError(f"{name}={value!r} is out of range: it must be at least 1")
    return value


def _checked_timeout(value_s: float | None) -> float:
    if value_s is None:
        return DEFAULT_BUSY_TIMEOUT_S
    if not 0 <= value_s <= 3600:
        raise ConfigError(f"busy_timeout_s={value_s!r} is out of range: it must be between 0 and 3600 seconds")
    return value_s


def _check_key(key: bytes | None) -> None:
    if key is not None and len(key) != KEY_BYTES:
        raise ConfigError(f"digest_key has {len(key)} bytes: it must have {KEY_BYTES}")
