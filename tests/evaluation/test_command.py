"""`semroute eval` as it is called from a shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from semroute import Policy
from semroute.cli.main import app
from semroute.policy_file import write_policy
from semroute.testing.embedders import HashEmbedder

PAIRS = """a,b,same,kind
How do I export the sales report?,How do I export the sales report,1,plain
How do I export 3 sales reports?,How do I export 5 sales reports?,0,number
Who painted the ceiling?,Where does the river end?,1,far
"""


@pytest.fixture(autouse=True)
def _quick_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semroute.embedders.onnx.OnnxEmbedder", HashEmbedder)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text(PAIRS)
    return path


def test_pairs_prints_one_object_with_the_figures_by_their_names(pairs: Path) -> None:
    figures = printed(call("pairs", pairs, "--q1", "a", "--q2", "b", "--label", "same", "--json"))
    expected = {"n": 3, "positives": 2, "hits": 1, "bypasses": 0, "hit_rate": 0.5, "false_hit_rate": 0.0}
    assert {name: figures[name] for name in expected} == expected
    assert figures["precision"] == 1.0
    assert 0 < figures["p_chr_auc"] < 1


def test_pairs_are_measured_with_a_verifier_of_ones_own(pairs: Path, own_verifier: Path) -> None:
    options = (pairs, "--q1", "a", "--q2", "b", "--label", "same", "--json")
    own, shipped = printed(call("pairs", *options, "--verifier", own_verifier)), printed(call("pairs", *options))
    assert own["hits"] == 1
    assert own["p_chr_auc"] != shipped["p_chr_auc"]


def test_a_policy_of_another_verifier_is_refused_and_not_measured_as_one_without_hits(
    pairs: Path, own_verifier: Path, tmp_path: Path
) -> None:
    write_policy(Policy("tuned", verifier="digest@1"), tmp_path / "policy.json")
    options = ("--policy", tmp_path / "policy.json", "--verifier", own_verifier, "--json")
    refused = call("pairs", pairs, "--q1", "a", "--q2", "b", *options)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "was tuned with the verifier digest@1" in " ".join(refused.stderr.split())


def test_pairs_without_labels_are_all_positive(pairs: Path) -> None:
    figures = printed(call("pairs", pairs, "--q1", "a", "--q2", "b", "--json"))
    assert figures["positives"] == 3
    assert figures["false_hit_rate"] is None


def test_groups_have_figures_of_their_own(pairs: Path) -> None:
    options = ("--label", "same", "--group", "kind", "--json")
    groups = printed(call("pairs", pairs, "--q1", "a", "--q2", "b", *options))["groups"]
    assert {name: figures["n"] for name, figures in groups.items()} == {"far": 1, "number": 1, "plain": 1}
    assert groups["plain"]["hit_rate"] == 1.0


def test_texts_are_joined_by_their_ids(tmp_path: Path, pairs: Path) -> None:
    (tmp_path / "ids.csv").write_text("x,y\n1,2\n")
    (tmp_path / "texts.csv").write_text("id,words\n1,How do I export it?\n2,how do i export it\n")
    texts = f"{tmp_path / 'texts.csv'}:id:words"
    figures = printed(call("pairs", tmp_path / "ids.csv", "--q1", "x", "--q2", "y", "--texts", texts, "--json"))
    assert figures["hit_rate"] == 1.0


def test_the_page_for_people_names_the_figures(pairs: Path) -> None:
    result = call("pairs", pairs, "--q1", "a", "--q2", "b", "--label", "same")
    assert result.exit_code == 0
    assert "0.5000" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--q1", "a", "--q2", "nothing"), "no column nothing"),
        (("--q1", "a", "--q2", "b", "--label", "kind"), "labels 1 or 0"),
        (("--q1", "a", "--q2", "b", "--policy", "2"), "[0, 1]"),
        (("--q1", "a", "--q2", "b", "--limit", "0"), "limit=0"),
        (("--q1", "a"), "--q2"),
    ],
)
def test_a_wrong_call_is_told_on_stderr_with_status_two(pairs: Path, arguments: tuple[str, ...], message: str) -> None:
    result = call("pairs", pairs, *arguments, "--json")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_conversations_prints_what_was_served_within_and_between_classes(tmp_path: Path) -> None:
    rows = [
        {"history": ["castles", "yes"], "query": "Which is the largest?", "answer_class": "a"},
        {"history": ["bridges", "yes"], "query": "Which is the largest?", "answer_class": "b"},
        {"history": ["castles", "yes"], "query": "which is the largest", "answer_class": "a"},
    ]
    path = tmp_path / "turns.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    figures = printed(call("conversations", path, "--json"))
    assert (figures["n"], figures["reusable"], figures["hits"], figures["false_hits"]) == (3, 1, 1, 0)


def test_conversations_asks_pairs_of_turns_of_another_file(tmp_path: Path) -> None:
    turns = [{"id": "a", "history": ["castles"], "utterance": "Why?"}, {"id": "b", "history": [], "utterance": "Why?"}]
    (tmp_path / "turns.jsonl").write_text("\n".join(map(json.dumps, turns)))
    (tmp_path / "pairs.csv").write_text("id_a,id_b,label\na,b,0\n")
    figures = printed(call("conversations", tmp_path / "pairs.csv", "--turns", tmp_path / "turns.jsonl", "--json"))
    assert (figures["n"], figures["false_hits"], figures["stored"]) == (1, 0, 1)


def test_stream_prints_a_point_for_each_bound(tmp_path: Path) -> None:
    path = tmp_path / "stream.csv"
    path.write_text("text,class\nHow do I export it?,a\nWho was it?,b\nhow do i export it,a\n")
    options = ("--text", "text", "--class", "class", "--max-error", "0", "--max-error", "0.5", "--json")
    figures = printed(call("stream", path, *options))
    assert figures["n"] == 3
    assert [point["max_error"] for point in figures["points"]] == [0.0, 0.5]
    assert figures["points"][0]["promised"] == {"hit_rate": pytest.approx(1 / 3), "error_rate": 0.0, "precision": 1.0}
    assert set(figures["points"][0]) == {"max_error", "best", "static", "promised"}
