"""Connected components of questions: pairs that share one, directly or through others, belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def components(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the component of each pair, as numbers from 0; `one` and `other` are digests of its two questions.

    Each question takes the least number among its neighbours and those that it points to, until nothing changes
    (label propagation with pointer jumping): a few passes over arrays, without an object for each question.
    """
    if not len(one):
        return np.zeros(0, np.int64)
    _, numbers = np.unique(np.concatenate([one, other]), return_inverse=True)
    left, right = numbers[: len(one)], numbers[len(one) :]
    root = np.arange(int(numbers.max()) + 1)
    while True:
        least = np.minimum(root[left], root[right])
        joined = root.copy()
        np.minimum.at(joined, root[left], least)
        np.minimum.at(joined, root[right], least)
        while not np.array_equal(joined, jumped := joined[joined]):
            joined = jumped
        if np.array_equal(joined, root):
            break
        root = joined
    return np.unique(root[left], return_inverse=True)[1].astype(np.int64)
