"""Shadow mode and canaries: what is looked up, what is served, and what is taken down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from semroute import Answer, Hit, Miss, SemanticCache, Stored, scope
from semroute.review.log import ShadowLog
from semroute.shadow import ShadowRecord, is_in_canary
from semroute.testing.embedders import HashEmbedder

QUESTION = "How do I reset my password?"
IN_OTHER_WORDS = "How can I reset my password?"
MakeCache = Callable[..., SemanticCache]


@pytest.fixture
def log(tmp_path: Path) -> ShadowLog:
    return ShadowLog(tmp_path / "shadow.db")


@pytest.fixture
def make_cache(log: ShadowLog) -> MakeCache:
    def make(**settings: object) -> SemanticCache:
        given = {"threshold": 0.5, "mode": "shadow", **settings}
        return SemanticCache("memory://", embedder=HashEmbedder(), listeners=[log], **given)

    return make


def taken_down(log: ShadowLog) -> list[ShadowRecord]:
    log.flush()
    if not log.path.exists():
        return []
    found = [log.read(record.number) for record in log.scan() if record.number is not None]
    return [record for record in found if record is not None]


def test_shadow_mode_serves_nothing_and_takes_down_what_it_would_have_served_beside_the_real_answer(
    make_cache: MakeCache, log: ShadowLog
) -> None:
    cache = make_cache()
    assert isinstance(cache.update(QUESTION, "The stored answer."), Stored)
    result = cache.lookup(IN_OTHER_WORDS)
    assert isinstance(result, Miss)
    assert isinstance(result.withheld, Hit)
    assert result.withheld.answer.text == "The stored answer."
    assert result.explanation.reason.startswith("not served, to be judged first")
    cache.update(IN_OTHER_WORDS, "The real answer.")
    (record,) = taken_down(log)
    assert (record.candidate, record.query) == (QUESTION, IN_OTHER_WORDS)
    assert (record.would_serve, record.was_served) == (True, False)
    assert record.stored_answer is not None
    assert record.real_answer is not None
    assert (record.stored_answer.text, record.real_answer.text) == ("The stored answer.", "The real answer.")
    assert record.similarity == result.withheld.explanation.similarity


async def test_the_asynchronous_face_withholds_too(make_cache: MakeCache, log: ShadowLog) -> None:
    cache = make_cache()
    await cache.aupdate(QUESTION, "The stored answer.")
    assert isinstance(await cache.alookup(IN_OTHER_WORDS), Miss)
    await cache.aupdate(IN_OTHER_WORDS, "The real answer.")
    assert [record.would_serve for record in taken_down(log)] == [True]


def test_an_exact_repeat_is_not_served_either_and_leaves_nothing_to_judge(
    make_cache: MakeCache, log: ShadowLog
) -> None:
    cache = make_cache()
    cache.update(QUESTION, "The stored answer.")
    result = cache.lookup(QUESTION)
    assert isinstance(result, Miss)
    assert result.withheld is not None
    assert result.withheld.tier == "l1"
    cache.update(QUESTION, "The real answer.")
    assert taken_down(log) == []


def test_shadow_mode_leaves_no_alias(make_cache: MakeCache) -> None:
    cache = make_cache()
    cache.update(QUESTION, "The stored answer.")
    cache.lookup(IN_OTHER_WORDS)
    second = cache.lookup(IN_OTHER_WORDS)
    assert isinstance(second, Miss)
    assert second.withheld is not None
    assert second.withheld.tier == "l2"


def test_near_misses_are_taken_down_while_everything_is_served(make_cache: MakeCache, log: ShadowLog) -> None:
    cache = make_cache(mode="serve")
    cache.update("How do I enable dark mode?", "Like this.")
    assert isinstance(cache.lookup("How do I disable dark mode?"), Miss)
    cache.update("How do I disable dark mode?", "Like that.")
    (record,) = taken_down(log)
    assert (record.would_serve, record.was_served) == (False, False)
    assert any(not verdict.passed for verdict in record.verdicts)


def test_a_hit_that_is_served_is_taken_down_as_served(make_cache: MakeCache, log: ShadowLog) -> None:
    cache = make_cache(mode="serve")
    cache.update(QUESTION, "The stored answer.")
    assert isinstance(cache.lookup(IN_OTHER_WORDS), Hit)
    (record,) = taken_down(log)
    assert (record.would_serve, record.was_served, record.real_answer) == (True, True, None)


def test_a_canary_serves_its_share_of_questions_and_always_the_same_ones(make_cache: MakeCache, log: ShadowLog) -> None:
    cache = make_cache(mode="serve", canary=0.5)
    questions = [f"How do I install plugin {name}?" for name in "abcdefghijklmnopqrst"]
    for question in questions:
        cache.update(question, f"Answer to {question}")
    served = [isinstance(cache.lookup(question), Hit) for question in questions]
    assert served == [isinstance(cache.lookup(question), Hit) for question in questions]
    assert served == [is_in_canary(cache.key(cache.request(question)), 0.5) for question in questions]
    assert 0 < sum(served) < len(served)


def test_what_is_invalidated_leaves_the_shadow_log_too(make_cache: MakeCache, log: ShadowLog) -> None:
    cache = make_cache()
    for tenant in ("acme", "globex"):
        with scope(tenant=tenant):
            cache.update(QUESTION, "The stored answer.")
            cache.lookup(IN_OTHER_WORDS)
            cache.update(IN_OTHER_WORDS, "The real answer.")
    assert len(taken_down(log)) == 2
    cache.invalidate(tenant="acme")
    assert len(taken_down(log)) == 1
    cache.clear()
    assert taken_down(log) == []


def test_a_cache_that_serves_again_removes_from_the_log_that_shadow_mode_left(tmp_path: Path) -> None:
    settings = {"embedder": HashEmbedder(), "threshold": 0.5, "shadow_log": str(tmp_path / "shadow.db")}
    store = tmp_path / "answers.db"
    with SemanticCache(store, mode="shadow", **settings) as cache, scope(tenant="acme"):
        cache.update(QUESTION, "The stored answer.")
        cache.lookup(IN_OTHER_WORDS)
        cache.update(IN_OTHER_WORDS, "The real answer.")
    with SemanticCache(store, **settings) as cache:
        cache.invalidate(tenant="acme")
    assert list(ShadowLog(tmp_path / "shadow.db").scan()) == []


def test_without_a_log_of_its_own_shadow_mode_writes_to_the_one_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.db"
    cache = SemanticCache("memory://", embedder=HashEmbedder(), threshold=0.5, mode="shadow", shadow_log=str(path))
    cache.update(QUESTION, Answer("The stored answer."))
    cache.lookup(IN_OTHER_WORDS)
    cache.update(IN_OTHER_WORDS, "The real answer.")
    cache.close()
    assert [record.would_serve for record in ShadowLog(path).scan()] == [True]


def test_serving_everything_without_a_log_writes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    cache = SemanticCache("memory://", embedder=HashEmbedder(), threshold=0.5)
    cache.update(QUESTION, "The stored answer.")
    cache.lookup(IN_OTHER_WORDS)
    cache.close()
    assert list(tmp_path.rglob("*.db")) == []
