"""How much an embedded store keeps: on disk, in memory, and of its own records."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from semroute.entry import Answer, Selector
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import HOUR_S, NOW, make_alias, make_entry
from semroute.testing.store_suite import get, queries, search

from .limits import TickingClock, kept

MakeStore = Callable[..., EmbeddedStore]


def test_the_oldest_entries_go_when_there_are_too_many(make_embedded: MakeStore) -> None:
    store = make_embedded(max_entries=3)
    for number in range(5):
        store.put(make_entry(f"q{number}"))
    assert kept(store) == ["q2", "q3", "q4"]
    assert sorted(queries(search(store))) == ["q2", "q3", "q4"]


def test_an_entry_that_was_used_stays_longer_than_one_that_was_not(make_embedded: MakeStore) -> None:
    store = make_embedded(max_entries=3)
    for number in range(3):
        store.put(make_entry(f"q{number}"))
    get(store, "q0", now=NOW + 100)
    store.put(make_entry("q3"))
    assert kept(store) == ["q0", "q2", "q3"]


def test_a_hit_through_an_alias_counts_as_use_of_the_entry(make_embedded: MakeStore) -> None:
    store = make_embedded(max_entries=2)
    old = make_entry("old")
    store.put(old)
    store.put(make_entry("newer"))
    store.put(make_alias("alias", old))
    get(store, "alias", now=NOW + 100)
    store.put(make_entry("newest"))
    assert kept(store) == ["newest", "old"]


def test_use_is_remembered_across_closing(make_embedded: MakeStore) -> None:
    store = make_embedded(max_entries=2)
    store.put(make_entry("used"))
    store.put(make_entry("unused"))
    get(store, "used", now=NOW + 100)
    store.close()
    make_embedded(max_entries=2).put(make_entry("new"))
    assert kept(store) == ["new", "used"]


def test_use_is_written_after_a_thousand_hits_even_if_nothing_is_put(make_embedded: MakeStore) -> None:
    reader, writer = make_embedded(max_entries=2), make_embedded(max_entries=2)
    writer.put(make_entry("used"))
    writer.put(make_entry("unused"))
    for _ in range(1000):
        get(reader, "used", now=NOW + 100)
    reader._worker.close()  # waits for the write
    writer.put(make_entry("new"))
    assert kept(writer) == ["new", "used"]


def test_bytes_are_limited_too(make_embedded: MakeStore) -> None:
    store = make_embedded(max_bytes=20_000)
    for number in range(30):
        store.put(make_entry(f"q{number}", answer=Answer("x" * 1500)))
        assert store.size().bytes <= 20_000
    assert len(kept(store)) >= 8
    assert "q29" in kept(store)


def test_size_counts_each_entry_with_its_vector_once_however_often_it_was_put(make_embedded: MakeStore) -> None:
    store = make_embedded()
    for number in range(5):
        entry = make_entry(f"q{number}", partition=f"p{number % 2}", labels=frozenset({"x"}))
        store.put(entry)
        store.put(entry)
    store.put(make_alias("alias", entry))
    assert 5 * 400 < store.size().bytes < 5 * 800


def test_nothing_of_a_removed_entry_is_left_in_any_table(make_embedded: MakeStore, tmp_path: Path) -> None:
    store = make_embedded()
    for number in range(3):
        entry = make_entry(f"q{number}", labels=frozenset({"x", f"l{number}"}))
        store.put(entry)
        store.put(entry)
        store.put(make_alias(f"alias {number}", entry))
    store.delete(Selector(frozenset({"l0"})))
    store.close()
    connection = sqlite3.connect(tmp_path / "answers.db")
    left = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("entries", "bodies", "aliases", "labels")
    }
    connection.close()
    assert left == {"entries": 2, "bodies": 2, "aliases": 2, "labels": 4}


async def test_size_has_an_asynchronous_twin(make_embedded: MakeStore) -> None:
    store = make_embedded()
    await store.aput(make_entry("q"))
    assert await store.asize() == store.size()


def test_matrices_of_many_partitions_are_bounded_and_come_back_when_needed(
    make_embedded: MakeStore,
) -> None:
    store = make_embedded(max_matrix_bytes=5_000)
    for number in range(50):
        store.put(make_entry(f"q{number}", partition=f"p{number}"))
        assert queries(search(store, partition=f"p{number}")) == [f"q{number}"]
        assert store._vectors._matrices.size_bytes <= 5_000
    assert 1 < len(store._vectors._matrices) < 50
    assert all(queries(search(store, partition=f"p{number}")) == [f"q{number}"] for number in range(50))


def test_old_invalidations_are_forgotten_after_thirty_days(tmp_path: Path) -> None:
    clock = TickingClock()
    store = EmbeddedStore(tmp_path / "answers.db", clock=clock)
    store.delete(Selector(frozenset({"x"})))
    for _ in range(100):
        store.delete(Selector(frozenset({"y"})))
    assert store.put(make_entry("q", labels=frozenset({"x"}), epoch=0)) is False
    clock.now += 29 * 24 * HOUR_S
    for _ in range(256):
        store.delete(Selector(frozenset({"z"})))
    assert store.put(make_entry("q", labels=frozenset({"x"}), epoch=0)) is False
    clock.now += 2 * 24 * HOUR_S
    for _ in range(256):
        store.delete(Selector(frozenset({"z"})))
    assert store.put(make_entry("q", labels=frozenset({"x"}), epoch=0)) is True
    store.close()
