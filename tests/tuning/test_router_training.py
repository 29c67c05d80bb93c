"""Fitting a router on rows of one's own: both halves, one of them, and rows that are no training data."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from semroute.errors import ConfigError
from semroute.router._file import RouterFile
from semroute.testing.embedders import HashEmbedder
from semroute.tuning.router_training import judged_prompts, train_router, training_rows

EASY = ("Say hello to {}", "Name the colour of {}", "Spell the word {}")
HARD = ("Prove the theorem of {} in detail", "Derive the bound of {} step by step", "Refactor the engine of {}")
NOUNS = [
    f"{first}{second}"
    for first in ("ba", "do", "ki", "lu", "me", "no", "pa", "re")
    for second in ("lo", "ra", "ti", "ve", "zu")
]


def rows(n: int = 400, *, labels: bool = True, tiers: bool = True) -> list[dict[str, object]]:
    chance = random.Random(3)
    made: list[dict[str, object]] = []
    for number in range(n):
        is_hard = number % 2 == 1
        prompt = chance.choice(HARD if is_hard else EASY).format(f"{chance.choice(NOUNS)} {number}")
        row: dict[str, object] = {"prompt": prompt}
        if labels:
            row["complexity"] = ("high" if is_hard else "low") if number % 5 else "medium"
        if tiers:
            row["tier:small"] = int(chance.random() < (0.2 if is_hard else 0.9))
            row["tier:large"] = int(chance.random() < 0.9)
        made.append(row)
    return made


def test_both_halves_are_fitted_and_the_card_says_on_what_and_how_they_did() -> None:
    trained = train_router(rows(), HashEmbedder(), source="mine.jsonl")
    file = RouterFile.of_json(json.loads(trained.file.text()), "again")
    assert file.heads is not None
    assert file.heads.names == ("complexity",)
    assert file.tiers is not None
    assert file.tiers.tiers == ("small", "large")
    assert file.gains == sorted(file.gains)
    assert "Fitted on mine.jsonl: 400 rows" in file.card
    assert trained.figures["tiers"]["rows"] == 400
    assert "Prove" not in file.text()


@pytest.mark.parametrize(("labels", "tiers"), [(True, False), (False, True)])
def test_labels_of_one_kind_make_half_a_router(labels: bool, tiers: bool) -> None:
    file = train_router(rows(labels=labels, tiers=tiers), HashEmbedder(), source="mine").file
    assert (file.heads is not None, file.tiers is not None) == (labels, tiers)


def test_a_decision_log_says_which_tiers_were_good_enough() -> None:
    logged = [
        {"prompt": "a", "good_tiers": [1, 2]},
        {"prompt": "b", "good_tiers": "[2]"},
        {"prompt": "c", "good_tiers": None},
    ]
    assert [one.is_good for one in judged_prompts(logged)] == [{"1": True, "2": True}, {"1": False, "2": True}]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ([{"prompt": "a"}], "no labels: give columns intent"),
        ([{"text": "a"}], "no column prompt"),
        (rows(10, labels=False), "10 judged prompts are too few"),
        ([{**row, "tier:small": 1, "tier:large": 1} for row in rows(labels=False)], "it takes one"),
        ([{"prompt": "a", "good_tiers": "most"}], "row 1: good_tiers must be a list of tiers"),
        ([{"prompt": row["prompt"], "tier:only": 1} for row in rows()], "one tier only"),
        (
            [{"prompt": row["prompt"], "intent": "chat"} for row in rows()],
            "10 different prompts of each class",
        ),
    ],
)
def test_rows_that_are_no_training_data_are_refused_with_what_is_missing(made: list, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        train_router(made, HashEmbedder(), source="mine.jsonl")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"text": "a", "kind": "b"}', "no column prompt; it has text, kind; and there are no labels: give columns"),
        ('{"text": "a", "intent": "chat"}', "no column prompt; it has text, intent$"),
        ('{"text": "a", "tier:small": 1}', "no column prompt; it has text, tier:small$"),
        ('{"text": "a", "good_tiers": [1]}', "no column prompt; it has text, good_tiers$"),
    ],
)
def test_a_file_without_prompts_is_told_in_one_what_else_it_lacks(tmp_path: Path, row: str, told: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(row + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        training_rows([path])


def test_the_rows_of_several_files_are_read_in_turn(tmp_path: Path) -> None:
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path in paths:
        path.write_text(f'{{"prompt": "{path.stem}"}}\n' * 2, encoding="utf-8")
    assert [row["prompt"] for row in training_rows(paths, limit=1)] == ["one", "two"]
