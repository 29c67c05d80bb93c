"""Boosted trees, evaluated by numpy: every tree and every candidate at once.

For a few candidates every node is asked, and a table says which leaf the answers lead to; for many it goes a step down
at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]

_FEW_ROWS = 8
_FEW_LEVELS = 4
_N_BITS = 2**_FEW_LEVELS
"""The answers of a tree's inner nodes, one bit each and one that is never set, make a number of two bytes."""
_TWO_BYTES = np.dtype("<u2")


@lru_cache(maxsize=_FEW_LEVELS)
def _leaves(depth: int) -> NDArray[np.uint8]:
    """Return the leaf that a tree of a depth ends at, by its nodes' answers: the n-th bit is that of the n-th node."""
    answers = np.arange(2 ** (_N_BITS - 1))
    node = np.zeros_like(answers)
    for _ in range(depth):
        node = 2 * node + 1 + (answers >> node & 1)
    leaves: NDArray[np.uint8] = (node - (2**depth - 1)).astype(np.uint8)
    return leaves


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

    @cached_property
    def _nodes(self) -> tuple[NDArray[np.intp], Matrix, NDArray[np.uint8], NDArray[np.intp]]:
        """Columns and thresholds of all nodes, tree after tree and as many of each as it has bits; leaves by answers.

        The last are the places of the first leaf of each tree.
        """
        n_trees, n_nodes = self.features.shape
        columns, thresholds = np.zeros((n_trees, _N_BITS), np.intp), np.full((n_trees, _N_BITS), np.inf)
        columns[:, :n_nodes], thresholds[:, :n_nodes] = self.features, self.thresholds
        return columns.ravel(), thresholds.ravel(), _leaves(self.depth), np.arange(n_trees) * (n_nodes + 1)

    @classmethod
    def empty(cls, depth: int) -> Self:
        """Return the forest that adds nothing."""
        n_leaves = 2**depth
        return cls(np.zeros((0, n_leaves - 1), np.intp), np.zeros((0, n_leaves - 1)), np.zeros((0, n_leaves)))

    @property
    def depth(self) -> int:
        return int(self.values.shape[1]).bit_length() - 1

    @cached_property
    def _is_shallow(self) -> bool:
        return self.depth <= _FEW_LEVELS

    def sums(self, rows: Matrix) -> Matrix:
        """Return what the trees add up to for each row; shape (rows,)."""
        ends = self._ends_of_few(rows) if len(rows) <= _FEW_ROWS and self._is_shallow else self._ends(rows)
        sums: Matrix = np.add.reduce(self.values.take(ends), axis=1)
        return sums

    def _ends_of_few(self, rows: Matrix) -> NDArray[np.intp]:
        """Return the places of the leaves that the rows end at, shape (rows, trees)."""
        columns, thresholds, leaves, first_leaves = self._nodes
        answers = np.packbits(rows.take(columns, axis=1) > thresholds, axis=1, bitorder="little").view(_TWO_BYTES)
        places: NDArray[np.intp] = leaves.take(answers) + first_leaves
        return places

    def _ends(self, rows: Matrix) -> NDArray[np.intp]:
        """Do the same for many rows: only the nodes that they come by are asked."""
        numbers, starts = rows.ravel(), np.arange(len(rows))[:, None] * rows.shape[1]
        # The children of the node that is the p-th of its level, tree after tree, are the 2p-th of theirs and the next.
        place = np.arange(len(self.values)) * 2 + (numbers.take(self._levels[0][0] + starts) > self._levels[0][1])
        for features, thresholds in self._levels[1:]:
            asked = features.take(place)
            asked += starts
            above = numbers.take(asked) > thresholds.take(place)
            place += place
            place += above
        places: NDArray[np.intp] = place
        return places

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
