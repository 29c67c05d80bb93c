"""Boosted trees, evaluated by numpy: every tree and every candidate at once, level by level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
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
        n_rows, (n_trees, n_inner) = len(rows), self.features.shape
        # One bit for each inner node of each tree, then as many steps as a tree is deep.
        above = (np.take(rows, self.features.ravel(), axis=1) > self.thresholds.ravel()).ravel()
        first = np.arange(n_rows * n_trees) * n_inner
        node = np.zeros(n_rows * n_trees, np.intp)
        for _ in range(self.depth):
            node += node + 1 + above[first + node]
        leaf = node.reshape(n_rows, n_trees) - n_inner + np.arange(n_trees) * (n_inner + 1)
        sums: Matrix = self.values.ravel()[leaf].sum(axis=1)
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
