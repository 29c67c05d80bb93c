"""The drift monitor behind a real cache: feedback moves the policy."""

from __future__ import annotations

import logging

import pytest

from semroute import ConfigError, Hit, Policy, SemanticCache
from semroute.policy import Cell, Point, Promise
from semroute.testing.embedders import HashEmbedder
from semroute.tuning import watch as watching
from semroute.tuning.watch import DriftWatch

QUESTION = "How do I reset my password?"


def promising() -> Policy:
    """Return a policy that serves from 0.5, with one stricter point that serves the very same vector only."""
    return Policy(
        version="desk-1",
        cells=(Cell("standard", True, 0.5),),
        stricter=(Point((Cell("standard", True, 1.0),), 0.0, 0.0),),
        promise=Promise(0.02, 0.95, 0.01, 0.3, 4_000, 5_000, "made up"),
    )


@pytest.fixture
def cache() -> SemanticCache:
    return SemanticCache("memory://", embedder=HashEmbedder(), policy=promising(), guards=())


def ask_and_judge(cache: SemanticCache, number: int, *, correct: bool) -> None:
    """Store a question, ask it in other words, and say whether the hit was right."""
    word = f"plugin{number}"
    cache.update(f"How do I install {word} on my old laptop?", "Like this.")
    hit = cache.lookup(f"How can I install {word} on my old laptop?")
    assert isinstance(hit, Hit)
    cache.feedback(hit.hit_id, correct=correct)


def test_a_promise_that_breaks_is_told_and_the_cache_goes_on_stricter(
    cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    watch = DriftWatch(cache, tightens=True)
    with caplog.at_level(logging.WARNING, "semroute.tuning"):
        number = 0
        while cache.rules.policy.version == "desk-1":
            ask_and_judge(cache, number, correct=False)
            number += 1
    assert number < 40
    assert watch.last is not None
    assert not watch.last.holds
    assert [record.message.split(" no longer")[0] for record in caplog.records] == ["policy desk-1"]
    cache.update("How do I install plugin on my old laptop?", "Like this.")
    assert not isinstance(cache.lookup("How can I install plugin on my old laptop?"), Hit)


def test_right_hits_change_nothing(cache: SemanticCache) -> None:
    watch = DriftWatch(cache, tightens=True)
    for number in range(40):
        ask_and_judge(cache, number, correct=True)
    assert watch.last is not None
    assert watch.last.holds
    assert cache.rules.policy.version == "desk-1"


def test_without_leave_to_tighten_only_the_alarm_tells(cache: SemanticCache) -> None:
    watch = DriftWatch(cache)
    for number in range(40):
        ask_and_judge(cache, number, correct=False)
    assert watch.last is not None
    assert not watch.last.holds
    assert cache.rules.policy.version == "desk-1"


def test_a_hit_that_nobody_judges_counts_after_a_while_as_one_that_nobody_complained_of(
    cache: SemanticCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WAITS_FOR", 3)
    watch = DriftWatch(cache)
    cache.update(QUESTION, "Like this.")
    for _ in range(5):
        cache.lookup(QUESTION)
    assert watch.last is not None
    assert watch.last.requests == 2


def test_a_policy_without_a_promise_cannot_be_watched() -> None:
    with pytest.raises(ConfigError, match="promises nothing"):
        DriftWatch(SemanticCache("memory://", embedder=HashEmbedder()))
