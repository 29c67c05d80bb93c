"""The yardstick: a cache that compares the last user text alone, at a cosine of 0.8."""

from __future__ import annotations

import numpy as np
import pytest

from semroute.cli.plain_cosine import PlainCosine

from .replaying import row


def vectors(*degrees: float) -> np.ndarray:
    """Return one unit vector in the plane for each angle."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_the_nearest_earlier_question_at_or_over_the_threshold_is_served() -> None:
    rows = [row("a", "a"), row("b", "b"), row("c", "b")]
    (hit,) = PlainCosine().replay(rows, vectors(0, 60, 50))
    assert (hit.position, hit.served) == (2, 1)
    assert hit.similarity == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert not hit.is_wrong


def test_another_answer_class_is_a_wrong_hit() -> None:
    (hit,) = PlainCosine().replay([row("a", "a"), row("b", "b")], vectors(0, 10))
    assert hit.is_wrong


def test_a_question_that_was_served_is_not_kept() -> None:
    hits = PlainCosine().replay([row("a", "a"), row("b", "a"), row("c", "a")], vectors(0, 30, 60))
    assert [hit.position for hit in hits] == [1]


def test_tenants_are_mixed_up_unless_they_are_given_spaces_of_their_own() -> None:
    rows = [row("a", "a", tenant="x"), row("a", "a", tenant="y")]
    (hit,) = PlainCosine().replay(rows, vectors(0, 0))
    assert hit.is_wrong
    assert PlainCosine(is_isolated=True).replay(rows, vectors(0, 0)) == []


def test_the_history_is_not_looked_at_even_in_a_space_of_its_own() -> None:
    rows = [row("a", "a"), row("a", "b", history=[{"role": "user", "content": "before"}])]
    (hit,) = PlainCosine(is_isolated=True).replay(rows, vectors(0, 0))
    assert hit.is_wrong
