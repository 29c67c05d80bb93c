"""Stores for tests: wrappers that fail, and take their time, where they are told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from semroute.errors import StoreError
from semroute.stores import Copying, Epochs, Moving, Nearby, Notes

if TYPE_CHECKING:
    from semroute.entry import Address, Alias, Candidate, Entry, FloatVector, Found, Selector
    from semroute.stores import EpochState, Near, Store
    from semroute.stores.capabilities import FloatMatrix
    from semroute.testing.clock import FakeClock

OPERATIONS: Final = frozenset({"open", "get", "search", "put", "delete", "scan", "close"})

SHARD_OPERATIONS: Final = OPERATIONS | {"epochs", "adopt", "read", "note", "keep_note", "drop", "nearby"}
"""What can fail in a shard: all of it is a shard that is dead."""


class FailingStore:
    """Does what `store` does, and raises StoreError in the operations that `failing` names, in both faces.

    `failing` may be changed at any time: `{"search"}` breaks the semantic tier alone, an empty set heals. `calls`
    counts every operation that was tried, the failed ones included.
    """

    def __init__(self, store: Store, failing: frozenset[str] = frozenset(), *, message: str = "it is broken") -> None:
        self.store = store
        self.failing = failing
        self.calls: Counter[str] = Counter()
        self._message = message

    def __repr__(self) -> str:
        return f"<FailingStore {sorted(self.failing)} of {self.store!r}>"

    def open(self) -> bytes:
        self._try("open")
        return self.store.open()

    def get(self, address: Address, *, now: float) -> Found:
        self._try("get")
        return self.store.get(address, now=now)

    def search(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        self._try("search")
        return self.store.search(address, vector, embedder=embedder, k=k, now=now)

    def put(self, record: Entry | Alias) -> bool:
        self._try("put")
        return self.store.put(record)

    def delete(self, selector: Selector) -> int:
        self._try("delete")
        return self.store.delete(selector)

    def scan(self) -> Iterator[Entry]:
        self._try("scan")
        return self.store.scan()

    def close(self) -> None:
        self._try("close")
        self.store.close()

    async def aopen(self) -> bytes:
        self._try("open")
        return await self.store.aopen()

    async def aget(self, address: Address, *, now: float) -> Found:
        self._try("get")
        return await self.store.aget(address, now=now)

    async def asearch(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        self._try("search")
        return await self.store.asearch(address, vector, embedder=embedder, k=k, now=now)

    async def aput(self, record: Entry | Alias) -> bool:
        self._try("put")
        return await self.store.aput(record)

    async def adelete(self, selector: Selector) -> int:
        self._try("delete")
        return await self.store.adelete(selector)

    def ascan(self) -> AsyncIterator[Entry]:
        self._try("scan")
        return self.store.ascan()

    async def aclose(self) -> None:
        self._try("close")
        await self.store.aclose()

    def _try(self, operation: str) -> None:
        self.calls[operation] += 1
        if operation in self.failing:
            raise StoreError(f"{operation}: {self._message}")


class FailingShard(FailingStore):
    """A FailingStore that can be a shard: it has the capabilities of the store that it wraps.

    Where `clock` and `takes_s` are given, every operation moves the clock on by so much before it is done: an answer
    that comes late.
    """

    def __init__(
        self,
        store: Store,
        failing: frozenset[str] = frozenset(),
        *,
        message: str = "it is broken",
        clock: FakeClock | None = None,
        takes_s: float = 0.0,
    ) -> None:
        super().__init__(store, failing, message=message)
        self.takes_s = takes_s
        self._clock = clock

    def epochs(self, *, after: int = 0) -> EpochState:
        self._try("epochs")
        return self._epochs().epochs(after=after)

    def adopt(self, state: EpochState) -> int:
        self._try("adopt")
        return self._epochs().adopt(state)

    def read(self, address: Address, *, now: float) -> Entry | None:
        self._try("read")
        return self._copying().read(address, now=now)

    def note(self) -> str | None:
        self._try("note")
        return self._notes().note()

    def keep_note(self, text: str, *, instead_of: str | None) -> bool:
        self._try("keep_note")
        return self._notes().keep_note(text, instead_of=instead_of)

    def drop(self, address: Address, *, created_at: float) -> bool:
        self._try("drop")
        return self._moving().drop(address, created_at=created_at)

    def nearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        self._try("nearby")
        return self._nearby().nearby(vectors, labels=labels, embedder=embedder, at_least=at_least, now=now)

    async def anearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        self._try("nearby")
        return await self._nearby().anearby(vectors, labels=labels, embedder=embedder, at_least=at_least, now=now)

    async def anote(self) -> str | None:
        self._try("note")
        return await self._notes().anote()

    async def akeep_note(self, text: str, *, instead_of: str | None) -> bool:
        self._try("keep_note")
        return await self._notes().akeep_note(text, instead_of=instead_of)

    async def adrop(self, address: Address, *, created_at: float) -> bool:
        self._try("drop")
        return await self._moving().adrop(address, created_at=created_at)

    async def aepochs(self, *, after: int = 0) -> EpochState:
        self._try("epochs")
        return await self._epochs().aepochs(after=after)

    async def aadopt(self, state: EpochState) -> int:
        self._try("adopt")
        return await self._epochs().aadopt(state)

    async def aread(self, address: Address, *, now: float) -> Entry | None:
        self._try("read")
        return await self._copying().aread(address, now=now)

    def _epochs(self) -> Epochs:
        if not isinstance(self.store, Epochs):
            raise StoreError(f"{self.store!r} does not remember invalidations for others")
        return self.store

    def _nearby(self) -> Nearby:
        if not isinstance(self.store, Nearby):
            raise StoreError(f"{self.store!r} cannot be searched over all its partitions")
        return self.store

    def _notes(self) -> Notes:
        if not isinstance(self.store, Notes):
            raise StoreError(f"{self.store!r} cannot keep its own name")
        return self.store

    def _moving(self) -> Moving:
        if not isinstance(self.store, Moving):
            raise StoreError(f"{self.store!r} cannot let go of what was moved")
        return self.store

    def _copying(self) -> Copying:
        if not isinstance(self.store, Copying):
            raise StoreError(f"{self.store!r} cannot be copied from")
        return self.store

    def _try(self, operation: str) -> None:
        if self._clock is not None:
            self._clock.advance(self.takes_s)
        super()._try(operation)
