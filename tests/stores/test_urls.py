"""Several stores by URL: a cache on a ring, its settings, and what it tells of its shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from semroute import Hit, SemanticCache
from semroute.config import Settings
from semroute.errors import ConfigError
from semroute.result import Stored
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.stores.urls import place_of
from semroute.telemetry import Event, StateEvent
from semroute.testing.embedders import HashEmbedder
from semroute.testing.stores import SHARD_OPERATIONS, FailingShard

SYSTEMS = [f"You are assistant number {number}." for number in range(30)]


class Heard:
    def __init__(self) -> None:
        self.states: list[StateEvent] = []

    def on(self, event: Event) -> None:
        if isinstance(event, StateEvent):
            self.states.append(event)


def urls(folder: Path, names: str) -> list[str]:
    return [f"sqlite:///{folder / name}.db" for name in names]


def fill(cache: SemanticCache) -> None:
    for system in SYSTEMS:
        assert isinstance(cache.update(cache.request("Which ports?", system=system), f"those of {system}"), Stored)


def hits(cache: SemanticCache) -> int:
    return sum(isinstance(cache.lookup(cache.request("Which ports?", system=system)), Hit) for system in SYSTEMS)


def test_several_urls_open_a_sharded_store_and_another_cache_finds_the_answers(tmp_path: Path) -> None:
    with SemanticCache(*urls(tmp_path, "abc"), embedder=HashEmbedder(), replicas=2) as cache:
        fill(cache)
        assert isinstance(cache.store, ShardedStore)
        assert cache.store.replicas == 2
    with SemanticCache(*reversed(urls(tmp_path, "abc")), embedder=HashEmbedder(), replicas=2) as again:
        assert hits(again) == len(SYSTEMS)


def test_one_url_stays_one_store(tmp_path: Path) -> None:
    assert isinstance(SemanticCache(*urls(tmp_path, "a")).store, EmbeddedStore)


def test_nothing_is_opened_before_the_first_call(tmp_path: Path) -> None:
    SemanticCache(*urls(tmp_path, "ab"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stores", "settings", "message"),
    [
        (["memory://"], {"replicas": 2}, "replicas=2 need as many stores"),
        (["memory://", "memory://"], {"replicas": 3}, "3 replicas need as many shards"),
        (["memory://", "mongodb://x"], {}, "mongodb"),
        ([None, "memory://"], {}, "the first of several stores is None"),
        ([], {"replicas": 0}, "replicas must be a whole number between 1 and 64"),
        ([["memory://", "memory://"]], {}, "give several stores one after the other"),
    ],
)
def test_what_cannot_be_a_ring_is_refused(stores, settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SemanticCache(*stores, **settings)


def test_one_file_under_two_spellings_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is given twice"):
        SemanticCache(f"sqlite:///{tmp_path}/a.db", tmp_path / "a.db")


@pytest.mark.parametrize(
    ("text", "stores"),
    [
        ("memory://", ("memory://",)),
        ("redis://a:6379,redis://b:6379", ("redis://a:6379", "redis://b:6379")),
        (
            "redis://a:6379, rediss://u:p@b:6379\n sqlite:///x.db",
            ("redis://a:6379", "rediss://u:p@b:6379", "sqlite:///x.db"),
        ),
        ("redis+sentinel://a:1,b:2/main", ("redis+sentinel://a:1,b:2/main",)),
        ("redis+sentinel://a:1,b:2/one,redis://c", ("redis+sentinel://a:1,b:2/one", "redis://c")),
        ("/var/lib/my app/a,b.db", ("/var/lib/my app/a,b.db",)),
    ],
)
def test_the_environment_may_name_several_stores(text: str, stores: tuple[str, ...]) -> None:
    assert Settings.load(environment={"SEMROUTE_STORE": text}).stores == stores


def test_a_file_may_name_several_stores_and_replicas(tmp_path: Path) -> None:
    file = tmp_path / "semroute.toml"
    file.write_text('store = ["memory://", "memory://"]\nreplicas = 2\n', encoding="utf-8")
    settings = Settings.load(environment={}, file=file)
    assert settings.stores == ("memory://", "memory://")
    store = SemanticCache(settings=settings).store
    assert isinstance(store, ShardedStore)
    assert store.replicas == 2


def test_a_list_in_which_something_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="store must be a URL, or a list of them"):
        Settings(store=("memory://", 7))  # type: ignore[arg-type]  # what is being tested


def test_a_place_is_told_without_credentials() -> None:
    assert place_of("rediss://someone:secret@cache.example:6380") == "rediss://cache.example:6380"
    assert place_of("redis://a?shard=tokyo") == "redis://a:6379?shard=tokyo"
    assert place_of("memory://") == "memory://"


def test_breakers_of_shards_are_heard_as_events(tmp_path: Path) -> None:
    shards = [FailingShard(EmbeddedStore(tmp_path / f"{name}.db")) for name in "ab"]
    heard = Heard()
    with SemanticCache(*shards, embedder=HashEmbedder(), listeners=[heard]) as cache:
        fill(cache)
        shards[1].failing = SHARD_OPERATIONS
        found = hits(cache)
        assert 0 < found < len(SYSTEMS)
        assert [(event.part, event.state) for event in heard.states] == [("shard s01", "open")]
        assert "it is broken" in heard.states[0].reason
        shards[1].failing = frozenset()


def test_the_langchain_cache_takes_several_urls_too(tmp_path: Path) -> None:
    from langchain_semroute import SemrouteCache

    with SemanticCache(*urls(tmp_path, "ab"), embedder=HashEmbedder()) as core:
        fill(core)
    cache = SemrouteCache(*urls(tmp_path, "ab"), embedder=HashEmbedder())
    assert isinstance(cache.core.store, ShardedStore)
    assert hits(cache.core) == len(SYSTEMS)
    cache.core.close()
