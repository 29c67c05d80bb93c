from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from semroute.stores import Store
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import NOW
from semroute.testing.store_suite import EpochsSuite, NearbySuite, SharedStoreSuite, StoreSuite


class TestInAFile(StoreSuite, SharedStoreSuite, NearbySuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = EmbeddedStore(tmp_path / "answers.db", clock=lambda: NOW)
        yield store
        store.close()

    @pytest.fixture
    def another_store(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        handles: list[EmbeddedStore] = []

        def make() -> Store:
            handles.append(EmbeddedStore(f"sqlite:///{tmp_path / 'answers.db'}", clock=lambda: NOW))
            return handles[-1]

        yield make
        for handle in handles:
            handle.close()


class TestInMemory(StoreSuite, NearbySuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = EmbeddedStore("memory://", clock=lambda: NOW)
        yield store
        store.close()


class TestAsAShardInAFile(EpochsSuite):
    @pytest.fixture
    def make_shard(self, tmp_path: Path) -> Iterator[Callable[[], EmbeddedStore]]:
        made: list[EmbeddedStore] = []

        def make() -> EmbeddedStore:
            made.append(EmbeddedStore(tmp_path / f"shard-{len(made)}.db", clock=lambda: NOW))
            return made[-1]

        yield make
        for store in made:
            store.close()


class TestAsAShardInMemory(EpochsSuite):
    @pytest.fixture
    def make_shard(self) -> Iterator[Callable[[], EmbeddedStore]]:
        made: list[EmbeddedStore] = []

        def make() -> EmbeddedStore:
            made.append(EmbeddedStore("memory://", clock=lambda: NOW))
            return made[-1]

        yield make
        for store in made:
            store.close()
