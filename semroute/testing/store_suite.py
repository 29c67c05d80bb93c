"""The conformance suite of stores: subclass it, override the `store` fixture, and pytest runs all of it.

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def store(self):
            store = MyStore()
            yield store
            store.close()

The asynchronous tests need pytest-asyncio in auto mode. A store whose entries outlive the object runs
`SharedStoreSuite` too, which asks for a second handle on the same data; a store that can be a shard runs
`EpochsSuite`, which asks for further stores that share nothing with it; one that lends keys runs `LeaseSuite`, one that
is searched over all its partitions `NearbySuite`. Stores are handed `NOW` as the time of each read; a store with a
clock of its own must be built with `clock=lambda: NOW`. For readable failures call
`pytest.register_assert_rewrite("semroute.testing")` in a conftest before the suite is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from semroute.entry import Selector
from semroute.errors import ConfigError
from semroute.testing._store_epochs import EpochsSuite
from semroute.testing._store_leases import LeaseSuite
from semroute.testing._store_life import AsyncSuite, InvalidationSuite, LifeSuite
from semroute.testing._store_lookups import AliasSuite, ExactTierSuite, SemanticTierSuite
from semroute.testing._store_nearby import NearbySuite
from semroute.testing._store_probes import EmptyStore, get, queries, same_entry, search
from semroute.testing._store_under_way import UnderWaySuite
from semroute.testing.entries import EMBEDDER, make_alias, make_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from semroute.stores import Store

__all__ = [
    "EpochsSuite",
    "LeaseSuite",
    "NearbySuite",
    "SharedStoreSuite",
    "StoreSuite",
    "get",
    "queries",
    "same_entry",
    "search",
]


class StoreSuite(
    ExactTierSuite, AliasSuite, SemanticTierSuite, InvalidationSuite, UnderWaySuite, LifeSuite, AsyncSuite
):
    """All that every store must do."""


class SharedStoreSuite(EmptyStore):
    """What a store must do whose data outlive the object and may be shared by several."""

    @pytest.fixture
    def another_store(self, store: Store) -> Iterator[Callable[[], Store]]:
        raise NotImplementedError("override `another_store` with a factory of further handles on the data of `store`")

    def test_all_handles_have_one_digest_key(self, store: Store, another_store: Callable[[], Store]) -> None:
        assert another_store().open() == store.open()

    def test_entries_and_aliases_survive_closing(self, store: Store, another_store: Callable[[], Store]) -> None:
        entry = make_entry("q", labels=frozenset({"x"}))
        store.put(entry)
        store.put(make_alias("alias", entry))
        store.close()
        reopened = another_store()
        assert same_entry(get(reopened, "q").entry, entry)
        assert same_entry(get(reopened, "alias").entry, entry)
        assert queries(search(reopened)) == ["q"]

    def test_a_handle_sees_what_another_writes_at_its_next_lookup(
        self, store: Store, another_store: Callable[[], Store]
    ) -> None:
        other = another_store()
        store.put(make_entry("first", similarity=0.5))
        assert queries(search(other)) == ["first"]
        store.put(make_entry("second", similarity=0.9, labels=frozenset({"x"})))
        assert queries(search(other)) == ["second", "first"]
        assert get(other, "second").entry is not None

    def test_a_handle_sees_what_another_replaces_and_deletes(
        self, store: Store, another_store: Callable[[], Store]
    ) -> None:
        other = another_store()
        store.put(make_entry("a", similarity=0.9, labels=frozenset({"x"})))
        store.put(make_entry("b", similarity=0.8))
        assert queries(search(other)) == ["a", "b"]
        store.put(make_entry("b", similarity=0.95))
        assert queries(search(other)) == ["b", "a"]
        store.delete(Selector(frozenset({"x"})))
        assert queries(search(other)) == ["b"]
        store.delete(Selector())
        assert queries(search(other)) == []

    def test_an_invalidation_by_one_handle_refuses_puts_in_flight_of_another(
        self, store: Store, another_store: Callable[[], Store]
    ) -> None:
        other = another_store()
        epoch = get(other, "q").epoch
        store.delete(Selector(frozenset({"tag"})))
        assert other.put(make_entry("q", labels=frozenset({"tag"}), epoch=epoch)) is False
        assert get(other, "q").epoch > epoch

    def test_the_embedder_is_remembered_by_the_data(self, store: Store, another_store: Callable[[], Store]) -> None:
        store.put(make_entry("q"))
        store.close()
        with pytest.raises(ConfigError, match=EMBEDDER):
            another_store().put(make_entry("p", embedder="another"))
