"""Shards that name themselves, under the public suite of stores, and many clients that come at once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.entries import NOW

from .fleets import PROMPTS, SharedFilesSuite, address_of, entry_of

FILES = ("a", "b", "c", "d")


def opened(folder: Path, order: tuple[str, ...], replicas: int = 1) -> ShardedStore:
    stores = [EmbeddedStore(folder / f"{name}.db", clock=lambda: NOW) for name in order]
    return ShardedStore(stores, places=order, replicas=replicas, deadline_s=60.0)


class Suite(SharedFilesSuite):
    """Each client gives the files in an order of its own."""

    def opened(self, folder: Path, number: int) -> ShardedStore:
        order = random.Random(number).sample(FILES[:3], 3)
        return opened(folder, tuple(order), self.replicas)


class TestOneReplica(Suite):
    pass


class TestTwoReplicas(Suite):
    replicas = 2


def names_by_file(folder: str, seed: int) -> dict[str, str]:
    order = tuple(random.Random(seed).sample(FILES, len(FILES)))
    store = opened(Path(folder), order)
    try:
        store.put(entry_of(f"prompt of {seed}"))
        return {place: name for name, place in store.places.items()}
    finally:
        store.close()


def test_processes_that_found_a_fleet_at_once_agree_on_every_name(tmp_path: Path) -> None:
    with get_context("spawn").Pool(4) as pool:
        named = pool.starmap(names_by_file, [(str(tmp_path), seed) for seed in range(8)])
    assert all(names == named[0] for names in named)
    store = opened(tmp_path, FILES)
    for seed in range(8):
        assert store.get(address_of(f"prompt of {seed}"), now=NOW).entry is not None
    store.close()


def test_threads_that_use_a_new_fleet_at_once_agree_with_each_other(tmp_path: Path) -> None:
    store = opened(tmp_path, FILES)
    start = threading.Barrier(8)

    def put(number: int) -> bool:
        start.wait()
        return all(store.put(entry_of(prompt)) for prompt in PROMPTS[number::8])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(put, range(8)))
    assert store.disagreement == ""
    other = opened(tmp_path, tuple(reversed(FILES)))
    for one in (store, other):
        assert all(one.get(address_of(prompt), now=NOW).entry is not None for prompt in PROMPTS)
        one.close()


def test_many_clients_that_adopt_the_same_list_at_once_end_with_it(tmp_path: Path) -> None:
    small = opened(tmp_path, FILES[:3])
    assert all(small.put(entry_of(prompt)) for prompt in PROMPTS)
    clients = [opened(tmp_path, FILES) for _ in range(4)]
    start = threading.Barrier(4)

    def adopt(client: ShardedStore) -> None:
        start.wait()
        client.adopt_list()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(adopt, clients))
    for client in clients:
        assert client.disagreement == ""
        assert all(client.get(address_of(prompt), now=NOW).entry is not None for prompt in PROMPTS)
        client.close()
    small.close()
