"""The conformance suite of stores: invalidation, opening and closing, threads and event loops."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from semroute.entry import Selector
from semroute.errors import ConfigError
from semroute.testing._store_probes import EmptyStore, get, queries, same_entry, same_whole_entry, search
from semroute.testing.entries import EMBEDDER, NOW, make_address, make_alias, make_entry, make_vector

if TYPE_CHECKING:
    from semroute.stores import Store


class InvalidationSuite(EmptyStore):
    """delete and the epoch."""

    def test_delete_removes_what_carries_all_the_labels_and_counts_it(self, store: Store) -> None:
        for query, labels in [("a", {"x", "y"}), ("b", {"x", "y", "z"}), ("c", {"x"}), ("d", set())]:
            store.put(make_entry(query, labels=frozenset(labels)))
        assert store.delete(Selector(frozenset({"x", "y"}))) == 2
        assert [query for query in "abcd" if get(store, query).entry] == ["c", "d"]
        assert sorted(queries(search(store))) == ["c", "d"]

    def test_delete_by_age_spares_what_is_younger(self, store: Store) -> None:
        store.put(make_entry("old", created_at=NOW - 100))
        store.put(make_entry("edge", created_at=NOW - 50))
        store.put(make_entry("young", created_at=NOW))
        assert store.delete(Selector(created_before=NOW - 50)) == 1
        assert sorted(queries(search(store))) == ["edge", "young"]

    def test_labels_and_age_must_both_match(self, store: Store) -> None:
        store.put(make_entry("a", created_at=NOW - 100, labels=frozenset({"x"})))
        store.put(make_entry("b", created_at=NOW, labels=frozenset({"x"})))
        store.put(make_entry("c", created_at=NOW - 100))
        assert store.delete(Selector(frozenset({"x"}), created_before=NOW)) == 1
        assert get(store, "a").entry is None

    def test_an_empty_selector_removes_everything(self, store: Store) -> None:
        for number in range(3):
            store.put(make_entry(f"q{number}", partition=f"p{number}", labels=frozenset({"x"})))
        assert store.delete(Selector()) == 3
        assert list(store.scan()) == []

    def test_deleting_nothing_removes_nothing(self, store: Store) -> None:
        store.put(make_entry("q", labels=frozenset({"x"})))
        assert store.delete(Selector(frozenset({"unknown"}))) == 0
        assert get(store, "q").entry is not None

    def test_the_epoch_rises_with_every_delete_and_is_known_on_a_hit_and_on_a_miss(self, store: Store) -> None:
        before = get(store, "q").epoch
        store.delete(Selector(frozenset({"x"})))
        after = get(store, "q").epoch
        assert after > before
        store.put(make_entry("q", epoch=after))
        assert get(store, "q").epoch == after
        store.delete(Selector(frozenset({"y"})))
        assert get(store, "q").epoch > after

    def test_a_put_that_began_before_a_covering_delete_is_refused(self, store: Store) -> None:
        epoch = get(store, "q").epoch
        store.delete(Selector(frozenset({"tag"})))
        assert store.put(make_entry("q", labels=frozenset({"tag", "tenant"}), epoch=epoch)) is False
        assert get(store, "q").entry is None
        assert list(search(store)) == []

    def test_a_put_that_began_after_the_delete_is_stored(self, store: Store) -> None:
        store.delete(Selector(frozenset({"tag"})))
        epoch = get(store, "q").epoch
        assert store.put(make_entry("q", labels=frozenset({"tag"}), epoch=epoch)) is True

    def test_a_delete_of_other_labels_does_not_refuse_a_put(self, store: Store) -> None:
        epoch = get(store, "q").epoch
        store.delete(Selector(frozenset({"tag", "another tenant"})))
        assert store.put(make_entry("q", labels=frozenset({"tag", "tenant"}), epoch=epoch)) is True

    def test_an_empty_selector_refuses_every_put_in_flight(self, store: Store) -> None:
        epoch = get(store, "q").epoch
        store.delete(Selector())
        assert store.put(make_entry("q", epoch=epoch)) is False

    def test_a_delete_by_age_refuses_no_put(self, store: Store) -> None:
        epoch = get(store, "q").epoch
        store.delete(Selector(created_before=NOW))
        assert store.put(make_entry("q", epoch=epoch)) is True


class LifeSuite(EmptyStore):
    """open, scan, close, threads and event loops."""

    def test_open_returns_a_key_of_32_bytes_and_always_the_same(self, store: Store) -> None:
        key = store.open()
        assert len(key) == 32
        assert store.open() == key

    def test_scan_returns_every_live_entry_once(self, store: Store) -> None:
        entries = [make_entry(f"q{number}", partition=f"p{number % 7}") for number in range(450)]
        for entry in entries:
            store.put(entry)
        store.put(make_entry("expired", expires_at=NOW))
        store.put(make_entry("exact only", vector=None))
        store.put(make_alias("alias", entries[0]))
        found = {entry.id: entry for entry in store.scan()}
        assert len(found) == 451
        assert all(same_whole_entry(found[entry.id], entry) for entry in entries)

    def test_a_store_may_be_written_while_it_is_scanned(self, store: Store) -> None:
        for number in range(300):
            store.put(make_entry(f"q{number}"))
        scanned = 0
        for entry in store.scan():
            store.put(make_alias(f"alias of {entry.query}", entry))
            scanned += 1
        assert scanned == 300

    def test_closing_twice_is_allowed_and_reopening_keeps_the_key(self, store: Store) -> None:
        key = store.open()
        store.close()
        store.close()
        assert store.open() == key

    def test_a_closed_store_is_opened_by_its_next_use(self, store: Store) -> None:
        store.open()
        store.close()
        assert store.put(make_entry("q")) is True
        assert get(store, "q").entry is not None

    def test_several_threads_may_use_one_store(self, store: Store) -> None:
        def work(worker: int) -> int:
            hits = 0
            for number in range(25):
                query = f"q{worker}-{number}"
                store.put(make_entry(query, partition=f"p{number % 3}"))
                hits += get(store, query, partition=f"p{number % 3}").entry is not None
                hits += len(search(store, partition=f"p{number % 3}", k=1))
            return hits

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(work, range(4))) == [50] * 4
        assert len(list(store.scan())) == 100

    def test_several_event_loops_may_use_one_store(self, store: Store) -> None:
        async def work(worker: int) -> int:
            async def one(number: int) -> bool:
                query = f"q{worker}-{number}"
                await store.aput(make_entry(query))
                return (await store.aget(make_address(query), now=NOW)).entry is not None

            return sum(await asyncio.gather(*(one(number) for number in range(20))))

        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(lambda worker: asyncio.run(work(worker)), range(2))) == [20, 20]


class AsyncSuite(EmptyStore):
    """The asynchronous face does what the synchronous one does."""

    async def test_put_get_and_search_agree_with_their_twins(self, store: Store) -> None:
        entry = make_entry("q")
        assert await store.aput(entry) is True
        assert await store.aput(make_alias("alias", entry)) is True
        served = await store.aget(make_address("alias"), now=NOW)
        assert same_entry(served.entry, entry)
        assert served.alias == get(store, "alias").alias
        found = await store.asearch(make_address("asked"), make_vector(), embedder=EMBEDDER, k=5, now=NOW)
        assert list(found) == list(search(store))
        assert queries(found) == ["q"]

    async def test_delete_scan_open_and_close_agree_with_their_twins(self, store: Store) -> None:
        assert await store.aopen() == store.open()
        await store.aput(make_entry("a", labels=frozenset({"x"})))
        await store.aput(make_entry("b"))
        assert await store.adelete(Selector(frozenset({"x"}))) == 1
        assert [entry.query async for entry in store.ascan()] == ["b"]
        await store.aclose()
        await store.aclose()
        assert len(await store.aopen()) == 32

    async def test_a_refused_put_is_refused_here_too(self, store: Store) -> None:
        epoch = (await store.aget(make_address("q"), now=NOW)).epoch
        await store.adelete(Selector())
        assert await store.aput(make_entry("q", epoch=epoch)) is False

    async def test_errors_reach_the_caller(self, store: Store) -> None:
        await store.aput(make_entry("q"))
        with pytest.raises(ConfigError, match="invalidate --all"):
            await store.asearch(make_address("asked"), make_vector(), embedder="another", k=5, now=NOW)

    async def test_many_tasks_may_use_one_store(self, store: Store) -> None:
        async def one(number: int) -> str:
            await store.aput(make_entry(f"q{number}", similarity=0.4 + number / 200))
            await store.asearch(make_address("asked"), make_vector(), embedder=EMBEDDER, k=3, now=NOW)
            entry = (await store.aget(make_address(f"q{number}"), now=NOW)).entry
            return "" if entry is None else entry.query

        assert await asyncio.gather(*(one(number) for number in range(50))) == [f"q{n}" for n in range(50)]
        best = await store.asearch(make_address("asked"), make_vector(), embedder=EMBEDDER, k=1, now=NOW)
        assert queries(best) == ["q49"]
