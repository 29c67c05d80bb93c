"""The evaluation of routers: typos, what is read of the sets, and what the tables say."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.routing.measure import calibration_run, pair_run, with_typo
from evals.routing.page import _markdown, _pair
from evals.routing.results import LENGTH, ORACLE, OURS, RANDOM
from evals.routing.sets import SOURCES, STRONG, WEAK, PromptSet, _read
from semroute.errors import ConfigError


def prompt_set(n: int = 200) -> PromptSet:
    rng = np.random.default_rng(0)
    quality = np.stack([rng.random(n) < 0.6, rng.random(n) < 0.9], axis=1).astype(float)
    return PromptSet(
        name="made",
        title="a set that was made",
        prompts=["word " * (1 + place % 7) for place in range(n)],
        models=[WEAK, STRONG],
        quality=quality,
        cost=None,
        vectors=np.zeros((n, 384), np.float32),
        has_vector=np.ones(n, np.bool_),
        fits_whole=np.ones(n, np.bool_),
        dropped=0,
        is_as_measured=False,
    )


@given(st.text(st.sampled_from("abcdeXYZ .,\n12"), max_size=60), st.integers(0, 1_000))
def test_a_typo_changes_one_word_at_most(text: str, seed: int) -> None:
    mistyped = with_typo(text, random.Random(seed))
    before, after = text.split(" "), mistyped.split(" ")
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1


def test_a_typo_is_the_same_for_the_same_seed() -> None:
    question = "Which planet is the largest of them all?"
    assert with_typo(question, random.Random(1)) == with_typo(question, random.Random(1))
    assert len({with_typo(question, random.Random(seed)) for seed in range(20)}) > 5


def test_every_router_stands_beside_the_plain_ones() -> None:
    one = prompt_set()
    p = np.column_stack([np.where(one.of(WEAK) > 0, 0.8, 0.3), np.full(200, 0.9)])
    run = pair_run(one, {OURS: p}, [p])
    by_name = {row.router: row.figures.apgr.value for row in run.rows}
    assert list(by_name) == [RANDOM, LENGTH, OURS, ORACLE]
    assert by_name[RANDOM] == pytest.approx(0.5)
    assert 0.5 < by_name[OURS] <= by_name[ORACLE]
    assert run.of_splits == [pytest.approx(by_name[OURS])]
    assert run.above_length is not None
    assert run.above_length.value == pytest.approx(by_name[OURS] - by_name[LENGTH])
    for row in run.rows:
        assert (row.curve[0][1], row.curve[-1][1]) == pytest.approx((run.weak, run.strong))
    title, heads, rows = _pair(run)
    assert "another file than ours" in title
    table = _markdown(heads, rows)
    assert "| always weak | accuracy 0." in table
    assert "| random | 0.500 (0.500 to 0.500) |" in table


def test_a_calibration_weighs_its_bins() -> None:
    one = prompt_set()
    share = float(one.of(WEAK).mean())
    run = calibration_run(one, 0, np.full((200, 2), 0.5))
    assert run.ece == pytest.approx(abs(share - 0.5))
    assert [each.n for each in run.bins] == [200]


def test_contaminated_rows_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / SOURCES[1].file.path
    path.parent.mkdir(parents=True)
    path.write_text("prompt,weak_correct,strong_correct,contaminated\na  b,1,0,0\nc,0,1,1\n", encoding="utf-8")
    _, read = _read(SOURCES[1], tmp_path, None)
    assert (list(read.whole), read.quality.tolist(), read.dropped) == (["a b"], [[1.0, 0.0]], 1)
    assert not read.is_as_measured


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name a data folder that holds routing/routellm_mmlu\.csv\.gz"):
        _read(SOURCES[0], tmp_path, None)
