"""Faults, each for real: the request goes on to the model, and never to a wider scope."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from semroute import (
    ConfigError,
    EmbedderError,
    Hit,
    Miss,
    NotStored,
    RouterError,
    SemanticCache,
    Stored,
    StoreError,
    scope,
)
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.clock import FakeClock
from semroute.testing.embedders import FailingEmbedder, HashEmbedder
from semroute.testing.stores import OPERATIONS, FailingStore

MakeCache = Callable[..., SemanticCache]
QUESTION = "How do I reset my password?"
SAME_IN_OTHER_WORDS = "how do i reset my password"
LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


class HeldEmbedder(HashEmbedder):
    """Takes for ever, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.calls = 0

    def embed(self, texts):
        self.calls += 1
        self.may_go_on.wait()
        return super().embed(texts)


@pytest.fixture
def held() -> Iterator[HeldEmbedder]:
    embedder = HeldEmbedder()
    yield embedder
    embedder.may_go_on.set()


@pytest.fixture
def store(clock: FakeClock) -> FailingStore:
    return FailingStore(EmbeddedStore("memory://", clock=clock))


class FailingRouter:
    name = "failing"

    def route(self, request, vector):
        raise RouterError("no idea")


class FailingGuard:
    name = "failing"

    def check(self, query, candidate):
        raise RuntimeError("no idea")


class FailingListener:
    def on(self, event) -> None:
        raise RuntimeError("no idea")


