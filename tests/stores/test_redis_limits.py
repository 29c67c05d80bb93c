"""How much a shard in Redis keeps, for how long, and by which index it is searched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import redis

from semroute.entry import Answer, Selector
from semroute.errors import ConfigError
from semroute.stores.redis import RedisStore
from semroute.testing.entries import HOUR_S, NOW, make_address, make_alias, make_entry, make_vector
from semroute.testing.redis_stack import RedisNode
from semroute.testing.store_suite import get, queries, search

from .limits import TickingClock, kept
from .redis_shards import MakeStore, keys_of


def keys(raw: redis.Redis, store: RedisStore) -> list[str]:
    prefix = keys_of(store)
    return sorted(key.decode().removeprefix(prefix) for key in raw.scan_iter(match=f"{prefix}*", count=1000))


def kinds_of_index(raw: redis.Redis, store: RedisStore) -> list[str]:
    prefix = f"{keys_of(store)}i:"
    names = [name.decode() for name in raw.execute_command("FT._LIST")]
    return sorted(name.removeprefix(prefix).split(":")[1] for name in names if name.startswith(prefix))


def test_the_least_recently_used_go_when_there_are_too_many(make_store: MakeStore) -> None:
    store = make_store(max_entries=3, clock=TickingClock())
    for number in range(3):
        store.put(make_entry(f"q{number}"))
    get(store, "q0", now=NOW + 100)
    for number in range(3, 5):
        store.put(make_entry(f"q{number}"))
    assert kept(store) == ["q0", "q3", "q4"]
    assert sorted(queries(search(store))) == ["q0", "q3", "q4"]


def test_use_is_remembered_across_closing_and_a_hit_through_an_alias_counts(make_store: MakeStore) -> None:
    store = make_store(max_entries=2, clock=TickingClock())
    old = make_entry("old")
    store.put(old)
    store.put(make_entry("newer"))
    store.put(make_alias("alias", old))
    get(store, "alias", now=NOW + 100)
    store.close()
    make_store(max_entries=2, clock=TickingClock()).put(make_entry("newest"))
    assert kept(store) == ["newest", "old"]


def test_use_is_written_after_a_thousand_different_hits(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store(clock=TickingClock())
    for number in range(1000):
        store.put(make_entry(f"q{number}", vector=None))
    for number in range(1000):
        get(store, f"q{number}", now=NOW + 2000)
    assert raw.zcount(f"{keys_of(store)}used", NOW + 2000, "+inf") == 1000


def test_bytes_are_limited_too(make_store: MakeStore) -> None:
    store = make_store(max_bytes=40_000, clock=TickingClock())
    for number in range(30):
        store.put(make_entry(f"q{number}", answer=Answer("x" * 1500)))
        assert store.size().bytes <= 40_000
    assert len(kept(store)) >= 8
    assert "q29" in kept(store)


def test_nothing_of_removed_entries_is_left_but_the_memory_of_their_removal(
    make_store: MakeStore, raw: redis.Redis
) -> None:
    store = make_store()
    for number in range(3):
        entry = make_entry(f"q{number}", labels=frozenset({"x", f"l{number}"}))
        store.put(entry)
        store.put(make_alias(f"alias {number}", entry))
    store.delete(Selector(frozenset({"x"})))
    assert keys(raw, store) == ["log", "log-at", "meta"]


def test_entries_and_aliases_expire_in_redis_and_nothing_else_does(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    entry = make_entry("q", expires_at=NOW + HOUR_S, labels=frozenset({"x"}))
    store.put(entry)
    store.put(make_entry("exact only", vector=None))
    store.put(make_alias("alias", entry))
    store.delete(Selector(frozenset({"y", "z"})))
    for key in keys(raw, store):
        ttl_ms = raw.pttl(f"{keys_of(store)}{key}")
        if key[:2] in ("e:", "x:", "a:"):
            assert HOUR_S * 900 < ttl_ms <= HOUR_S * 1000
        else:
            assert ttl_ms == -1, key


def test_every_key_has_the_shards_hash_tag_and_so_has_the_index(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    entry = make_entry("q", labels=frozenset({"x"}))
    before = set(raw.keys())
    store.put(entry)
    store.put(make_alias("alias", entry))
    get(store, "q")
    search(store)
    assert all(f"{{{store.shard}}}".encode() in key for key in set(raw.keys()) - before)
    assert f"e:{make_address('q').exact}" in keys(raw, store)
    assert kinds_of_index(raw, store) == ["flat"]


def test_what_redis_evicted_by_itself_leaves_the_books_in_time(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    for number in range(8):
        store.put(make_entry(f"q{number}"))
        raw.delete(f"{keys_of(store)}e:{make_address(f'q{number}').exact}")
    for number in range(40):
        store.put(make_entry("another", similarity=number / 50))
    assert store.size().entries == 1


def test_expired_entries_do_not_take_the_places_of_live_ones(make_store: MakeStore) -> None:
    store = make_store()
    for number in range(30):
        store.put(make_entry(f"old {number}", similarity=0.99, expires_at=NOW + 10))
    store.put(make_entry("young", similarity=0.5))
    assert queries(search(store, k=2, now=NOW + 10)) == ["young"]


def test_half_precision_takes_half_the_room_and_is_of_the_shard_not_of_the_client(
    make_store: MakeStore, raw: redis.Redis
) -> None:
    store = make_store(dtype="float16")
    vector = np.random.default_rng(7).standard_normal(384).astype(np.float32)
    vector /= np.linalg.norm(vector)
    store.put(make_entry("q", vector=vector))
    assert raw.hstrlen(f"{keys_of(store)}e:{make_address('q').exact}", "v") == 2 * 384
    (found,) = search(make_store(), vector)
    assert found.similarity == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ConfigError, match="float16"):
        make_store(dtype="float32").open()


def test_the_index_becomes_a_graph_once_there_are_many_and_no_search_misses_meanwhile(
    own_node: RedisNode,
) -> None:
    stores = [RedisStore(own_node.url, hnsw_from=20, clock=lambda: NOW, timeout_s=20.0) for _ in range(3)]
    store, other, late = stores
    raw = redis.Redis(port=own_node.port)
    seen: list[list[str]] = []
    number = 0
    while ["hnsw"] not in seen:  # the server takes in what is there while it serves
        number += 1
        assert number < 50_000
        store.put(make_entry(f"q{number}", similarity=0.2 + number / 100_000))
        if number % 16 == 0:
            seen.append(kinds_of_index(raw, store))
            assert queries(search(store, k=1)) == [f"q{number}"]
            assert queries(search(other, k=1)) == [f"q{number}"]
    assert [kinds for at, kinds in enumerate(seen) if kinds not in seen[:at]] == [["flat"], ["flat", "hnsw"], ["hnsw"]]
    assert queries(search(late, k=1)) == [f"q{number}"]
    assert store.recreated_indexes == other.recreated_indexes == 0
    raw.close()
    for one in stores:
        one.close()


def test_emptying_a_shard_drops_its_index_too(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    for number in range(300):
        store.put(make_entry(f"q{number}", labels=frozenset({f"l{number}"})))
    assert store.delete(Selector()) == 300
    assert kinds_of_index(raw, store) == []
    assert keys(raw, store) == ["log", "log-at", "meta"]


def test_old_invalidations_are_forgotten_and_it_is_known_since_when(make_store: MakeStore) -> None:
    clock = TickingClock()
    store = make_store(clock=clock)
    store.delete(Selector(frozenset({"x"})))
    store.delete(Selector(frozenset({"x", "y"})))
    clock.now += 61 * 24 * HOUR_S
    store.delete(Selector(frozenset({"z"})))
    state = store.epochs()
    assert dict(state.invalidations) == {Selector(frozenset({"z"})): 3}
    assert state.complete_since == 2
    assert store.put(make_entry("q", labels=frozenset({"x"}), epoch=0)) is True


def test_an_invalidation_holds_though_removing_was_cut_short(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    entry = make_entry("q", labels=frozenset({"x", "y"}))
    for selector in (Selector(frozenset({"x"})), Selector(frozenset({"x", "y"})), Selector(created_before=NOW + 1)):
        epoch = get(store, "q").epoch
        store.put(make_entry("q", labels=entry.labels, epoch=epoch))
        store.put(make_alias("alias", entry))
        saved = {key: raw.dump(key) for key in raw.scan_iter(match=f"{keys_of(store)}[ea]:*", count=1000)}
        store.delete(selector)
        for key, value in saved.items():
            raw.restore(key, 0, value)
        assert get(store, "q").entry is None, selector
        assert get(store, "alias").entry is None, selector
        assert list(store.scan()) == []


@pytest.mark.parametrize("number", [0, 1])
def test_vectors_of_any_contents_are_searched(make_store: MakeStore, number: int) -> None:
    store = make_store()
    vector: Any = make_vector() if number else np.zeros(8, np.float32)
    store.put(make_entry("q", vector=vector))
    assert all(0.0 <= candidate.similarity <= 1.0 for candidate in search(store))
