"""Fleets for tests: servers that die and come back, and the connections of several clients to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from semroute.entry import Address, Alias, Candidate, Entry, Found, Selector
from semroute.errors import StoreError
from semroute.stores import Store
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.clock import FakeClock
from semroute.testing.entries import EMBEDDER, NOW, digest, make_address, make_entry, make_vector
from semroute.testing.store_suite import SharedStoreSuite, StoreSuite
from semroute.testing.stores import FailingShard

PROMPTS = [f"prompt {number}" for number in range(30)]


class Server:
    """A store that can be killed, and comes back with what it had."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.store = EmbeddedStore("memory://", clock=lambda: NOW)
        self.is_up = True
        self.starts = 1

    def kill(self) -> None:
        self.is_up = False

    def start(self, *, empty: bool = False) -> None:
        """Start again: with old contents, or with none."""
        if empty:
            self.store = EmbeddedStore("memory://", clock=lambda: NOW)
        self.is_up = True
        self.starts += 1


class Connection(FailingShard):
    """One client's way to a server: it breaks when the server restarts, and says so once, as sockets do."""

    def __init__(self, server: Server, clock: FakeClock) -> None:
        super().__init__(server.store, clock=clock)
        self._server = server
        self._starts = server.starts

    def _try(self, operation: str) -> None:
        self.store = self._server.store
        if not self._server.is_up:
            self.calls[operation] += 1
            raise StoreError(f"{self._server.name} refuses connections")
        if self._starts != self._server.starts:
            self._starts = self._server.starts
            raise StoreError(f"{self._server.name} closed the connection")
        super()._try(operation)


class Cluster:
    """Servers by name, and clients of all of them."""

    def __init__(self, count: int = 3) -> None:
        self.clock = FakeClock()
        self.servers = {f"s{number}": Server(f"s{number}") for number in range(count)}
        self.connections: dict[str, Connection] = {}
        """Those of the latest client."""
        self._clients: list[ShardedStore] = []

    def client(self, **options: Any) -> ShardedStore:
        """Return the sharded store of one more process."""
        self.connections = {name: Connection(server, self.clock) for name, server in self.servers.items()}
        self._clients.append(ShardedStore(self.connections, **{"clock": self.clock, **options}))
        return self._clients[-1]

    def kill(self, name: str) -> None:
        self.servers[name].kill()

    def start(self, name: str, *, empty: bool = False) -> None:
        """Start a server again, and let the time go by that breakers wait."""
        self.servers[name].start(empty=empty)
        self.clock.advance(10)

    def holders(self, entry: Entry) -> set[str]:
        """Return the servers that hold an entry, down or not."""
        return {
            name for name, server in self.servers.items() if server.store.get(entry.address, now=NOW).entry is not None
        }

    def close(self) -> None:
        for server in self.servers.values():
            server.start()
        for client in self._clients:
            client.close()
        for server in self.servers.values():
            server.store.close()


def entry_of(prompt: str, query: str = "q", **fields: Any) -> Entry:
    """Return an entry under a system prompt, which says on which shards it lies."""
    return make_entry(query, address=address_of(prompt, query), **fields)


def address_of(prompt: str, query: str = "q") -> Address:
    return make_address(query, partition=prompt, shard=prompt)


def prompt_on(store: ShardedStore, *names: str) -> str:
    """Return a system prompt whose replicas are these shards, in this order."""
    prompts = (f"prompt {number}" for number in range(10_000))
    return next(prompt for prompt in prompts if store.ring.replicas(digest(prompt), len(names)) == names)


class SyncFace:
    """The sync methods of a store, to be awaited like the async ones."""

    async def get(self, store: ShardedStore, prompt: str, query: str = "q") -> Found:
        return store.get(address_of(prompt, query), now=NOW)

    async def search(self, store: ShardedStore, prompt: str, k: int = 5) -> Sequence[Candidate]:
        return store.search(address_of(prompt, "asked"), make_vector(), embedder=EMBEDDER, k=k, now=NOW)

    async def put(self, store: ShardedStore, record: Entry | Alias) -> bool:
        return store.put(record)

    async def delete(self, store: ShardedStore, *labels: str) -> int:
        return store.delete(Selector(frozenset(labels)))

    def scan(self, store: ShardedStore) -> AsyncIterator[Entry]:
        return _awaited(store.scan)


class AsyncFace:
    """The async methods of a store."""

    async def get(self, store: ShardedStore, prompt: str, query: str = "q") -> Found:
        return await store.aget(address_of(prompt, query), now=NOW)

    async def search(self, store: ShardedStore, prompt: str, k: int = 5) -> Sequence[Candidate]:
        return await store.asearch(address_of(prompt, "asked"), make_vector(), embedder=EMBEDDER, k=k, now=NOW)

    async def put(self, store: ShardedStore, record: Entry | Alias) -> bool:
        return await store.aput(record)

    async def delete(self, store: ShardedStore, *labels: str) -> int:
        return await store.adelete(Selector(frozenset(labels)))

    def scan(self, store: ShardedStore) -> AsyncIterator[Entry]:
        return store.ascan()


Face: TypeAlias = SyncFace | AsyncFace


async def come_back(cluster: Cluster, face: Face, store: ShardedStore, name: str) -> None:
    """Start a server again, and let the store find out that its old connection is broken, and make a new one."""
    cluster.start(name)
    for _ in range(5):
        for prompt in PROMPTS:
            with suppress(StoreError):
                await face.get(store, prompt, "a question that nobody asked")
        cluster.clock.advance(10)
    assert all(health.is_current for health in store.health() if health.name == name)


async def _awaited(scan: Callable[[], Iterator[Entry]]) -> AsyncIterator[Entry]:
    for entry in scan():
        yield entry


class SharedFilesSuite(SharedStoreSuite, StoreSuite):
    """The public suites, run by sharded stores of which each is one more client of the same files."""

    replicas = 1

    def opened(self, folder: Path, number: int) -> ShardedStore:
        """Return the store of the client with this number, counted from 0, on the files of a folder."""
        raise NotImplementedError

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        made: list[ShardedStore] = []

        def make() -> Store:
            made.append(self.opened(tmp_path, len(made)))
            return made[-1]

        yield make
        for store in made:
            store.close()

    @pytest.fixture
    def store(self, make_store: Callable[[], Store]) -> Store:
        return make_store()

    @pytest.fixture
    def another_store(self, make_store: Callable[[], Store]) -> Callable[[], Store]:
        return make_store
