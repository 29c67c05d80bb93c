"""A ring of real Redis servers: a fourth joins under the eyes of clients, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from semroute.entry import Entry, Selector
from semroute.errors import ConfigError
from semroute.stores.rebalance import Progress, rebalance
from semroute.stores.redis import RedisStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.entries import EMBEDDER, NOW
from semroute.testing.redis_stack import RedisNode, redis_stack

from .fleets import address_of, entry_of

if TYPE_CHECKING:
    from semroute.entry import FloatVector

PROMPTS = [f"prompt {number}" for number in range(400)]

Open = Callable[..., ShardedStore]


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes by the former list."""
    monkeypatch.setattr("semroute.stores.rebalance.GRACE_S", 0.0)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[RedisNode]]:
    with redis_stack(4) as nodes:
        yield nodes


@pytest.fixture
def nodes(servers: list[RedisNode]) -> list[RedisNode]:
    """Four servers with nothing on them."""
    import redis

    for node in servers:
        client = redis.Redis.from_url(node.url)
        client.flushall()
        client.close()
    return servers


@pytest.fixture
def ring(nodes: list[RedisNode]) -> Iterator[Open]:
    """Open one more client of some of the servers, or of the URLs that are given."""
    made: list[ShardedStore] = []

    def make(*which: int | str, clock: Callable[[], float] = lambda: NOW, **options: Any) -> ShardedStore:
        urls = [one if isinstance(one, str) else nodes[one].url for one in which]
        settings: dict[str, Any] = {"clock": clock, "timeout_s": 20.0, "connect_timeout_s": 20.0}
        made.append(
            ShardedStore([RedisStore(url, **settings) for url in urls], places=urls, deadline_s=None, **options)
        )
        return made[-1]

    yield make
    for store in made:
        store.close()


def vector_of(number: int) -> FloatVector:
    vector = np.random.default_rng(number).standard_normal(8).astype(np.float32)
    unit: FloatVector = vector / np.linalg.norm(vector)
    return unit


def fill(store: ShardedStore) -> list[Entry]:
    entries = [
        entry_of(prompt, vector=vector_of(number) if number % 4 else None, labels=frozenset({f"l{number % 7}"}))
        for number, prompt in enumerate(PROMPTS)
    ]
    assert all(store.put(entry) for entry in entries)
    return entries


def found(store: ShardedStore) -> set[str]:
    return {prompt for prompt in PROMPTS if store.get(address_of(prompt), now=NOW).entry is not None}


def counts(store: ShardedStore) -> dict[str, int]:
    return {name: sum(1 for _ in shard.scan()) for name, shard in store.stores.items()}


def run(store: ShardedStore) -> Progress:
    *_, last = rebalance(store, clock=lambda: NOW)
    return last


def test_a_fourth_server_gets_its_share_and_nothing_is_lost(ring: Open) -> None:
    three = ring(0, 1, 2)
    fill(three)
    before = counts(three)
    assert sum(before.values()) == len(PROMPTS)
    store = ring(0, 1, 2, 3)
    store.adopt_list()
    assert found(ring(3, 2, 1, 0)) == set(PROMPTS)
    progress = run(store)
    owned = sum(store.ring.owner(address_of(prompt).shard) == "s03" for prompt in PROMPTS)
    after = counts(store)
    assert (progress.failed, progress.is_done) == (0, True)
    assert after["s03"] == owned > 0
    assert {name: before[name] - after[name] for name in before} == {
        name: sum(
            three.ring.owner(address_of(prompt).shard) == name and store.ring.owner(address_of(prompt).shard) == "s03"
            for prompt in PROMPTS
        )
        for name in before
    }
    assert found(store) == set(PROMPTS)


def test_what_was_moved_is_found_by_meaning_and_by_label(ring: Open) -> None:
    fill(ring(0, 1, 2))
    store = ring(0, 1, 2, 3)
    store.adopt_list()
    assert run(store).is_done
    for number, prompt in enumerate(PROMPTS):
        if number % 4:
            near = store.search(address_of(prompt, "other"), vector_of(number), embedder=EMBEDDER, k=1, now=NOW)
            assert [candidate.id for candidate in near] == [address_of(prompt).exact]
    selected = sum(number % 7 == 3 for number in range(len(PROMPTS)))
    assert store.delete(Selector(frozenset({"l3"}))) == selected
    assert len(found(store)) == len(PROMPTS) - selected


