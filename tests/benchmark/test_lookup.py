"""The benchmark end to end, on a small store and without the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from numpy.typing import NDArray
from typer.testing import CliRunner

from semroute.benchmark.questions import stored_question
from semroute.cache import SemanticCache
from semroute.cli.bench import _shown
from semroute.cli.main import app
from semroute.testing.embedders import HashEmbedder
from semroute.testing.redis_stack import RedisNode, redis_stack

TIERS = ("embed", "search", "l1", "l2", "miss", "raw_get", "raw_search")
QUICK = ("--entries", "100", "--clients", "3", "--seconds", "0.1", "--json")


class DeedEmbedder:
    """Knows a question by what follows its opening words, so that paraphrases are near as with the real model."""

    def __init__(self) -> None:
        self._words = HashEmbedder(256)
        self.identity = "deeds"

    def fits(self, text: str) -> bool:
        return True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._words.embed([text.split(" I ")[-1].removeprefix("What is the way to ") for text in texts])


@pytest.fixture(autouse=True)
def _quick_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semroute.embedders.onnx.OnnxEmbedder", DeedEmbedder)
    # A new process would load the real model, and torch takes seconds to import.
    monkeypatch.setattr("semroute.benchmark.lookup.first_hit", lambda *_: None)
    monkeypatch.setattr("semroute.benchmark.processes.is_installed", lambda _: False)


def keys_of(node: RedisNode) -> list[str]:
    with redis.Redis.from_url(node.url, decode_responses=True) as client:
        return list(client.scan_iter())


def bench(*options: str) -> Any:
    result = CliRunner().invoke(app, ["bench", "lookup", *QUICK, *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_tier_and_the_raw_operations_are_measured() -> None:
    figures = bench()
    assert figures["entries"] == 100
    for tier in TIERS:
        assert 0 < figures[tier]["p50_ms"] <= figures[tier]["p95_ms"]
    assert figures["throughput_rps"] > 0
    assert figures["embed_only_rps"] > 0
    assert figures["import_s"] > 0


def test_paraphrases_are_served_by_meaning_and_new_questions_are_not() -> None:
    figures = bench("--store", "memory://")
    assert figures["l2_not_served"] == 0
    assert set(figures["throughput_tiers"]) >= {"l1", "l2", "miss"}


def test_what_is_not_installed_is_null_with_the_reason() -> None:
    figures = bench("--store", "memory://")
    assert figures["embed_torch"] is None
    assert "not installed" in figures["embed_torch_why"]
    assert figures["ratios"]["embed_torch_per_embed"] is None


def test_a_named_store_keeps_what_it_had_and_nothing_of_the_benchmark(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mine.db'}"
    with SemanticCache(url, embedder=DeedEmbedder()) as cache:
        cache.update("Who painted the ceiling?", "A painter.")
    bench("--store", url)
    with SemanticCache(url, embedder=DeedEmbedder()) as cache:
        assert [entry.query for entry in cache.store.scan()] == ["Who painted the ceiling?"]
        assert cache.lookup(stored_question(0)).tier == "miss"


def test_on_redis_shards_the_raw_operations_are_of_the_shard_that_keeps_the_entries_and_nothing_stays() -> None:
    with redis_stack(3) as nodes:
        figures = bench(*(part for node in nodes for part in ("--store", node.url)))
        kept = {key for node in nodes for key in keys_of(node) if "meta" not in key}
    for tier in TIERS:
        assert 0 < figures[tier]["p50_ms"] <= figures[tier]["p95_ms"]
    assert figures["ratios"]["l1_per_raw_get"] == pytest.approx(
        figures["l1"]["p50_ms"] / figures["raw_get"]["p50_ms"], abs=0.001
    )
    assert figures["ratios"]["search_per_raw_search"] > 0
    assert figures["l2_not_served"] == 0
    assert [key for key in kept if ":e:" in key or "raw" in key] == []


def test_passwords_of_stores_are_not_in_the_report() -> None:
    assert "geheim" not in _shown("redis://user:geheim@127.0.0.1:6379")


def test_a_store_that_no_release_speaks_is_a_wrong_call() -> None:
    result = CliRunner().invoke(app, ["bench", "lookup", "--store", "ftp://host"])
    assert result.exit_code == 2
    assert "ftp" in result.stderr
