"""The demo, as a stranger runs it: the real embedder, LangChain, and the packaged stream."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel
from rich.console import Console
from typer.testing import CliRunner

from semroute.cli.demo_command import played
from semroute.cli.demo_screen import screen
from semroute.cli.framework import STAND_IN
from semroute.cli.main import app
from semroute.cli.replay_command import Replayed, run
from semroute.cli.report import UNNAMED, ModelCall
from semroute.cli.stand_in import TERMS, Accountant
from semroute.cli.stream import Stream, packaged_stream
from semroute.cli.tokens import token_counter

from .replaying import replayed, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.cli.stream import Row


COUNTED = ("requests", "reusable", "l1_hits", "l2_hits", "misses", "bypasses", "wrong_hits", "traps_refused", "models")


def lines_of(demo: Replayed) -> list[str]:
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(screen(demo))
    return capture.get().splitlines()


@pytest.fixture(scope="module")
def demo() -> Replayed:
    return run(packaged_stream(), None, STAND_IN)


@pytest.fixture(scope="module")
def figures(demo: Replayed) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(demo.as_dict(), allow_nan=False))
    return loaded


def test_no_answer_of_the_demo_is_wrong(demo: Replayed) -> None:
    assert [(wrong.row.query, wrong.served) for wrong in demo.report.wrong] == []


def test_the_demo_on_three_redis_shards_has_the_same_figures_as_on_a_file(figures: dict[str, Any]) -> None:
    on_redis = played(["redis"], STAND_IN).as_dict()
    assert (on_redis["store"], on_redis["wrong_hits"]) == ("3 Redis shards", 0)
    assert {name: on_redis[name] for name in COUNTED} == {name: figures[name] for name in COUNTED}


def test_every_trap_of_the_demo_is_refused(figures: dict[str, Any]) -> None:
    assert figures["traps"] >= 40
    assert figures["traps_refused"] == figures["traps"]


def test_most_of_what_can_be_reused_is_reused(figures: dict[str, Any]) -> None:
    assert figures["hits"] >= 0.60 * figures["reusable"]
    assert figures["hits"] == figures["l1_hits"] + figures["l2_hits"]


def test_a_plain_cosine_cache_answers_wrongly_where_semroute_does_not(figures: dict[str, Any]) -> None:
    assert figures["cosine_wrong_hits"] > 20
    assert figures["cosine_wrong_hits_isolated"] > 20


def test_savings_and_latencies_are_told(figures: dict[str, Any]) -> None:
    assert figures["saved_usd"] > 0
    assert figures["saved_s"] > 0
    assert 0 < figures["p50_ms"]["l1"] < figures["p50_ms"]["l2"]
    assert figures["p50_ms"]["miss_overhead"] > 0


def test_every_call_is_counted_for_the_model_that_answered(demo: Replayed, figures: dict[str, Any]) -> None:
    models = figures["models"]
    assert set(models) == {"large", "small"}
    assert sum(models.values()) == figures["misses"] + figures["bypasses"]
    named = [outcome for outcome in demo.report.outcomes if outcome.row.model == "large" and not outcome.is_hit]
    assert [outcome.call for outcome in named] == [ModelCall("large", is_routed=False)] * len(named)
    assert figures["routed_calls"] == sum(models.values()) - len(named)


def test_hits_and_routing_are_counted_apart_by_the_ledger(demo: Replayed, figures: dict[str, Any]) -> None:
    costs = demo.report.costs
    assert figures["saved_by_hits_usd"] == figures["saved_usd"] == pytest.approx(costs.saved_by_hits_usd)
    assert figures["saved_by_routing_usd"] == costs.saved_by_routing_usd > 0
    assert (costs.unpriced, costs.estimated_usd) == (0, 0.0)


def test_routing_is_held_against_asking_the_large_model_each_time(demo: Replayed, figures: dict[str, Any]) -> None:
    accountant = Accountant(token_counter())
    price = TERMS["large"].price
    asked = [outcome.row for outcome in demo.report.outcomes if not outcome.is_hit]
    always_large = sum(price.of(accountant.usage(row)) for row in asked)
    assert figures["spent_usd"] + figures["saved_by_routing_usd"] == pytest.approx(always_large)


def test_the_confidence_of_every_decision_is_in_one_bucket(demo: Replayed, figures: dict[str, Any]) -> None:
    buckets = figures["confidence"]
    assert [low for low, _, _ in buckets] == [0.0] + [high for _, high, _ in buckets[:-1]]
    assert (buckets[0][0], buckets[-1][1]) == (0.0, 1.0)
    decided = [outcome for outcome in demo.report.outcomes if outcome.confidence is not None]
    assert sum(count for _, _, count in buckets) == len(decided) >= figures["misses"] + figures["l2_hits"]


def test_the_screen_fits_a_terminal_of_100_by_45(demo: Replayed) -> None:
    lines = lines_of(demo)
    assert len(lines) <= 45
    assert max(len(line) for line in lines) <= 100


def test_the_screen_shows_models_dollars_and_confidence(demo: Replayed) -> None:
    report, lines = demo.report, lines_of(demo)
    page = "\n".join(lines)
    for name, count in report.calls_by_model.items():
        assert any(line.startswith(f"{name} {count} ") and f"{count / len(report.calls):.0%}" in line for line in lines)
    assert f"${report.saved_usd:.3f} spared by hits, ${report.saved_by_routing_usd:.3f} by routing" in page
    assert f"against asking large for all {report.routed_calls}" in page
    bars = [line for line in lines if re.search(r"\d\.\d–\d\.\d █* ?\d+ *$", line)]
    assert len(bars) == 4
    assert sum(int(line.split()[-1]) for line in bars) == sum(bucket.count for bucket in report.confidence)


def test_the_screen_shows_every_kind_of_trap_and_what_was_seen(demo: Replayed) -> None:
    page = "\n".join(lines_of(demo))
    assert "no wrong answer" in page
    for kind in ("number", "date", "negation", "antonym", "direction", "tenant", "system prompt", "time", "own state"):
        assert f"\n{kind} " in page
    assert " ≠ " in page
    assert "another tenant" in page


def tiny(rows: Sequence[Row], *, is_careless: bool = False) -> Replayed:
    report = replayed(rows, is_careless=is_careless)
    return Replayed(Stream("tiny", tuple(rows)), report, "memory://", STAND_IN, True, {})


def test_a_wrong_answer_is_not_hidden_in_the_headline() -> None:
    rows = [row("Can I return shoes within 30 days?", "a"), row("Can I return shoes within 60 days?", "b", trap=True)]
    assert any("1 wrong answer" in line for line in lines_of(tiny(rows, is_careless=True)))


def test_a_stream_without_any_hit_has_a_screen_too() -> None:
    assert any("no wrong answer" in line for line in lines_of(tiny([row("Which cards do you take?", "a")])))


def test_a_real_model_is_asked_without_a_router_and_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeListChatModel(responses=["The same answer."])
    monkeypatch.setattr("semroute.cli.framework.chat_model", lambda name: model)
    rows = (row("Which cards do you take?", "a"), row("Which cards do you take?", "a"), row("Where are you?", "b"))
    real = run(Stream("tiny", rows), ["memory://"], "fake:list")
    figures = real.as_dict()
    assert figures["models"] == {UNNAMED: 2}
    assert (figures["routed_calls"], figures["saved_by_routing_usd"]) == (0, 0.0)
    assert [figures[name] for name in ("saved_usd", "saved_by_hits_usd", "spent_usd", "stand_in")] == [None] * 4
    page = "\n".join(lines_of(real))
    assert "Model: fake:list; savings as its provider counted them." in page
    assert "by routing" not in page


def test_replay_prints_the_same_figures_for_a_file(tmp_path: Any) -> None:
    path = tmp_path / "stream.jsonl"
    asked = {"tenant": "t", "system": "s", "history": [], "query": "How do I reset my password?", "model": "small"}
    lines = [{**asked, "answer_class": "reset", "trap": False}] * 3
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    answer = CliRunner().invoke(app, ["replay", str(path), "--store", "memory://", "--json"])
    assert answer.exit_code == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["requests"], told["reusable"], told["l1_hits"], told["wrong_hits"]) == (3, 2, 2, 0)
    assert (told["stream"], told["store"], told["model"]) == ("stream.jsonl", "memory://", "stand-in")
