from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import EMBEDDER, NOW, make_address, make_entry, make_vector

pytestmark = pytest.mark.alone


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path / "answers.db", clock=lambda: NOW)
    yield store
    store.close()


class Probe:
    """Notes which threads a store works in."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def __call__(self, statement: str) -> None:
        self.threads.append(threading.get_ident())


async def test_first_use_and_writes_happen_in_another_thread_and_warm_reads_on_the_loop(store: EmbeddedStore) -> None:
    here = threading.get_ident()
    probe = Probe()
    open_one = store._pool._opener.first

    def first(*, is_suspect: bool) -> sqlite3.Connection:
        probe("open")
        connection = open_one(is_suspect=is_suspect)
        connection.set_trace_callback(probe)
        return connection

    store._pool._opener.first = first  # type: ignore[assignment, method-assign]  # to listen in on it

    async def threads_of(call: object) -> set[int]:
        probe.threads.clear()
        await call  # type: ignore[misc]  # any awaitable
        return set(probe.threads)

    def asked() -> object:
        return store.asearch(make_address("asked"), make_vector(), embedder=EMBEDDER, k=1, now=NOW)

    assert here not in await threads_of(store.aget(make_address("q"), now=NOW))
    assert here not in await threads_of(store.aput(make_entry("q")))
    assert await threads_of(store.aget(make_address("q"), now=NOW)) == {here}
    loading = await threads_of(asked())
    assert loading - {here}
    assert await threads_of(asked()) == {here}


async def test_many_rows_that_another_process_wrote_are_loaded_in_another_thread(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    await store.aput(make_entry("first"))
    await store.asearch(make_address("asked"), make_vector(), embedder=EMBEDDER, k=1, now=NOW)
    where = make_address("asked").partition
    assert store._vectors.search_instantly(where, make_vector(), embedder=EMBEDDER, k=1, now=NOW) is not None
    other = EmbeddedStore(tmp_path / "answers.db", clock=lambda: NOW)
    for number in range(300):
        other.put(make_entry(f"q{number}"))
    other.close()
    assert store._vectors.search_instantly(where, make_vector(), embedder=EMBEDDER, k=1, now=NOW) is None
    found = await store.asearch(make_address("asked"), make_vector(), embedder=EMBEDDER, k=500, now=NOW)
    assert len(found) == 301


async def test_closing_ends_the_stores_threads(store: EmbeddedStore) -> None:
    await store.aput(make_entry("q"))
    assert any(thread.name.startswith("semroute-store") for thread in threading.enumerate())
    await store.aclose()
    assert not any(thread.name.startswith("semroute-store") for thread in threading.enumerate())


async def test_a_put_that_waits_for_a_lock_does_not_hold_up_the_loop(store: EmbeddedStore, tmp_path: Path) -> None:
    await store.aput(make_entry("q"))
    other = sqlite3.connect(tmp_path / "answers.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waiting = asyncio.create_task(store.aput(make_entry("p")))
    found = await store.aget(make_address("q"), now=NOW)
    assert found.entry is not None
    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    assert await waiting is True


async def test_no_turn_of_the_loop_takes_over_5_ms_while_many_lookups_run(store: EmbeddedStore) -> None:
    vectors = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in enumerate(vectors):
        store.put(make_entry(f"q{number}", vector=vector))
    await store.asearch(make_address("asked"), vectors[0], embedder=EMBEDDER, k=5, now=NOW)
    turns_s: list[float] = []

    async def watch() -> None:
        while True:
            # Processor time of this thread: a slice lost to another process is not our stall, and that nothing
            # here waits for a lock is the test above.
            started = time.thread_time()
            await asyncio.sleep(0)
            turns_s.append(time.thread_time() - started)

    async def look_up(number: int) -> None:
        await store.aget(make_address(f"q{number}"), now=NOW)
        await asyncio.sleep(0)
        await store.asearch(make_address("asked"), vectors[number], embedder=EMBEDDER, k=5, now=NOW)

    gc.collect()
    gc.disable()  # what other tests have left in memory is not ours to wait for
    watcher = asyncio.create_task(watch())
    try:
        for number in range(50):
            await look_up(number)
    finally:
        watcher.cancel()
        gc.enable()
    assert len(turns_s) >= 40
    assert max(turns_s) < 0.005


async def test_a_cancelled_put_leaves_a_usable_store(store: EmbeddedStore) -> None:
    await store.aput(make_entry("q"))
    put = asyncio.create_task(store.aput(make_entry("p")))
    await asyncio.sleep(0)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert await store.aput(make_entry("r")) is True
    assert {entry.query async for entry in store.ascan()} >= {"q", "r"}
