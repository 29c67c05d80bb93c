"""Questions that belong together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semroute.tuning.components import components

PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def joined_by_hand(pairs: list[tuple[int, int]]) -> list[int]:
    """Merge sets of questions until no pair joins two."""
    sets = [{one, other} for one, other in pairs]
    changed = True
    while changed:
        changed = False
        for mine in sets:
            for theirs in sets:
                if mine is not theirs and mine & theirs and mine != theirs:
                    mine |= theirs
                    changed = True
    return [min(found) for found in sets]


@given(PAIRS)
def test_pairs_that_share_a_question_however_far_apart_are_one_component(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array([pair[side] for pair in pairs], np.uint64) for side in (0, 1))
    found = components(one, other).tolist()
    expected = joined_by_hand(pairs)
    assert [[a == b for b in found] for a in found] == [[a == b for b in expected] for a in expected]


def test_a_long_chain_in_any_order_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(50_000).astype(np.uint64)
    assert len(np.unique(components(order, order + np.uint64(1)))) == 1


def test_components_are_numbered_from_zero() -> None:
    far = np.array([2**63, 5, 2**63], np.uint64)
    assert sorted(set(components(far, np.array([1, 6, 2], np.uint64)).tolist())) == [0, 1]
