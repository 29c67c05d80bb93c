"""Several models after RouterBench: what is offered, what is saved, and what the plain routers do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import pytest

from evals.routing.many import NEVER, _offered, many_models
from evals.routing.results import LENGTH, OURS, OURS_MEAN, RANDOM
from evals.routing.sets import PromptSet

T = TypeVar("T")
N = 400


def untracked(items: Sequence[T], what: str) -> Iterable[T]:
    return items


@pytest.fixture(scope="module")
def prompts() -> PromptSet:
    """Long prompts need the dear model, the cheap one is right on nearly every short one, and two are useless."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 40, N)
    is_long = lengths > 20
    cheap = np.where(is_long, rng.random(N) < 0.2, rng.random(N) < 0.97)
    dear, useless, slow = rng.random(N) < 0.95, rng.random(N) < 0.3, rng.random(N) < 0.4
    return PromptSet(
        name="made",
        title="a set that was made",
        prompts=[f"Say {'more of it ' * int(length)}for number {place}" for place, length in enumerate(lengths)],
        models=["cheap", "dear", "slow", "useless"],
        quality=np.stack([cheap, dear, slow, useless], axis=1).astype(float),
        cost=np.stack([np.full(N, 0.01), 0.5 + 0.001 * lengths, np.full(N, 0.3), np.full(N, 0.4)], axis=1),
        vectors=np.zeros((N, 8), np.float32),
        has_vector=np.zeros(N, np.bool_),
        fits_whole=np.zeros(N, np.bool_),
        dropped=0,
        is_as_measured=False,
    )


def test_a_model_that_a_far_cheaper_one_beats_is_not_offered(prompts: PromptSet) -> None:
    offered = _offered(prompts, np.arange(N) % 5)
    assert offered.all(axis=0).tolist() == [True, True, False, False]
    assert NEVER < 0


def test_what_is_easy_goes_to_the_cheap_model_at_no_loss(prompts: PromptSet) -> None:
    run = many_models(prompts, "an embedder", untracked, whole=False)
    assert run.best == "dear"
    rows = {row.router: row for row in run.rows}
    assert list(rows) == [OURS, OURS_MEAN, LENGTH, RANDOM]
    for name in (OURS, OURS_MEAN, LENGTH):
        assert (rows[name].saved_within_error or 0) > 0.3
    assert rows[RANDOM].saved_within_error is not None
    assert rows[RANDOM].saved_within_error < 0.1
    assert run.oracle.accuracy > max(one.accuracy for one in run.singles)
    kept = rows[OURS].kept[0]
    assert kept.difference.low <= kept.difference.value <= kept.difference.high
