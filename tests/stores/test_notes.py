"""What a store keeps beside its entries as a shard, and how a moved entry leaves it: files, memory and Redis."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semroute.entry import Selector
from semroute.errors import ConfigError
from semroute.stores import Moving, Notes
from semroute.stores._fleet.membership import Members, Papers, free_names, read_papers, write_papers
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.redis import RedisStore
from semroute.testing.entries import NOW, make_address, make_alias, make_entry
from semroute.testing.redis_stack import RedisNode

from .test_sqlite_epochs import TO_VERSION_1

MakeStore = Callable[[], Any]


@pytest.fixture(params=["file", "redis"])
def make(
    request: pytest.FixtureRequest, tmp_path: Path, redis_node: RedisNode, new_shard: Callable[[], str]
) -> Iterator[MakeStore]:
    """Make handles on one store."""
    made: list[Any] = []
    shard = new_shard()

    def open_one() -> Any:
        if request.param == "file":
            made.append(EmbeddedStore(tmp_path / "a.db", clock=lambda: NOW))
        else:
            settings: dict[str, Any] = {"shard": shard, "timeout_s": 20.0, "connect_timeout_s": 20.0}
            made.append(RedisStore(redis_node.url, clock=lambda: NOW, **settings))
        return made[-1]

    yield open_one
    for store in made:
        store.close()


def test_a_note_is_kept_for_everybody_and_for_later(make: MakeStore) -> None:
    store = make()
    assert isinstance(store, Notes)
    assert store.note() is None
    assert store.keep_note("first — ☂", instead_of=None)
    assert make().note() == "first — ☂"
    store.close()
    assert store.note() == "first — ☂"


def test_of_two_that_write_at_once_the_first_wins(make: MakeStore) -> None:
    one, other = make(), make()
    assert one.keep_note("first", instead_of=None)
    assert not other.keep_note("second", instead_of=None)
    assert not other.keep_note("second", instead_of="another")
    assert other.note() == "first"
    assert other.keep_note("second", instead_of="first")
    assert one.note() == "second"


async def test_the_asynchronous_face_does_the_same(make: MakeStore) -> None:
    store = make()
    assert await store.anote() is None
    assert await store.akeep_note("a", instead_of=None)
    assert not await store.akeep_note("b", instead_of=None)
    assert await store.anote() == "a"
    entry = make_entry()
    await store.aput(entry)
    assert await store.adrop(entry.address, created_at=NOW)
    assert (await store.aget(entry.address, now=NOW)).entry is None
    await store.aclose()


def test_a_note_outlives_every_invalidation(make: MakeStore) -> None:
    store = make()
    store.keep_note("kept", instead_of=None)
    store.put(make_entry())
    store.delete(Selector())
    assert store.note() == "kept"
    assert make().note() == "kept"


def test_what_is_dropped_is_gone_with_its_aliases_and_nothing_is_remembered_of_it(make: MakeStore) -> None:
    store = make()
    assert isinstance(store, Moving)
    entry = make_entry(labels=frozenset({"label"}))
    store.put(entry)
    store.put(make_entry("another"))
    store.put(make_alias("again", entry))
    epoch = store.epochs().epoch
    assert store.drop(entry.address, created_at=NOW)
    assert store.get(entry.address, now=NOW).entry is None
    assert store.get(make_address("again"), now=NOW).entry is None
    assert (store.size().entries, store.size().aliases) == (1, 0)
    assert store.epochs().epoch == epoch
    assert store.put(entry)


def test_a_newer_entry_of_the_same_key_is_not_dropped(make: MakeStore) -> None:
    store = make()
    entry = make_entry(created_at=NOW + 0.1234567)
    store.put(entry)
    assert not store.drop(entry.address, created_at=NOW)
    assert not store.drop(make_address("unknown"), created_at=NOW)
    assert store.drop(entry.address, created_at=NOW + 0.1234567)


def test_a_file_of_an_earlier_schema_can_keep_a_note(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "old.db", clock=lambda: NOW)
    store.open()
    store.close()
    connection = sqlite3.connect(tmp_path / "old.db")
    connection.executescript(TO_VERSION_1 + "DROP TABLE note;")
    connection.close()
    assert store.note() is None
    assert store.keep_note("new", instead_of=None)
    store.close()


class TestPapers:
    def test_they_come_back_as_they_were(self) -> None:
        members = Members("fleet", 3, {"s00": 1.0, "s01": 2.5}, ({"s00": 1.0},))
        for papers in (Papers("uid", "s00", members), Papers("uid", "s00"), Papers("uid", "s00", members, True)):
            assert read_papers(write_papers(papers)) == papers

    @pytest.mark.parametrize(
        "text",
        [
            *(None, "", "{", "[]", "7", '{"v": 1}', '{"v": 1, "uid": "u", "name": "no name!", "fleet": null}'),
            '{"v": 1, "uid": "u", "name": "s00", "fleet": {"id": "f", "epoch": "x", "weights": {"a": 1}}}',
            '{"v": 1, "uid": "u", "name": "s00", "fleet": {"id": "f", "epoch": 1, "weights": {}, "former": []}}',
        ],
    )
    def test_what_is_damaged_counts_as_none(self, text: str | None) -> None:
        assert read_papers(text) is None

    def test_those_of_a_newer_release_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="format version 2, this release reads 1: upgrade"):
            read_papers('{"v": 2}')

    def test_free_names_leave_out_what_is_taken(self) -> None:
        names = iter(free_names(["s00", "s02"]))
        assert [next(names) for _ in range(3)] == ["s01", "s03", "s04"]
