"""`semroute router train` and `semroute eval router`: a router fitted, used and measured, and input that is none."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from semroute.cli.main import app

RUN = CliRunner()


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Easy and hard questions; the weak model knows the easy ones."""
    chance, path = random.Random(5), tmp_path / "prompts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "tier:weak", "tier:strong", "weak", "strong", "seen"])
        for number in range(300):
            is_hard = chance.random() < 0.5
            opening = "Prove step by step that the sum is" if is_hard else "What colour is the flag of province"
            weak, strong = int(chance.random() < (0.2 if is_hard else 0.95)), int(chance.random() < 0.85)
            table.writerow([f"{opening} {number}", weak, strong, weak, strong, int(number < 20)])
    return path


def told(*words: object) -> tuple[int, str, str]:
    result = RUN.invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_a_router_is_fitted_and_its_choice_is_measured(prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "folder" / "router.json"
    code, page, said = told("router", "train", prompts, "--out", out, "--json")
    assert code == 0, said
    figures = json.loads(page)
    assert figures["rows"] == 300
    assert figures["figures"]["tiers"]["weak_auc"] > 0.7
    columns = ("--prompt", "prompt", "--weak", "weak", "--strong", "strong", "--drop", "seen")
    code, page, _ = told("eval", "router", prompts, *columns, "--router", out, "--json")
    assert code == 0
    measured = json.loads(page)
    assert measured["n"] == 280
    assert measured["apgr"]["low"] <= measured["apgr"]["value"] <= measured["apgr"]["high"]
    assert measured["apgr"]["value"] > 0.6
    code, page, _ = told("eval", "router", prompts, *columns, "--router", out)
    assert code == 0
    assert "CPT50" in page


def test_input_that_is_none_ends_in_one_sentence(prompts: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"prompt": "a"}\n', encoding="utf-8")
    code, _, said = told("router", "train", empty, "--out", tmp_path / "r.json")
    assert code == 2
    assert "no labels" in said.replace("\n", " ")
    columns = ("--prompt", "prompt", "--weak", "weak", "--strong", "prompt")
    code, _, said = told("eval", "router", prompts, *columns, "--router", empty)
    assert code == 2
    assert "no router" in said.replace("\n", " ")
    assert not (tmp_path / "r.json").exists()
