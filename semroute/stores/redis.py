"""The Redis store: one shard in a Redis Stack, searched by its own vector index."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from semroute.entry import Entry
from semroute.errors import ConfigError, MissingExtra
from semroute.stores._nearness import Nearness
from semroute.stores._redis import invalidations, notes
from semroute.stores._redis import lease as leases
from semroute.stores._redis.errors import mapped
from semroute.stores._redis.index import IndexSpec, Names
from semroute.stores._redis.life import Life
from semroute.stores._redis.location import check_shard, parse_redis_url
from semroute.stores._redis.nearness import NearWalk
from semroute.stores._redis.operations import Limits, Operations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from semroute.entry import Address, Alias, Candidate, FloatVector, Found, Selector
    from semroute.stores._redis import clients
    from semroute.stores._redis.connections import Link, LoopLinks
    from semroute.stores._redis.state import Steps
    from semroute.stores.capabilities import Claim, EpochState, FloatMatrix, Near, StoreSize

T = TypeVar("T")

DEFAULT_MAX_ENTRIES: Final = 100_000
DEFAULT_MAX_BYTES: Final = 1024**3
DEFAULT_POOL_SIZE: Final = 50
DEFAULT_POOL_WAIT_S: Final = 0.5
DEFAULT_CONNECT_TIMEOUT_S: Final = 0.5
DEFAULT_TIMEOUT_S: Final = 0.5
DEFAULT_HNSW_FROM: Final = 50_000
"""Up to some 30,000 entries of one partition the server compares with every vector even where it has a graph, and
putting into a graph takes three times as long."""
_DTYPES: Final = (None, "float32", "float16")


class RedisStore:
    """Answers in one shard of a Redis Stack (>= 7.2) or Redis (>= 8); see `Store` for the methods.

    Any number of threads, event loops, processes and machines may use one shard at once. The exact tier is one round
    trip (a script that reads entry, alias, epoch and invalidations together), the semantic tier one search. Entries
    expire in Redis by themselves, and their absolute expiry is looked at on every read.

    A shard that is found empty though it was in use, because its server was restarted, begins anew and is counted.
    """

    def __init__(
        self,
        url: str,
        *,
        shard: str | None = None,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        dtype: str | None = None,
        hnsw_from: int | None = None,
        pool_size: int | None = None,
        pool_wait_s: float | None = None,
        connect_timeout_s: float | None = None,
        timeout_s: float | None = None,
        digest_key: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take a URL: redis://, rediss:// (TLS) or redis+sentinel://HOST,HOST/SERVICE. Nothing is connected yet.

        `shard` names the part of the server that this store is (else `?shard=` of the URL, else "s00"). `max_entries`
        and `max_bytes` limit the shard. `dtype` is how vectors are kept, "float32" (default) or "float16", half the
        memory. With more than `hnsw_from` entries the index changes from comparing with every vector to a graph.
        `connect_timeout_s`, `timeout_s` (of a command) and `pool_wait_s` are deadlines. Raises ConfigError for a URL or
        a value that cannot be, MissingExtra without the extra.
        """
        location = parse_redis_url(url)
        self._location = location if shard is None else dataclasses.replace(location, shard=check_shard(shard))
        if dtype not in _DTYPES:
            raise ConfigError(f"dtype={dtype!r} must be 'float32' or 'float16'")
        if digest_key is not None and len(digest_key) != 32:
            raise ConfigError(f"digest_key has {len(digest_key)} bytes: it must have 32")
        try:
            from semroute.stores._redis import clients
        except ModuleNotFoundError as missing:
            raise MissingExtra("the Redis store", "redis") from missing
        limits = clients.Limits(
            pool_size=_in_range("pool_size", pool_size, DEFAULT_POOL_SIZE, 1, 10_000),
            pool_wait_s=_in_range("pool_wait_s", pool_wait_s, DEFAULT_POOL_WAIT_S, 0.001, 3600),
            connect_timeout_s=_in_range("connect_timeout_s", connect_timeout_s, DEFAULT_CONNECT_TIMEOUT_S, 0.001, 3600),
            timeout_s=_in_range("timeout_s", timeout_s, DEFAULT_TIMEOUT_S, 0.001, 3600),
        )
        self._life = Life(
            Names(self._location.shard),
            place=str(self._location),
            digest_key=digest_key,
            dtype=dtype,
            hnsw_from=_in_range("hnsw_from", hnsw_from, DEFAULT_HNSW_FROM, 0, 10**9),
            clock=clock,
        )
        self._operations = Operations(
            self._life,
            Limits(
                _in_range("max_entries", max_entries, DEFAULT_MAX_ENTRIES, 1, 10**12),
                _in_range("max_bytes", max_bytes, DEFAULT_MAX_BYTES, 1, 2**62),
            ),
            clock,
        )
        self._clock = clock
        self._connections, self._loops = self._links(limits)

    def __repr__(self) -> str:
        state = self._life.state
        what = "closed" if state is None else f"embedder {state.embedder!r}, {state.algorithm or 'no'} index"
        return f"<RedisStore {self._location} shard {self._location.shard!r} {what}>"

    @property
    def shard(self) -> str:
        """The stable name of the shard."""
        return self._location.shard

    @property
    def damaged_rows(self) -> int:
        """How many reads met something that could not be understood, and took it for a miss."""
        return self._operations.damaged_rows

    @property
    def restarts(self) -> int:
        """How often the shard was found empty though it had been in use."""
        return self._life.restarts

    @property
    def recreated_indexes(self) -> int:
        """How often the index was found gone, and made anew."""
        return self._life.recreated_indexes

    def open(self) -> bytes:
        return self._drive(self._operations.open())

    def get(self, address: Address, *, now: float) -> Found:
        return self._drive(self._operations.get(address, now))

    def search(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        return self._drive(self._operations.search(address, vector, embedder, k, now))

    def put(self, record: Entry | Alias) -> bool:
        return self._drive(self._putting(record))

    def delete(self, selector: Selector) -> int:
        return self._drive(invalidations.delete(self._life, selector, now=self._clock()))

    def scan(self) -> Iterator[Entry]:
        seen: set[str] = set()
        cursor = ""
        while cursor != "0":
            cursor, entries = self._drive(self._operations.scan_page(cursor or "0"))
            yield from _unseen(entries, seen)

    def close(self) -> None:
        if self._life.state is not None:
            self._drive(self._operations.write_uses())
        self._life.close()
        self._connections.close()
        self._loops.close()

    def size(self) -> StoreSize:
        """Count entries, aliases, bytes and partitions; raises StoreError."""
        return self._drive(self._operations.size())

    def epochs(self, *, after: int = 0) -> EpochState:
        """Return what the shard remembers of its invalidations; a key that was given counts as settled."""
        return self._drive(invalidations.epochs(self._life, after))

    def adopt(self, state: EpochState) -> int:
        """Take over what another store remembers; see `Epochs.adopt`."""
        return self._drive(invalidations.adopt(self._life, state, now=self._clock()))

    def read(self, address: Address, *, now: float) -> Entry | None:
        """Return a live entry with vector and labels; see `Copying.read`."""
        return self._drive(self._operations.read(address, now))

    def nearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        """Return all entries near to one of some vectors, in whatever partition; see `Nearby.nearby`.

        Redis must not have evicted the books of the shard, which carry the labels: no `allkeys-*` policy.
        """
        walk = NearWalk(self._operations, Nearness(vectors, at_least), labels, now=now)
        self._drive(walk.begin(embedder))
        while not walk.is_done:
            walk.take(self._drive(walk.page()))
        return walk.found

    def acquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        """Take the lease of a key if it is free; see `Lease`, and so for the next two."""
        return self._drive(leases.acquire(self._life.names, address, token, ttl_s))

    def renew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        return self._drive(leases.renew(self._life.names, address, token, ttl_s))

    def release(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        return self._drive(leases.release(self._life.names, address, token, declined_s))

    def note(self) -> str | None:
        """Return what the shard keeps about itself and its fleet; see `Notes`, and so for the next one."""
        return self._drive(notes.note(self._life))

    def keep_note(self, text: str, *, instead_of: str | None) -> bool:
        return self._drive(notes.keep(self._life, text, instead_of))

    def drop(self, address: Address, *, created_at: float) -> bool:
        """Remove an entry that was copied elsewhere; see `Moving.drop`."""
        return self._drive(notes.drop(self._life, address.exact, created_at))

    async def aopen(self) -> bytes:
        return await self._adrive(self._operations.open())

    async def aget(self, address: Address, *, now: float) -> Found:
        return await self._adrive(self._operations.get(address, now))

    async def asearch(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        return await self._adrive(self._operations.search(address, vector, embedder, k, now))

    async def aput(self, record: Entry | Alias) -> bool:
        return await self._adrive(self._putting(record))

    async def adelete(self, selector: Selector) -> int:
        return await self._adrive(invalidations.delete(self._life, selector, now=self._clock()))

    async def ascan(self) -> AsyncIterator[Entry]:
        seen: set[str] = set()
        cursor = ""
        while cursor != "0":
            cursor, entries = await self._adrive(self._operations.scan_page(cursor or "0"))
            for entry in _unseen(entries, seen):
                yield entry

    async def aclose(self) -> None:
        if self._life.state is not None:
            await self._adrive(self._operations.write_uses())
        self._life.close()
        self._connections.close()
        await self._loops.aclose()

    async def asize(self) -> StoreSize:
        return await self._adrive(self._operations.size())

    async def aepochs(self, *, after: int = 0) -> EpochState:
        return await self._adrive(invalidations.epochs(self._life, after))

    async def aadopt(self, state: EpochState) -> int:
        return await self._adrive(invalidations.adopt(self._life, state, now=self._clock()))

    async def aread(self, address: Address, *, now: float) -> Entry | None:
        return await self._adrive(self._operations.read(address, now))

    async def anearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        walk = NearWalk(self._operations, Nearness(vectors, at_least), labels, now=now)
        await self._adrive(walk.begin(embedder))
        while not walk.is_done:
            await asyncio.to_thread(walk.take, await self._adrive(walk.page()))
        return walk.found

    async def aacquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        return await self._adrive(leases.acquire(self._life.names, address, token, ttl_s))

    async def arenew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        return await self._adrive(leases.renew(self._life.names, address, token, ttl_s))

    async def arelease(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        return await self._adrive(leases.release(self._life.names, address, token, declined_s))

    async def anote(self) -> str | None:
        return await self._adrive(notes.note(self._life))

    async def akeep_note(self, text: str, *, instead_of: str | None) -> bool:
        return await self._adrive(notes.keep(self._life, text, instead_of))

    async def adrop(self, address: Address, *, created_at: float) -> bool:
        return await self._adrive(notes.drop(self._life, address.exact, created_at))

    def _putting(self, record: Entry | Alias) -> Steps[bool]:
        return self._operations.put_entry(record) if isinstance(record, Entry) else self._operations.put_alias(record)

    def _drive(self, steps: Steps[T]) -> T:
        """Perform the commands of an operation, one after the other."""
        perform = self._connections.perform
        try:
            command = next(steps)
            while True:
                reply = None
                try:
                    if isinstance(command, IndexSpec):
                        self._create_index(command)
                    else:
                        reply = perform(command)
                except Exception as error:  # redis-py and redisvl share no base, and none of theirs may get out
                    command = steps.throw(mapped(error, self._location))
                else:
                    command = steps.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _adrive(self, steps: Steps[T]) -> T:
        """Do what `_drive` does, in the running event loop."""
        perform = (await self._loops.current()).perform
        try:
            command = next(steps)
            while True:
                reply = None
                try:
                    if isinstance(command, IndexSpec):
                        await self._acreate_index(command)
                    else:
                        reply = await perform(command)
                except Exception as error:  # as above
                    command = steps.throw(mapped(error, self._location))
                else:
                    command = steps.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    def _links(self, limits: clients.Limits) -> tuple[Link, LoopLinks]:
        """Return what the two faces talk through; nothing is connected yet."""
        from semroute.stores._redis import clients

        if self._location.is_cluster:
            raise ConfigError(f"{self._location} is a cluster, of which one shard is no store: open RedisClusterStore")
        make = functools.partial(clients.make_loop_connections, self._location, limits)
        return clients.make_connections(self._location, limits), clients.Loops(make)

    def _create_index(self, spec: IndexSpec) -> None:
        from semroute.stores._redis.creation import create_index

        create_index(self._connections, spec)

    async def _acreate_index(self, spec: IndexSpec) -> None:
        # Importing redisvl for the first time takes longer than an event loop may be held up.
        creation = await asyncio.to_thread(_import_creation)
        await creation.acreate_index(await self._loops.current(), spec)


def _import_creation() -> Any:
    from semroute.stores._redis import creation

    return creation


def _unseen(entries: Sequence[Entry], seen: set[str]) -> Iterator[Entry]:
    """Leave out what a scan has met before: Redis may return a key twice while its tables grow."""
    for entry in entries:
        if entry.id not in seen:
            seen.add(entry.id)
            yield entry


N = TypeVar("N", int, float)


def _in_range(name: str, value: N | None, default: N, least: N, most: N) -> N:
    if value is None:
        return default
    if not least <= value <= most:
        raise ConfigError(f"{name}={value!r} is out of range: it must be between {least} and {most}")
    return value