def test_a_rebalance_that_was_killed_half_way_is_taken_up_again(ring: Open) -> None:
    fill(ring(0, 1, 2))
    store = ring(0, 1, 2, 3)
    store.adopt_list()
    steps = rebalance(store, clock=lambda: NOW)
    assert next(progress for progress in steps if progress.moved).is_done is False
    steps.close()
    store.close()
    resumed = ring(0, 1, 2, 3)
    assert found(resumed) == set(PROMPTS)
    assert run(resumed).is_done
    assert sum(counts(resumed).values()) == len(PROMPTS)


def test_a_command_that_is_killed_and_run_again_ends_with_every_entry_in_its_place(
    ring: Open, nodes: list[RedisNode]
) -> None:
    store = ring(0, 1, 2, clock=time.time)
    expires_at = time.time() + 3600
    assert all(store.put(entry_of(prompt, created_at=time.time(), expires_at=expires_at)) for prompt in PROMPTS)
    grown = ring(0, 1, 2, 3, clock=time.time)
    grown.adopt_list()
    urls = [part for node in nodes for part in ("--store", node.url)]
    command = [sys.executable, "-c", "from semroute.cli.main import main; main()", "ring", "rebalance", *urls]
    came = grown.stores["s03"]
    assert isinstance(came, RedisStore)
    with subprocess.Popen([*command, "--rate", "100"], stdout=subprocess.DEVNULL) as slow:
        while came.size().entries < 5:
            assert slow.poll() is None
        slow.kill()
    assert came.size().entries < sum(grown.ring.owner(address_of(prompt).shard) == "s03" for prompt in PROMPTS)
    told = subprocess.run([*command, "--json"], check=True, capture_output=True)
    figures = json.loads(told.stdout)
    assert (figures["failed"], figures["is_done"]) == (0, True)
    assert sum(counts(grown).values()) == len(PROMPTS)
    assert all(
        name == grown.ring.owner(entry.address.shard) for name, shard in grown.stores.items() for entry in shard.scan()
    )


async def test_both_faces_fall_back_and_copy_forward(ring: Open) -> None:
    fill(ring(0, 1, 2))
    store = ring(0, 1, 2, 3)
    store.adopt_list()
    for prompt in PROMPTS:
        assert (await store.aget(address_of(prompt), now=NOW)).entry is not None
    owned = sum(store.ring.owner(address_of(prompt).shard) == "s03" for prompt in PROMPTS)
    assert counts(store)["s03"] == owned
    await store.aclose()


def test_one_server_under_two_host_names_is_one_shard(ring: Open, nodes: list[RedisNode]) -> None:
    names = [nodes[0].url, nodes[1].url.replace("127.0.0.1", "localhost")]
    fill(ring(0, 1))
    assert found(ring(*names)) == set(PROMPTS)
    with pytest.raises(ConfigError, match="are one and the same shard, s01: give it once"):
        ring(0, 1, names[1]).open()


def test_a_client_with_another_list_refuses_to_write(ring: Open) -> None:
    fill(ring(0, 1, 2))
    store = ring(0, 1)
    with pytest.raises(ConfigError, match="the list that they keep"):
        store.put(entry_of("new"))
    assert 0 < len(found(store)) < len(PROMPTS)


def test_a_server_that_restarts_empty_has_its_name_again(ring: Open) -> None:
    with redis_stack(2) as two:
        urls = [node.url for node in two]
        store = ring(*urls, failures_to_open=100)
        fill(store)
        two[1].restart()
        for _ in range(3):
            found(store)
        fill(store)
        assert found(store) == set(PROMPTS)
        again = ring(*urls)
        assert found(again) == set(PROMPTS)
        assert dict(again.places) == {"s00": urls[0], "s01": urls[1]}
        store.close()
        again.close()
