"""Labelled pairs as numbers: all that tuning needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from semroute.errors import ConfigError
from semroute.gate import open_gate
from semroute.policy import Policy, TunedStrategy
from semroute.router.decision import RoutingDecision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

CELLS: Final[tuple[tuple[TunedStrategy, bool], ...]] = (
    ("standard", True),
    ("standard", False),
    ("aggressive", True),
    ("aggressive", False),
)
"""The cells of the router's decisions: strategy, and whether the router is sure. Arrays hold the position in here."""


class Fate(IntEnum):
    """What decides about a pair."""

    NEVER = 0
    """Rules that no policy changes keep it out of the cache, or nothing could be compared."""
    GATED = 1
    """The policy."""
    ALWAYS = 2
    """The exact tier: the same words."""


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Labelled pairs, each standing for one request; every array has the shape (n,).

    Raises ConfigError for arrays of different lengths, and for scores that are not in [0, 1].
    """

    similarity: NDArray[np.float32]
    """Cosine in [0, 1]; read where the fate is GATED."""
    is_right: Bools
    """The label: what would be served is a right answer."""
    passes_guards: Bools
    p_reusable: NDArray[np.float32] | None = None
    """The verifier's probability in [0, 1], or None where there is no verifier."""
    fate: NDArray[np.uint8] | None = None
    """A `Fate` each; None means that all are gated."""
    cell: NDArray[np.uint8] | None = None
    """Positions in CELLS; None means that all are in the first."""
    unit: NDArray[np.int64] | None = None
    """Pairs of one unit stay on one side of every split, and are not independent; None means that all are."""
    weight: Floats | None = None
    """How many requests each stands for (one over the chance that it was drawn), where labels were not drawn evenly.

    None means one each. With weights a promise is approximate: `semroute.tuning.bounds` says how far it held.
    """

    def __post_init__(self) -> None:
        n = len(self.similarity)
        for name in ("is_right", "passes_guards", "p_reusable", "fate", "cell", "unit", "weight"):
            array = getattr(self, name)
            if array is not None and array.shape != (n,):
                raise ConfigError(f"{name} must have the shape ({n},) as similarity has, not {array.shape}")
        for name in ("similarity", "p_reusable"):
            array = getattr(self, name)
            # Written so that NaN is refused too.
            if array is not None and not bool(np.all((array >= 0.0) & (array <= 1.0))):
                raise ConfigError(f"{name} must be in [0, 1], and some are not")
        if self.weight is not None and not bool(np.all((self.weight >= 0.0) & np.isfinite(self.weight))):
            raise ConfigError("weights must be finite and not negative, and some are not")

    def __len__(self) -> int:
        return len(self.similarity)

    @property
    def weights(self) -> Floats:
        """How many requests each pair stands for."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def units(self) -> NDArray[np.int64]:
        """The unit of each pair; each its own where none are given."""
        return np.arange(len(self), dtype=np.int64) if self.unit is None else self.unit

    def fates(self, fate: Fate) -> Bools:
        """Say which pairs have a fate."""
        if self.fate is None:
            return np.full(len(self), fate is Fate.GATED)
        return np.asarray(self.fate == fate)

    def in_cell(self, cell: int) -> Bools:
        """Say which pairs are in a cell, by its position in CELLS."""
        return np.full(len(self), cell == 0) if self.cell is None else np.asarray(self.cell == cell)

    def take(self, chosen: Bools | NDArray[np.int64]) -> ScoredPairs:
        """Return some of the pairs."""

        def some(array: NDArray[np.generic] | None) -> NDArray[np.generic] | None:
            return None if array is None else array[chosen]

        return ScoredPairs(
            **{name: some(getattr(self, name)) for name in self.__dataclass_fields__}  # type: ignore[arg-type]  # each of its own kind
        )


def cell_of(decision: RoutingDecision, min_confidence: float) -> int:
    """Return the position in CELLS of a decision, as the gate reads it."""
    is_aggressive = decision.cache_strategy == "aggressive" and decision.intent != "analysis"
    return CELLS.index(("aggressive" if is_aggressive else "standard", decision.confidence >= min_confidence))


def served(policy: Policy, pairs: ScoredPairs) -> Bools:
    """Say which pairs a tuned policy serves."""
    gated = pairs.fates(Fate.GATED)
    result = pairs.fates(Fate.ALWAYS)
    for place, (strategy, is_sure) in enumerate(CELLS):
        decision = RoutingDecision(cache_strategy=strategy, confidence=1.0 if is_sure else 0.0)
        gate = open_gate(decision, policy, has_verifier=pairs.p_reusable is not None)
        passes = (
            gated & pairs.in_cell(place) & (pairs.similarity >= (2.0 if gate.threshold is None else gate.threshold))
        )
        if gate.min_p_reusable is not None and pairs.p_reusable is not None:
            passes &= pairs.p_reusable >= gate.min_p_reusable
        result |= passes & (pairs.passes_guards | (not gate.requires_guards))
    return result
