"""Boosted trees, evaluated by numpy: every tree and every candidate at once, a step down at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forest:
    """Complete binary trees of one depth, whose values add up.

    A tree of depth d has 2**d − 1 inner nodes, in the order of their levels: the children of node i are 2i + 1 and
    2i + 2. A row goes to the second child where its feature is above the threshold. A tree that ends earlier has
    thresholds of infinity below its leaves.
    """

    features: NDArray[np.intp]
    """Columns, shape (trees, inner nodes)."""
    thresholds: Matrix
    """Shape (trees, inner nodes)."""
    values: Matrix
    """What a leaf adds, shape (trees, leaves)."""

    def __post_init__(self) -> None:
        n_trees, n_leaves = self.values.shape if self.values.ndim == 2 else (0, 0)
        if n_leaves < 2 or n_leaves & (n_leaves - 1):
            raise ConfigError(f"trees must have 2, 4, 8 … leaves, not values of the shape {self.values.shape}")
        for name in ("features", "thresholds"):
            shape = getattr(self, name).shape
            if shape != (n_trees, n_leaves - 1):
                raise ConfigError(f"{name} of {n_trees} trees with {n_leaves} leaves have the shape {shape}")
        if not np.isfinite(self.values).all() or np.isnan(self.thresholds).any():
            raise ConfigError("trees hold values that are no numbers")

    @cached_property
    def _levels(self) -> list[tuple[NDArray[np.intp], Matrix]]:
        """Columns and thresholds of the nodes of each level, tree after tree."""
        levels = [slice(2**level - 1, 2 ** (level + 1) - 1) for level in range(self.depth)]
        return [(self.features[:, level].ravel(), self.thresholds[:, level].ravel()) for level in levels]

    @classmethod
    def empty(cls, depth: int) -> Self:
        """Return the forest that adds nothing."""
        n_leaves = 2**depth
        return cls(np.zeros((0, n_leaves - 1), np.intp), np.zeros((0, n_leaves - 1)), np.zeros((0, n_leaves)))

    @property
    def depth(self) -> int:
        return int(self.values.shape[1]).bit_length() - 1

    def sums(self, rows: Matrix) -> Matrix:
        """Return what the trees add up to for each row; shape (rows,)."""
        numbers, starts = rows.ravel(), np.arange(len(rows))[:, None] * rows.shape[1]
        # The children of the node that is the p-th of its level, tree after tree, are the 2p-th of theirs and the next.
        place = np.arange(len(self.values)) * 2 + (numbers.take(self._levels[0][0] + starts) > self._levels[0][1])
        for features, thresholds in self._levels[1:]:
            asked = features.take(place)
            asked += starts
            above = numbers.take(asked) > thresholds.take(place)
            place += place
            place += above
        sums: Matrix = self.values.take(place).sum(axis=1)
        return sums

    def deepened(self, depth: int) -> Forest:
        """Return the same function as trees of a greater depth."""
        forest = self
        while forest.depth < depth:
            # Each leaf gets a node that sends every row to its first child.
            n_trees, n_leaves = forest.values.shape
            forest = Forest(
                np.hstack((forest.features, np.zeros((n_trees, n_leaves), np.intp))),
                np.hstack((forest.thresholds, np.full((n_trees, n_leaves), np.inf))),
                np.repeat(forest.values, 2, axis=1),
            )
        return forest

    def with_more(self, more: Forest) -> Forest:
        """Return the sum of two forests."""
        depth = max(self.depth, more.depth)
        one, two = self.deepened(depth), more.deepened(depth)
        return Forest(
            np.vstack((one.features, two.features)),
            np.vstack((one.thresholds, two.thresholds)),
            np.vstack((one.values, two.values)),
        )
