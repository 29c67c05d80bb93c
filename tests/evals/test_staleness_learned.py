"""What the evaluation of the router's heads reads, and how other people's labels become ours."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from evals import staleness_learned
from evals.staleness_learned import EVERY, WRITTEN, WRITTEN_WEIGHT, read
from semroute.router._heads import CLASSES, load
from semroute.testing.embedders import HashEmbedder
from semroute.tuning.router_heads import MIN_OF_A_CLASS, LabelledPrompt

from .tables import put


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    put(
        tmp_path / "freshqa" / "questions.csv",
        ("question", "fact_type"),
        [("f1", "never-changing"), ("f2", "slow-changing"), ("f3", "fast-changing")],
    )
    put(
        tmp_path / "situatedqa" / "context_dependence.csv",
        ("context", "question", "dependent"),
        [("temp", "s1", "1"), ("temp", "s2", "0"), ("geo", "s3", "1")],
    )
    intents = ("intent", "text")
    put(
        tmp_path / "intents" / "clinc150.csv.gz",
        intents,
        [("weather", "c1"), ("definition", "c2"), ("greeting", "c3"), ("balance", "c4")],
    )
    put(
        tmp_path / "intents" / "hwu64.csv", intents, [("qa_stock", "h1"), ("general_joke", "h2"), ("email_query", "h3")]
    )
    put(tmp_path / "intents" / "banking77.csv.gz", intents, [("age_limit", "b1"), ("exchange_rate", "b2")])
    return tmp_path


def test_every_label_becomes_no_more_than_it_says(sets: Path) -> None:
    found = {one.prompt: one for one in read(sets) if one.source != "written"}
    assert [found[name].staleness for name in ("f1", "f2", "f3")] == ["timeless", "slow", "daily"]
    assert [(found[name].changes, found[name].realtime, found[name].staleness) for name in ("s1", "s2")] == [
        (True, False, None),
        (False, False, None),
    ]
    assert (found["c1"].realtime, found["c1"].intent) == (True, "retrieval")
    assert (found["c2"].realtime, found["c2"].intent) == (False, None)
    assert (found["c3"].realtime, found["c3"].intent) == (False, "chat")
    assert (found["h1"].realtime, found["h2"].intent) == (True, "chat")
    assert (found["b1"].realtime, found["b1"].intent) == (False, "retrieval")


def test_questions_about_a_place_and_intents_about_ones_own_affairs_say_nothing(sets: Path) -> None:
    assert {one.prompt for one in read(sets)}.isdisjoint({"s3", "c4", "h3", "b2"})


def test_of_a_large_set_only_every_so_many_rows_count_for_the_intent(sets: Path) -> None:
    put(sets / "intents" / "banking77.csv.gz", ("intent", "text"), [("age_limit", f"b{n}") for n in range(2 * EVERY)])
    drawn = [one.prompt for one in read(sets) if one.source == "banking77" and one.intent is not None]
    assert drawn == ["b0", f"b{EVERY}"]


def test_a_written_prompt_counts_fully_for_what_it_asks_and_less_for_how_long_it_lasts(sets: Path) -> None:
    written = [one for one in read(sets) if one.source == "written"]
    assert {(one.staleness is None, one.weight) for one in written} == {(True, 1.0), (False, WRITTEN_WEIGHT)}
    assert all((one.intent is None) == (one.staleness is not None) for one in written)


@pytest.fixture(scope="module")
def own() -> list[LabelledPrompt]:
    return [LabelledPrompt(**json.loads(line)) for line in WRITTEN.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("head", ["intent", "complexity", "staleness", "realtime"])
def test_what_was_written_has_enough_of_every_class(own: list[LabelledPrompt], head: str) -> None:
    counts = Counter(one.label(head) for one in own)
    assert all(counts[name] >= MIN_OF_A_CLASS for name in CLASSES[head])


def test_nothing_was_written_twice(own: list[LabelledPrompt]) -> None:
    counts = Counter(" ".join(re.findall(r"\w+", one.prompt.lower())) for one in own)
    assert [words for words, n in counts.items() if n > 1] == []


def test_the_command_prints_its_figures_and_writes_heads_that_can_be_read(
    sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(
        sets / "freshqa" / "questions.csv",
        ("question", "fact_type"),
        [(f"{kind} question {n}", f"{kind}-changing") for kind in ("never", "slow", "fast") for n in range(20)],
    )
    put(
        sets / "situatedqa" / "context_dependence.csv",
        ("context", "question", "dependent"),
        [("temp", f"{'which leader' if n % 2 else 'which battle'} was it {n}", str(n % 2)) for n in range(120)],
    )
    monkeypatch.setattr(staleness_learned, "OnnxEmbedder", lambda **_: HashEmbedder(16))
    out = sets / "heads.json"
    assert staleness_learned.main([str(sets), "--out", str(out), "--vectors", str(sets / "kept.npz"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["changes"]["rows"] == 120
    assert figures["freshqa by head and rules"]["rows"] == 60
    assert figures["freshqa by head and rules"]["fast_recall"] >= figures["freshqa by rules"]["fast_recall"]
    assert figures["cost"]["heads_p50_ms"] > 0
    assert load(json.loads(out.read_text()), embedder="hash-16-0").names == tuple(CLASSES)