class TestEmbedder:
    async def test_an_embedder_that_raises_is_a_miss_and_the_answer_is_stored_for_the_exact_tier(
        self, face, make_cache: MakeCache
    ) -> None:
        cache = make_cache(embedder=FailingEmbedder())
        miss = await face.lookup(cache, QUESTION)
        assert isinstance(miss, Miss)
        assert "the embedder is broken" in miss.explanation.reason
        assert miss.explanation.failures == (miss.explanation.reason,)
        stored = await face.update(cache, QUESTION, "a")
        assert isinstance(stored, Stored)
        assert not stored.is_semantic
        assert (await face.lookup(cache, QUESTION)).tier == "l1"

    async def test_an_embedder_that_heals_is_used_again(self, face, make_cache: MakeCache) -> None:
        embedder = FailingEmbedder()
        cache = make_cache(embedder=embedder)
        await face.lookup(cache, QUESTION)
        embedder.heal()
        assert (await face.update(cache, QUESTION, "a")).is_semantic
        assert (await face.lookup(cache, SAME_IN_OTHER_WORDS)).tier == "l2"

    async def test_an_embedder_that_takes_for_ever_costs_a_lookup_its_deadline_and_is_then_left_alone(
        self, face, make_cache: MakeCache, held: HeldEmbedder, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = make_cache(embedder=held, embed_deadline_s=0.05)
        cache.key(cache.request(QUESTION))
        began = time.monotonic()
        with caplog.at_level(logging.INFO, "semroute"):
            misses = [await face.lookup(cache, f"{QUESTION} {number}") for number in range(20)]
        took_s = time.monotonic() - began
        assert all(isinstance(miss, Miss) for miss in misses)
        assert "no vector within 0.05 s" in misses[0].explanation.reason
        assert "left alone" in misses[-1].explanation.reason
        assert held.calls <= 3
        assert took_s < 5
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert cache.stats().failures == {"embedder": 3}

    async def test_an_embedder_that_is_left_alone_does_not_keep_the_exact_tier_from_serving(
        self, face, make_cache: MakeCache
    ) -> None:
        cache = make_cache(embedder=FailingEmbedder())
        await face.update(cache, QUESTION, "a")
        for number in range(5):
            await face.lookup(cache, f"What is a ring of {number} stones?")
        assert isinstance(await face.lookup(cache, QUESTION), Hit)

    async def test_a_store_that_another_embedder_made_is_refused_at_start_up_and_missed_at_run_time(
        self, face, make_cache: MakeCache, tmp_path: Path
    ) -> None:
        first = make_cache(tmp_path / "answers.db")
        await face.update(first, QUESTION, "a")
        second = make_cache(tmp_path / "answers.db", embedder=HashEmbedder(seed=1))
        with pytest.raises(ConfigError) as refused:
            second.preload()
        assert "hash-64-0" in str(refused.value)
        assert "hash-64-1" in str(refused.value)
        miss = await face.lookup(second, SAME_IN_OTHER_WORDS)
        assert isinstance(miss, Miss)
        assert "hash-64-0" in miss.explanation.reason
        assert isinstance(await face.update(second, SAME_IN_OTHER_WORDS, "b"), NotStored)
        assert isinstance(await face.lookup(second, QUESTION), Hit)
        assert isinstance(await face.lookup(first, SAME_IN_OTHER_WORDS), Hit)

    def test_preloading_an_embedder_that_fails_raises(self, make_cache: MakeCache) -> None:
        with pytest.raises(EmbedderError, match="the embedder is broken"):
            make_cache(embedder=FailingEmbedder()).preload()


class TestStore:
    @pytest.mark.parametrize("operation", ["open", "get", "search", "put"])
    async def test_no_failing_operation_reaches_the_caller(self, face, make_cache, store, operation: str) -> None:
        store.failing = frozenset({operation})
        cache = make_cache(store)
        for number in range(5):
            assert isinstance(await face.lookup(cache, f"What is a ring of {number} stones?"), Miss)
            assert isinstance(await face.update(cache, QUESTION, "a"), Stored | NotStored)
        assert cache.stats().failures["store"] >= 3

    @pytest.mark.parametrize("operation", sorted(OPERATIONS))
    async def test_a_failing_store_never_serves_what_belongs_to_another_scope(
        self, face, make_cache, store, operation: str
    ) -> None:
        cache = make_cache(store)
        with scope(tenant="a"):
            await face.update(cache, QUESTION, "a's own")
        store.failing = frozenset({operation})
        for names in ({}, {"tenant": "b"}, {"tenant": "a", "user": "u"}):
            with scope(**names):
                for question in (QUESTION, SAME_IN_OTHER_WORDS):
                    assert isinstance(await face.lookup(cache, question), Miss)
        store.failing = frozenset()

    async def test_a_search_that_fails_leaves_the_exact_tier_as_it_is(self, face, make_cache, store) -> None:
        cache = make_cache(store)
        await face.update(cache, QUESTION, "a")
        store.failing = frozenset({"search"})
        for _ in range(5):
            assert isinstance(await face.lookup(cache, SAME_IN_OTHER_WORDS), Miss)
            assert isinstance(await face.lookup(cache, QUESTION), Hit)

    async def test_a_store_that_keeps_failing_is_logged_once_and_left_alone(
        self, face, make_cache, store, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.failing = frozenset({"get", "search", "put"})
        cache = make_cache(store)
        with caplog.at_level(logging.INFO, "semroute"):
            for _ in range(20):
                await face.lookup(cache, QUESTION)
        assert store.calls["get"] + store.calls["search"] == 3
        assert [(record.levelname, record.args[0]) for record in caplog.records] == [("WARNING", "store")]
        assert QUESTION not in caplog.text

    def test_care_is_not_lost_silently(self, make_cache: MakeCache, store: FailingStore) -> None:
        cache = make_cache(store)
        store.failing = frozenset({"delete"})
        for care in (
            lambda: cache.feedback("hit", correct=False),
            lambda: cache.invalidate(tenant="a"),
            cache.clear,
        ):
            with pytest.raises(StoreError, match="delete: it is broken"):
                care()
        assert cache.stats().wrong_reports == 0

    @pytest.fixture
    def locked(self, tmp_path: Path) -> Iterator[Path]:
        path = tmp_path / "answers.db"
        with SemanticCache(path, embedder=HashEmbedder()) as cache:
            cache.update(QUESTION, "a")
        with subprocess.Popen(
            [sys.executable, "-c", LOCKING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout.readline() == "locked\n"
            yield path
            other.stdin.close()

    async def test_a_store_that_another_process_has_locked_is_read_and_not_written(
        self, face, make_cache: MakeCache, locked: Path
    ) -> None:
        cache = make_cache(EmbeddedStore(locked, busy_timeout_s=0.05), clock=time.time)
        assert (await face.lookup(cache, QUESTION)).tier == "l1"
        assert (await face.lookup(cache, SAME_IN_OTHER_WORDS)).tier == "l2"
        refused = await face.update(cache, "What is a ring?", "a")
        assert isinstance(refused, NotStored)
        assert "store failed" in refused.reason

    async def test_a_store_path_that_is_a_folder_is_a_miss_and_an_error_at_start_up(
        self, face, make_cache: MakeCache, tmp_path: Path
    ) -> None:
        cache = make_cache(tmp_path)
        miss = await face.lookup(cache, QUESTION)
        assert isinstance(miss, Miss)
        assert str(tmp_path) in miss.explanation.reason
        assert isinstance(await face.update(cache, QUESTION, "a"), NotStored)
        for start in (cache.preload, lambda: cache.explain(QUESTION)):
            with pytest.raises((StoreError, ConfigError), match=tmp_path.name):
                start()


class TestRouterGuardAndListener:
    async def test_a_router_that_raises_makes_the_gate_strict_and_nothing_else(self, face, make_cache) -> None:
        cache = make_cache(router=FailingRouter())
        await face.update(cache, QUESTION, "a")
        hit = await face.lookup(cache, SAME_IN_OTHER_WORDS)
        assert isinstance(hit, Hit)
        assert (hit.explanation.threshold, hit.explanation.threshold_from) == (0.95, "router failed")
        assert "RouterError: no idea" in hit.explanation.failures[0]

    async def test_a_guard_that_raises_refuses(self, face, make_cache: MakeCache) -> None:
        cache = make_cache(guards=[FailingGuard()])
        await face.update(cache, QUESTION, "a")
        miss = await face.lookup(cache, SAME_IN_OTHER_WORDS)
        assert isinstance(miss, Miss)
        assert "unverifiable" in miss.explanation.reason
        assert cache.stats().failures == {"guard": 1}

    async def test_a_listener_that_raises_hurts_neither_request_nor_other_listeners(self, face, make_cache) -> None:
        heard = []

        class Listener:
            def on(self, event) -> None:
                heard.append(event)

        cache = make_cache(listeners=[FailingListener(), Listener()])
        await face.lookup(cache, QUESTION)
        await face.update(cache, QUESTION, "a")
        assert isinstance(await face.lookup(cache, QUESTION), Hit)
        assert len(heard) == 4


class TestProcesses:
    def test_a_fork_after_use_leaves_parent_and_child_with_a_working_cache(self, run_python, tmp_path: Path) -> None:
        script = """
import asyncio, os, sys, warnings
from semroute import SemanticCache
from semroute.testing.embedders import HashEmbedder
warnings.simplefilter("ignore", DeprecationWarning)
cache = SemanticCache(sys.argv[1], embedder=HashEmbedder(), write=sys.argv[2])
cache.update("What is a ring?", "a ring")
cache.flush()
print(cache.lookup("what is a ring").tier, flush=True)
child = os.fork()
if child == 0:
    try:
        assert cache.lookup("What is a ring?").tier == "l1"
        assert cache.lookup("what is a RING").tier == "l2"
        cache.update("What is a shard?", "a shard")
        cache.flush()
        assert asyncio.run(cache.alookup("what is a shard")).tier == "l2"
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
print(os.waitpid(child, 0)[1])
print(cache.lookup("What is a shard?").tier)
"""
        for number, write in enumerate(("now", "background")):
            assert run_python(script, str(tmp_path / f"{number}.db"), write).split() == ["l2", "0", "l1"]

    def test_a_second_process_sees_what_the_first_stored(self, run_python, make_cache, tmp_path: Path) -> None:
        script = """
import sys
from semroute import SemanticCache
from semroute.testing.embedders import HashEmbedder
cache = SemanticCache(sys.argv[1], embedder=HashEmbedder())
print(cache.lookup(sys.argv[2]).tier, cache.lookup(sys.argv[3]).tier)
cache.update("What is a shard?", "a shard")
"""
        cache = make_cache(tmp_path / "answers.db", clock=time.time)
        cache.update(QUESTION, "a")
        assert isinstance(cache.lookup("what is a shard"), Miss)
        assert run_python(script, str(tmp_path / "answers.db"), QUESTION, SAME_IN_OTHER_WORDS) == "l1 l2"
        assert cache.lookup("what is a shard").tier == "l2"
