"""What is run for the report beside the protocols, and how it is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals import measure
from evals.datasets import dataset
from evals.measure import EvaluationError, Plan, command_of, out_of_fold, run_online, standing_verifier
from semroute.guards.verifier import SHIPPED
from semroute.policy import Policy
from semroute.testing.embedders import HashEmbedder

ROW = {
    "max_error": 0.01,
    "method": "vCache rule",
    "hit_rate": 0.02,
    "error_rate": 0.005,
    "precision": 0.75,
    "worst_error_rate": 0.006,
    "explored": 0.1,
}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script where evals/online.py would be."""
    path = tmp_path / "online.py"
    monkeypatch.setattr(measure, "_ONLINE", path)
    return path


def test_policies_that_learn_are_run_on_the_stream_by_their_own_script(script: Path, data: Path) -> None:
    script.write_text(
        "import json, pathlib, sys\n"
        "assert pathlib.Path(sys.argv[1]).is_file()\n"
        f"print(json.dumps({{'n': int(sys.argv[sys.argv.index('--limit') + 1]), 'rows': [{json.dumps(ROW)}]}}))\n"
    )
    run = run_online(Plan(str(data), limit=50))
    assert run.n == 50
    (row,) = run.rows
    assert (row.method, row.hit_rate, row.worst_error_rate) == ("vCache rule", 0.02, 0.006)
    assert run.command == "python evals/online.py qqp/stream.csv.gz --text text --class class_norm --limit 50"


def test_a_script_that_fails_is_an_error(script: Path, data: Path) -> None:
    script.write_text("raise SystemExit(3)")
    with pytest.raises(EvaluationError, match="status 3"):
        run_online(Plan(str(data)))


def test_no_verifier_stands_behind_vectors_that_it_does_not_know() -> None:
    assert standing_verifier(Policy(), HashEmbedder()) is None


def test_the_card_of_the_shipped_verifier_tells_of_unseen_pairs() -> None:
    told = out_of_fold(json.loads(SHIPPED.read_text())["card"]["coefficients"])
    assert {"paws_qqp", "qqp", "mqp_medical"} <= told.keys()
    assert told["gptcache_mock"].false_hit_rate is None
    assert told["qqp"].n > 30_000


def test_the_card_says_nothing_of_another_verifier() -> None:
    assert out_of_fold("another") == {}


def test_a_command_names_limit_and_policy() -> None:
    command = command_of(dataset("timeqa"), Plan(None, policy="0.9", limit=30))
    assert command.endswith("eval pairs timeqa/pairs.csv --q1 q1 --q2 q2 --label same_answer --limit 30 --policy 0.9")


def test_a_set_of_our_own_is_named_from_the_root_of_the_repository() -> None:
    assert "evals/same_place.jsonl --q1 q1 --q2 q2" in command_of(dataset("same_place"), Plan("somewhere"))
