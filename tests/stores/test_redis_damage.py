"""What a Redis store makes of keys, hashes and indexes that somebody else wrote."""

from __future__ import annotations

import pytest
import redis

from semroute.entry import Selector
from semroute.errors import ConfigError, StoreError
from semroute.testing.entries import make_address, make_alias, make_entry
from semroute.testing.store_suite import get, queries, search

from .redis_shards import MakeStore, keys_of


@pytest.mark.parametrize("kind", ["string", "hash", "list"])
def test_a_foreign_key_under_our_prefix_is_a_counted_miss_and_gives_way(
    make_store: MakeStore, raw: redis.Redis, kind: str
) -> None:
    store = make_store()
    store.put(make_entry("mine"))
    key = f"{keys_of(store)}e:{make_address('theirs').exact}"
    if kind == "string":
        raw.set(key, "theirs")
    elif kind == "hash":
        raw.hset(key, mapping={"q": "theirs", "p": "theirs"})
    else:
        raw.rpush(key, "theirs")
    assert get(store, "theirs").entry is None
    assert store.damaged_rows == 1
    assert queries(search(store)) == ["mine"]
    assert store.put(make_entry("theirs", similarity=0.5)) is True
    assert queries(search(store)) == ["mine", "theirs"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("d", b"\xff\xfe"),
        ("d", '["a","b",1,2,[]]\n{"v":99,"text":"x"}'),
        ("d", "not json"),
        ("d", "[]\n"),
        ("q", b"\xff\xff"),
        ("x", "soon"),
        ("g", "hand made"),
    ],
)
def test_a_hash_that_was_edited_by_hand_is_a_miss(
    make_store: MakeStore, raw: redis.Redis, field: str, value: bytes | str
) -> None:
    store = make_store()
    store.put(make_entry("q"))
    store.put(make_entry("other", similarity=0.5))
    raw.hset(f"{keys_of(store)}e:{make_address('q').exact}", field, value)
    assert get(store, "q").entry is None
    assert "other" in queries(search(store))
    assert {entry.query for entry in store.scan()} == {"other"}
    assert store.damaged_rows >= (0 if field in ("x", "g") else 1)


def test_a_damaged_alias_is_a_counted_miss(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    entry = make_entry("q")
    store.put(entry)
    store.put(make_alias("alias", entry))
    raw.hset(f"{keys_of(store)}a:{make_address('alias').exact}", "m", "[1")
    assert get(store, "alias").entry is None
    assert store.damaged_rows == 1


def test_an_invalidation_that_an_older_release_noted_is_read_as_one_of_what_is_stored(
    make_store: MakeStore, raw: redis.Redis
) -> None:
    store = make_store()
    store.delete(Selector(frozenset({"x"})))
    (noted,) = raw.zrange(f"{keys_of(store)}log", 0, -1)
    assert noted == b'{"labels":["x"],"before":null}'
    assert store.epochs().invalidations == {Selector(frozenset({"x"})): 1}


def test_metadata_of_another_release_or_of_nobody_are_refused_with_what_to_do(
    make_store: MakeStore, raw: redis.Redis
) -> None:
    first = make_store()
    first.open()
    raw.hset(f"{keys_of(first)}meta", "version", "2")
    with pytest.raises(ConfigError, match="upgrade semroute"):
        make_store().open()
    raw.hset(f"{keys_of(first)}meta", "version", "one")
    with pytest.raises(StoreError, match="delete that key"):
        make_store().open()


def test_an_index_that_somebody_else_made_is_refused(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    store.put(make_entry("q"))
    (name,) = [name for name in raw.execute_command("FT._LIST") if name.startswith(keys_of(store).encode())]
    raw.execute_command("FT.DROPINDEX", name)
    raw.execute_command("FT.CREATE", name, "PREFIX", 1, f"{keys_of(store)}e:", "SCHEMA", "q", "TEXT")
    with pytest.raises(ConfigError, match=r"FT\.DROPINDEX"):
        make_store().open()
