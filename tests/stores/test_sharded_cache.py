"""A cache on a sharded store: what its users see when a shard dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from semroute import Hit, Miss, Request, SemanticCache
from semroute.result import Stored
from semroute.testing.clock import FakeClock
from semroute.testing.entries import NOW

from .fleets import Cluster

MakeCache = Callable[..., SemanticCache]
SYSTEMS = [f"You are assistant number {number}." for number in range(24)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def make_fleet_cache(make_cache: MakeCache, cluster: Cluster) -> MakeCache:
    """Make caches on the shards of one cluster."""
    return lambda **options: make_cache(cluster.client(**options), clock=FakeClock(NOW), write="now")


def request_for(cache: SemanticCache, system: str) -> Request:
    return cache.request("Which ports are open?", system=system)


def fill(cache: SemanticCache) -> None:
    for system in SYSTEMS:
        assert isinstance(cache.update(request_for(cache, system), f"the answer of {system}"), Stored)


def hits(cache: SemanticCache) -> set[str]:
    """Return the systems whose question is a hit, after checking that each has its own answer."""
    found = {system: cache.lookup(request_for(cache, system)) for system in SYSTEMS}
    for system, result in found.items():
        assert not isinstance(result, Hit) or result.answer.text == f"the answer of {system}"
    return {system for system, result in found.items() if isinstance(result, Hit)}


def test_a_dead_shard_costs_its_own_part_and_the_rest_stays_a_hit(
    make_fleet_cache: MakeCache, cluster: Cluster
) -> None:
    cache = make_fleet_cache()
    fill(cache)
    lost = {entry.id for entry in cluster.servers["s1"].store.scan()}
    assert 0 < len(lost) < len(SYSTEMS)
    cluster.kill("s1")
    for _ in range(3):
        found = hits(cache)
        assert len(found) == len(SYSTEMS) - len(lost)
        for system in set(SYSTEMS) - found:
            assert not isinstance(cache.update(request_for(cache, system), "again"), Stored)


def test_a_lookup_on_a_dead_shard_is_a_miss_that_names_it(make_fleet_cache: MakeCache, cluster: Cluster) -> None:
    cache = make_fleet_cache()
    fill(cache)
    cluster.kill("s1")
    missed = [cache.lookup(request_for(cache, system)) for system in set(SYSTEMS) - hits(cache)]
    assert missed
    for result in missed:
        assert isinstance(result, Miss)
        assert "s1: " in result.explanation.reason


def test_with_two_replicas_every_question_stays_a_hit(make_fleet_cache: MakeCache, cluster: Cluster) -> None:
    cache = make_fleet_cache(replicas=2)
    fill(cache)
    for name in cluster.servers:
        cluster.kill(name)
        assert hits(cache) == set(SYSTEMS)
        cluster.start(name)
        for _ in range(5):
            hits(cache)
            cluster.clock.advance(10)


def test_it_recovers_by_itself_and_serves_nothing_that_was_refused_meanwhile(
    make_fleet_cache: MakeCache, cluster: Cluster
) -> None:
    cache = make_fleet_cache()
    fill(cache)
    wrong = cache.lookup(request_for(cache, SYSTEMS[0]))
    assert isinstance(wrong, Hit)
    assert wrong.explanation.hit_id is not None
    owner = next(name for name, server in cluster.servers.items() if holds(server.store, wrong.explanation.hit_id))
    cluster.kill(owner)
    assert cache.feedback(wrong.explanation.hit_id, correct=False) == 0
    cluster.start(owner)
    for _ in range(5):
        assert SYSTEMS[0] not in hits(cache)
        cluster.clock.advance(10)
    assert hits(cache) == set(SYSTEMS[1:])


def holds(store: object, entry_id: str) -> bool:
    return any(entry.id == entry_id for entry in store.scan())  # type: ignore[attr-defined]  # an EmbeddedStore
