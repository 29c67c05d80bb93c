"""`semroute explain` walks through a lookup and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from semroute import Policy, SemanticCache, scope
from semroute.cli.explain import explain
from semroute.cli.main import app
from semroute.testing.embedders import HashEmbedder

QUESTION = "Can I return shoes within 30 days?"


@pytest.fixture
def cache() -> Iterator[SemanticCache]:
    policy = Policy("near", threshold=0.8, verified_threshold=0.8)
    with SemanticCache("memory://", embedder=HashEmbedder(), policy=policy) as cache:
        cache.update(cache.request(QUESTION, system="Be brief."), "Yes.")
        yield cache


def test_a_hit_is_explained_with_its_entry_and_its_steps(cache: SemanticCache) -> None:
    told = explain(cache, cache.request(QUESTION, system="Be brief.")).as_dict()
    assert told["tier"] == "l1"
    assert told["hit_id"] == cache.key(cache.request(QUESTION, system="Be brief."))
    assert [step["name"] for step in told["steps"]] == ["cacheability", "get"]


def test_a_refused_candidate_is_shown_with_what_the_guard_saw(cache: SemanticCache) -> None:
    told = explain(cache, cache.request("Can I return shoes within 60 days?", system="Be brief.")).as_dict()
    assert told["tier"] == "miss"
    (candidate,) = told["candidates"]
    assert candidate["query"] == QUESTION
    assert 0.8 <= candidate["similarity"] < 1.0
    refusal = candidate["verdicts"][-1]
    assert (refusal["guard"], refusal["passed"]) == ("numbers", False)
    assert "60" in refusal["why"]
    assert "30" in refusal["why"]


def test_the_same_question_under_another_model_is_shown_as_out_of_reach(cache: SemanticCache) -> None:
    told = explain(cache, cache.request(QUESTION, system="Be brief.", model="large")).as_dict()
    assert told["tier"] == "miss"
    assert told["candidates"] == []
    assert [other["query"] for other in told["other_contexts"]] == [QUESTION]


def test_what_another_tenant_or_system_prompt_holds_is_not_shown(cache: SemanticCache) -> None:
    with scope(tenant="acme"):
        assert explain(cache, cache.request(QUESTION, system="Be brief.")).elsewhere == ()
    assert explain(cache, cache.request(QUESTION, system="Be long.")).elsewhere == ()


def test_where_the_words_lie_in_another_context_the_advice_is_to_ask_inside_the_app(cache: SemanticCache) -> None:
    told = explain(cache, cache.request(QUESTION, system="Be brief.", model="large"))
    assert told.reason == "stored for another model, settings or history only"
    (advice,) = told.as_dict()["advice"]
    assert "SemrouteCache.explain(model, question)" in advice


def test_the_same_words_under_another_scope_or_system_prompt_are_counted_and_not_shown(cache: SemanticCache) -> None:
    told = explain(cache, cache.request(QUESTION, system="Be long."))
    assert told.elsewhere == ()
    assert told.as_dict()["other_places"] == 1
    first, second = told.advice
    assert "1 entry of these very words lies under another scope or system prompt" in first
    assert "--system, --tenant" in first
    assert "SemrouteCache.explain" in second


def test_other_words_elsewhere_are_no_reason_for_advice(cache: SemanticCache) -> None:
    told = explain(cache, cache.request("Who is it?", system="Be brief.", model="large"))
    assert told.elsewhere
    assert told.advice == ()
    assert "another model" not in told.reason


def test_a_call_of_a_langchain_app_is_explained_in_the_app_as_the_command_advises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_core.language_models import FakeListChatModel
    from langchain_semroute import SemrouteCache

    monkeypatch.setattr("semroute.embedders.onnx.OnnxEmbedder", HashEmbedder)
    model, cache = FakeListChatModel(responses=["Yes."]), SemrouteCache(str(tmp_path / "answers.db"))
    model.cache = cache
    model.invoke(QUESTION)
    page = CliRunner().invoke(app, ["explain", QUESTION, "--store", str(tmp_path / "answers.db")]).stdout
    assert "stored for another model, settings or history only" in page
    assert "SemrouteCache.explain(model, question)" in " ".join(page.split())
    assert cache.explain(model, QUESTION).explanation.tier == "l1"
    cache.close()


def test_explaining_stores_nothing(cache: SemanticCache) -> None:
    before = cache.size()
    explain(cache, cache.request("Can I return shoes within thirty days?", system="Be brief."))
    assert cache.size() == before


def store_of(folder: Path) -> Path:
    path = folder / "answers.db"
    with SemanticCache(path, embedder=HashEmbedder()) as cache:
        cache.update("Which cards?", "All of them.")
    return path


def test_the_command_prints_one_json_object(tmp_path: Path) -> None:
    asked = ["explain", "What is the weather in Paris right now?", "--store", str(store_of(tmp_path)), "--json"]
    told = json.loads(CliRunner().invoke(app, asked).stdout)
    assert told["tier"] == "bypass"
    assert told["steps"]


def test_the_command_prints_steps_and_result_for_a_person(tmp_path: Path) -> None:
    asked = ["explain", "Which cards?", "--store", str(store_of(tmp_path))]
    page = CliRunner().invoke(app, asked).stdout
    assert "cacheability" in page
    assert "l1" in page


def test_the_command_asks_a_verifier_of_ones_own(
    tmp_path: Path, own_verifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semroute.embedders.onnx.OnnxEmbedder", HashEmbedder)
    asked = ["explain", "which cards", "--store", str(store_of(tmp_path)), "--verifier", str(own_verifier), "--json"]
    (candidate,) = json.loads(CliRunner().invoke(app, asked).stdout)["candidates"]
    assert [verdict["guard"] for verdict in candidate["verdicts"]] == ["verifier"]


def test_square_brackets_in_a_question_are_no_markup(tmp_path: Path) -> None:
    asked = ["explain", "What is [/bold] for right now?", "--store", str(store_of(tmp_path))]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0
    assert "[/bold]" in answer.stdout
