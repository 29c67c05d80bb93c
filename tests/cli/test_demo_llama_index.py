"""The demo through LlamaIndex, as a stranger runs it: the real embedder, a real index, and the packaged stream."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from semroute.cli.demo_screen import screen
from semroute.cli.framework import STAND_IN, Framework
from semroute.cli.main import app
from semroute.cli.replay_command import Replayed, run
from semroute.cli.report import ModelCall
from semroute.cli.stand_in import TERMS, Accountant
from semroute.cli.stream import Stream, packaged_stream
from semroute.cli.tokens import token_counter

from .replaying import row


@pytest.fixture(scope="module")
def demo() -> Replayed:
    return run(packaged_stream(), None, STAND_IN, Framework.LLAMA_INDEX)


@pytest.fixture(scope="module")
def figures(demo: Replayed) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(demo.as_dict(), allow_nan=False))
    return loaded


@pytest.fixture(scope="module")
def lines(demo: Replayed) -> list[str]:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(screen(demo))
    return capture.get().splitlines()


def test_no_answer_of_the_demo_is_wrong_and_every_trap_is_refused(demo: Replayed, figures: dict[str, Any]) -> None:
    assert [(wrong.row.query, wrong.served) for wrong in demo.report.wrong] == []
    assert figures["traps_refused"] == figures["traps"] >= 40


def test_most_of_what_can_be_reused_is_reused(figures: dict[str, Any]) -> None:
    assert figures["hits"] == figures["l1_hits"] + figures["l2_hits"] >= 0.60 * figures["reusable"]
    assert figures["l2_hits"] > 20


def test_every_call_is_of_the_model_that_the_request_names(demo: Replayed, figures: dict[str, Any]) -> None:
    calls = [(outcome.call, outcome.row.model) for outcome in demo.report.outcomes if not outcome.is_hit]
    assert [call for call, _ in calls] == [ModelCall(model, is_routed=False) for _, model in calls]
    assert sum(figures["models"].values()) == figures["misses"] + figures["bypasses"]
    assert (figures["routed_calls"], figures["saved_by_routing_usd"]) == (0, 0.0)


def test_what_is_spent_and_spared_counts_the_pages_that_were_retrieved(demo: Replayed, figures: dict[str, Any]) -> None:
    accountant = Accountant(token_counter())
    asked = [outcome.row for outcome in demo.report.outcomes if not outcome.is_hit]
    without_pages = sum(TERMS[row.model].price.of(accountant.usage(row)) for row in asked)
    assert figures["spent_usd"] > 1.2 * without_pages
    assert figures["saved_usd"] == figures["saved_by_hits_usd"] > 0
    assert figures["saved_s"] > 0


def test_latencies_are_told(figures: dict[str, Any]) -> None:
    assert 0 < figures["p50_ms"]["l1"] < figures["p50_ms"]["l2"]
    assert figures["p50_ms"]["miss_overhead"] > 0


def test_the_screen_fits_a_terminal_of_100_by_45(lines: list[str]) -> None:
    assert len(lines) <= 45
    assert max(len(line) for line in lines) <= 100


def test_the_screen_names_the_framework_and_shows_no_router(demo: Replayed, lines: list[str]) -> None:
    page = "\n".join(lines)
    assert "questions through LlamaIndex" in page
    assert f"{len(demo.report.calls)} model calls: each request names its model" in page
    assert f"${demo.report.saved_usd:.3f} spared by hits" in page
    assert "by routing" not in page
    assert "Confidence" not in page


def test_both_frameworks_print_the_same_keys() -> None:
    stream = Stream("tiny", (row("Which cards do you take?", "a"), row("Which cards do you take?", "a")))
    told = {framework: run(stream, ["memory://"], STAND_IN, framework).as_dict() for framework in Framework}
    assert {str(framework): figures["framework"] for framework, figures in told.items()} == {
        "langchain": "langchain", "llama-index": "llama-index",
    }  # fmt: skip
    assert list(told[Framework.LANGCHAIN]) == list(told[Framework.LLAMA_INDEX])
    assert [figures["l1_hits"] for figures in told.values()] == [1, 1]


def test_a_replay_of_a_file_goes_through_the_framework_too(tmp_path: Any) -> None:
    path = tmp_path / "stream.jsonl"
    line = {"query": "How do I reset my password?", "answer_class": "reset"}
    path.write_text("\n".join([json.dumps(line)] * 2), encoding="utf-8")
    answer = CliRunner().invoke(app, ["replay", str(path), "--store", "memory://", "--framework", "llama-index"])
    assert answer.exit_code == 0, answer.stderr
    page = " ".join(answer.stdout.split())
    assert "1 model calls (small 1) through LlamaIndex" in page
    assert "by routing" not in page


def test_a_real_model_is_refused_as_wrong_usage() -> None:
    answer = CliRunner().invoke(app, ["demo", "--framework", "llama-index", "--model", "openai:gpt-4o", "--json"])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "--framework llama-index" in answer.stderr


def test_without_llama_index_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("semroute.cli.llama_index_subject", raising=False)
    monkeypatch.setitem(sys.modules, "semroute.cli.llama_index_subject", None)
    answer = CliRunner().invoke(app, ["demo", "--framework", "llama-index", "--json"])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert "pip install 'semroute-cache[llama-index]'" in answer.stderr
