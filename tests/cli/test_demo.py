"""The demo, as a stranger runs it: the real embedder, LangChain, and the packaged stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from semroute.cli.demo_command import played
from semroute.cli.demo_screen import screen
from semroute.cli.main import app
from semroute.cli.replay_command import STAND_IN, Replayed, run
from semroute.cli.stream import Stream, packaged_stream

from .replaying import replayed, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.cli.stream import Row


COUNTED = ("requests", "reusable", "l1_hits", "l2_hits", "misses", "bypasses", "wrong_hits", "traps_refused")


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


def test_the_screen_fits_a_terminal_of_100_by_45(demo: Replayed) -> None:
    lines = lines_of(demo)
    assert len(lines) <= 45
    assert max(len(line) for line in lines) <= 100


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
