"""When a cache opens and closes, and what it writes behind the caller's back."""

from __future__ import annotations

import copy
from pathlib import Path

from semroute import Hit, Queued, SemanticCache
from semroute.testing.embedders import HashEmbedder

from .caching import ANSWER, QUESTION, SAME_IN_OTHER_WORDS, CountingEmbedder, MakeCache


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class TestLife:
    async def test_nothing_is_opened_before_the_first_call(self, face, make_cache: MakeCache, tmp_path: Path) -> None:
        cache = make_cache(tmp_path / "folder" / "answers.db")
        assert names_in(tmp_path) == []
        await face.lookup(cache, QUESTION)
        assert "answers.db" in names_in(tmp_path / "folder")

    async def test_answers_survive_closing_and_the_cache_opens_again(self, face, make_cache, tmp_path: Path) -> None:
        cache = make_cache(tmp_path / "answers.db")
        await face.update(cache, QUESTION, ANSWER)
        await face.close(cache)
        await face.close(cache)
        assert (await face.lookup(cache, SAME_IN_OTHER_WORDS)).tier == "l2"
        assert (await face.lookup(make_cache(tmp_path / "answers.db"), QUESTION)).answer == ANSWER

    def test_a_cache_is_a_context_manager(self, tmp_path: Path) -> None:
        with SemanticCache(tmp_path / "answers.db", embedder=HashEmbedder()) as cache:
            cache.update(QUESTION, ANSWER)
        assert names_in(tmp_path) == ["answers.db"]

    async def test_a_cache_is_an_async_context_manager(self, tmp_path: Path) -> None:
        async with SemanticCache(tmp_path / "answers.db", embedder=HashEmbedder()) as cache:
            await cache.aupdate(QUESTION, ANSWER)
        assert names_in(tmp_path) == ["answers.db"]

    def test_a_copy_of_what_holds_a_cache_shares_it(self, cache: SemanticCache) -> None:
        holder = {"cache": cache}
        assert copy.copy(cache) is cache
        assert copy.deepcopy(holder)["cache"] is cache

    def test_preloading_loads_the_model_and_stores_nothing(self, make_cache: MakeCache) -> None:
        embedder = CountingEmbedder()
        cache = make_cache(embedder=embedder)
        cache.preload()
        assert len(embedder.texts) == 1
        assert (cache.size().entries, cache.stats().lookups) == (0, 0)

    def test_its_repr_tells_store_embedder_and_policy(self, cache: SemanticCache) -> None:
        for part in ("memory://", "HashEmbedder", "default"):
            assert part in repr(cache)


class TestBackgroundWrites:
    async def test_an_update_is_queued_and_stored_behind_the_callers_back(self, face, make_cache: MakeCache) -> None:
        cache = make_cache(write="background")
        await face.lookup(cache, QUESTION)
        assert await face.update(cache, QUESTION, ANSWER) == Queued()
        cache.flush()
        assert isinstance(await face.lookup(cache, QUESTION), Hit)
        assert cache.stats().stored == 1

    async def test_closing_stores_what_is_queued(self, face, make_cache: MakeCache, tmp_path: Path) -> None:
        cache = make_cache(tmp_path / "answers.db", write="background")
        for number in range(20):
            await face.update(cache, f"What is a ring of {number} stones?", f"answer {number}")
        await face.close(cache)
        assert make_cache(tmp_path / "answers.db").size().entries == 20

    async def test_an_answer_under_way_during_an_invalidation_is_not_stored_in_the_background_either(
        self, face, make_cache: MakeCache
    ) -> None:
        cache = make_cache(write="background")
        await face.lookup(cache, QUESTION)
        cache.clear()
        await face.update(cache, QUESTION, ANSWER)
        cache.flush()
        assert cache.size().entries == 0

    def test_what_is_queued_at_the_end_of_the_program_is_stored_with_its_vector(self, run_python, make_cache, tmp_path):
        script = """
import sys
from semroute import SemanticCache
from semroute.testing.embedders import HashEmbedder
cache = SemanticCache(sys.argv[1], embedder=HashEmbedder(), write="background")
for number in range(50):
    cache.update(f"What is a ring of {number} stones?", "a ring")
"""
        run_python(script, str(tmp_path / "answers.db"))
        cache = make_cache(tmp_path / "answers.db")
        assert cache.size().entries == 50
        entries = list(cache.store.scan())
        assert len(entries) == 50
        assert all(entry.vector is not None for entry in entries)
