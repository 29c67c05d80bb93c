"""Exact neighbours among earlier requests."""

from __future__ import annotations

import numpy as np
import pytest

from semroute.evaluation.neighbours import nearest_earlier


def unit_rows(n: int, dimensions: int = 16) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rows = np.random.default_rng(7).standard_normal((n, dimensions)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_neighbours_over_several_blocks_are_those_of_a_plain_loop() -> None:
    vectors = unit_rows(600)
    may_serve = np.arange(600) % 3 != 0
    found = nearest_earlier(vectors, 4, may_serve=may_serve)
    for request in (0, 1, 2, 5, 255, 256, 257, 512, 599):
        scores = [(-float(vectors[at] @ vectors[request]), at) for at in range(request) if may_serve[at]]
        expected = sorted(scores)[:4]
        assert [at for at, _ in found.of(request)] == [at for _, at in expected]
        similarities = [similarity for _, similarity in found.of(request)]
        assert similarities == pytest.approx([max(0.0, -score) for score, _ in expected], abs=1e-5)


def test_nobody_stands_before_the_first_request() -> None:
    assert nearest_earlier(unit_rows(3), 2).of(0) == []


def test_of_equals_the_earlier_one_comes_first() -> None:
    vectors = np.repeat(unit_rows(1), 4, axis=0)
    assert [at for at, _ in nearest_earlier(vectors, 3).of(3)] == [0, 1, 2]
