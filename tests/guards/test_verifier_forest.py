"""The trees of a verifier give what walking down each of them gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.guards._verifier_forest import Forest


def grown(n_trees: int, depth: int, seed: int) -> Forest:
    chance = np.random.default_rng(seed)
    inner = 2**depth - 1
    return Forest(
        chance.integers(0, 6, (n_trees, inner)),
        np.round(chance.normal(size=(n_trees, inner)), 1),
        chance.normal(size=(n_trees, inner + 1)),
    )


def walked(forest: Forest, row: np.ndarray) -> float:
    total = 0.0
    for features, thresholds, values in zip(forest.features, forest.thresholds, forest.values, strict=True):
        node = 0
        while node < len(features):
            node = 2 * node + (2 if row[features[node]] > thresholds[node] else 1)
        total += values[node - len(features)]
    return total


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(1, 5), st.integers(0, 4), st.integers(0, 10_000))
def test_the_sums_are_those_of_walking_down_every_tree(n_trees: int, depth: int, n_rows: int, seed: int) -> None:
    forest = grown(n_trees, depth, seed)
    # Rounded, so that some values are equal to a threshold: those go to the first child.
    rows = np.round(np.random.default_rng(seed + 1).normal(size=(n_rows, 6)), 1)
    assert forest.sums(rows) == pytest.approx([walked(forest, row) for row in rows])


def test_deeper_trees_are_the_same_function() -> None:
    forest, rows = grown(5, 2, 1), np.random.default_rng(2).normal(size=(20, 6))
    assert forest.deepened(4).depth == 4
    assert forest.deepened(4).sums(rows) == pytest.approx(forest.sums(rows))


def test_two_forests_add_up_whatever_their_depths() -> None:
    one, two, rows = grown(5, 2, 1), grown(3, 4, 2), np.random.default_rng(3).normal(size=(20, 6))
    assert one.with_more(two).sums(rows) == pytest.approx(one.sums(rows) + two.sums(rows))


def test_the_empty_forest_adds_nothing() -> None:
    assert Forest.empty(3).sums(np.ones((2, 6))).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("features", "thresholds", "values"),
    [((1, 3), (1, 3), (1, 3)), ((1, 2), (1, 3), (1, 4)), ((1, 3), (2, 3), (1, 4)), ((1, 0), (1, 0), (1, 1))],
)
def test_shapes_that_are_no_trees_are_refused(
    features: tuple[int, int], thresholds: tuple[int, int], values: tuple[int, int]
) -> None:
    with pytest.raises(ConfigError, match="trees"):
        Forest(np.zeros(features, np.intp), np.zeros(thresholds), np.zeros(values))


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="no numbers"):
        Forest(np.zeros((1, 1), np.intp), np.full((1, 1), np.nan), np.zeros((1, 2)))
