"""Stores for tests: a wrapper that fails where it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from semroute.errors import StoreError

if TYPE_CHECKING:
    from semroute.entry import Address, Alias, Candidate, Entry, FloatVector, Found, Selector
    from semroute.stores import Store

OPERATIONS: Final = frozenset({"open", "get", "search", "put", "delete", "scan", "close"})


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
