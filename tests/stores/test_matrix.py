from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.stores._sqlite.matrix import Matrix, MatrixCache
from semroute.testing.entries import NOW


def matrix_of(vectors: np.ndarray, expires_at: float = NOW + 1) -> Matrix:
    matrix = Matrix(vectors.shape[1])
    for row, vector in enumerate(vectors):
        matrix.append(row, f"id{row}", f"q{row}", expires_at, vector)
    return matrix


def unit_vectors(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("dimensions", [1, 3, 384, 1536, 10_000])
@pytest.mark.parametrize("count", [1, 4, 5, 99])
@pytest.mark.parametrize("k", [1, 8, 9, 200])
def test_the_search_finds_what_a_plain_product_and_sort_find(count: int, dimensions: int, k: int) -> None:
    vectors = unit_vectors(count, dimensions)
    wanted = unit_vectors(1, dimensions, seed=1)[0]
    scores = np.clip(vectors.astype(np.float64) @ wanted, 0, 1)
    found = matrix_of(vectors).search(wanted, k, NOW)
    assert len(found) == min(k, count)
    best = np.sort(scores)[::-1][: len(found)]
    assert [candidate.similarity for candidate in found] == pytest.approx(list(best), abs=1e-5)
    assert all(candidate.similarity == pytest.approx(scores[int(candidate.id[2:])], abs=1e-5) for candidate in found)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 30)), max_size=60), st.integers(1, 40))
def test_after_any_changes_exactly_the_rows_that_are_left_are_found(changes: list[tuple[str, int]], k: int) -> None:
    matrix, left, row = Matrix(2), set[int](), 0
    for change, number in changes:
        if change == "add":
            matrix.append(row, f"id{row}", "", NOW + 1, np.array([1.0, 0.0], np.float32))
            left.add(row)
            row += 1
        else:
            matrix.remove(number)
            left.discard(number)
    found = [int(candidate.id[2:]) for candidate in matrix.search(np.array([1.0, 0.0], np.float32), k, NOW)]
    assert found == sorted(left)[:k]
    assert len(matrix) == len(left)


def test_a_matrix_that_is_mostly_removed_rows_says_so() -> None:
    matrix = matrix_of(unit_vectors(3000, 2))
    for row in range(1400):
        matrix.remove(row)
    assert not matrix.is_sparse
    for row in range(1400, 1600):
        matrix.remove(row)
    assert matrix.is_sparse


def test_the_least_recently_searched_matrix_is_dropped_first_and_the_newest_stays_however_large() -> None:
    small = matrix_of(unit_vectors(1, 2))
    cache = MatrixCache(max_bytes=2 * small.size_bytes)
    cache.get("a", generation=1)
    for name in ("a", "b"):
        cache.keep(name, matrix_of(unit_vectors(1, 2)), generation=1)
    assert cache.get("a", generation=1) is not None
    cache.keep("c", matrix_of(unit_vectors(1, 2)), generation=1)
    assert cache.get("b", generation=1) is None
    cache.keep("large", matrix_of(unit_vectors(1000, 2)), generation=1)
    assert len(cache) == 1
    assert cache.get("large", generation=1) is not None


def test_matrices_of_an_earlier_opening_are_forgotten() -> None:
    cache = MatrixCache(max_bytes=10**6)
    cache.get("a", generation=1)
    cache.keep("a", matrix_of(unit_vectors(1, 2)), generation=1)
    assert cache.get("a", generation=2) is None
    cache.keep("a", matrix_of(unit_vectors(1, 2)), generation=1)
    assert cache.get("a", generation=2) is None
    assert cache.size_bytes == 0
