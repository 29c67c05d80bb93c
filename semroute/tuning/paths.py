"""Paths: policies in an order from strict to lenient, each of which serves all that those before it serve.

A path has one number, its level: a pair is served where its rank reaches the level. With one cell the rank is the
score itself (P(reusable) behind a verifier, else similarity). With several, the same score means different things in
different cells, so that a logistic curve for each cell, fitted on pairs that are not tested on, brings them to one
scale: the log-odds that what is served is right. At equal log-odds in all cells no cell gives more hits for an error
than another one does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.policy import Cell, Policy
from semroute.tuning.scored import CELLS, Fate, ScoredPairs

if TYPE_CHECKING:
    from semroute.tuning.scored import Bools, Floats

ENOUGH: Final = 50
"""A cell has data when at least so many of its pairs are gated, and so few that a curve can be fitted at all."""
_RIDGE: Final = 1e-3
_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class Family:
    """What a path leaves fixed: whether the lexical guards must pass, and a floor for the score it does not rank by."""

    requires_guards: bool
    uses_verifier: bool
    floor: float = 0.0
    """The least similarity where P(reusable) ranks."""

    def score(self, pairs: ScoredPairs) -> Floats:
        """Return what ranks each pair, and -inf for those that this family never serves."""
        ranked = pairs.p_reusable if self.uses_verifier else pairs.similarity
        assert ranked is not None
        is_open = pairs.similarity >= self.floor
        if self.requires_guards:
            is_open = is_open & pairs.passes_guards
        return np.where(is_open, ranked.astype(np.float64), -np.inf)

    def cell(self, place: int, score: float) -> Cell:
        """Return the needs of one cell at a score."""
        strategy, is_sure = CELLS[place]
        if self.uses_verifier:
            return Cell(strategy, is_sure, self.floor, score, self.requires_guards)
        return Cell(strategy, is_sure, score, None, self.requires_guards)


@dataclass(frozen=True, slots=True)
class Curve:
    """Log-odds of a right answer as a line over a score (over its log-odds, where it is a probability)."""

    slope: float
    intercept: float
    is_of_odds: bool

    @classmethod
    def fit(cls, score: Floats, is_right: Bools, weight: Floats, *, is_of_odds: bool) -> Curve | None:
        """Fit by Newton's method with a small ridge; None where the score does not tell right from wrong."""
        x = _log_odds(score) if is_of_odds else score
        design = np.stack([x, np.ones_like(x)], axis=1)
        beta = np.zeros(2)
        for _ in range(_STEPS):
            p = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -30.0, 30.0)))
            gradient = design.T @ (weight * (is_right - p)) - _RIDGE * beta
            hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
            step = np.linalg.solve(hessian, gradient)
            beta += np.clip(step, -5.0, 5.0)
            if float(np.abs(step).max()) < 1e-9:
                break
        slope, intercept = (float(value) for value in beta)
        return cls(slope, intercept, is_of_odds) if slope > 1e-6 and math.isfinite(intercept) else None

    def rank(self, score: Floats) -> Floats:
        """Return the log-odds at scores; -inf stays -inf."""
        with np.errstate(invalid="ignore"):
            x = _log_odds(score) if self.is_of_odds else score
        return np.where(np.isneginf(score), -np.inf, self.slope * x + self.intercept)

    def score(self, rank: float) -> float:
        """Return the score at which the log-odds are reached, within [0, 1]."""
        x = (rank - self.intercept) / self.slope
        if self.is_of_odds:
            return 1.0 / (1.0 + math.exp(-min(max(x, -700.0), 700.0)))
        return min(max(x, 0.0), 1.0)


def _log_odds(p: Floats) -> Floats:
    kept = np.clip(p, 1e-9, 1.0 - 1e-9)
    return np.asarray(np.log(kept) - np.log1p(-kept))


@dataclass(frozen=True, slots=True)
class Path:
    """Policies of one family, by their level."""

    family: Family
    curves: Mapping[int, Curve | None]
    """For each cell with data its curve; None where it alone has data, and the score is the rank."""
    base: Policy
    """Says what is served where there is no data: what the gate asks of it when it is unsure."""

    @classmethod
    def learn(cls, family: Family, pairs: ScoredPairs, base: Policy) -> Path:
        """Choose the cells that have data, and fit their curves."""
        score = family.score(pairs)
        is_open = pairs.fates(Fate.GATED) & np.isfinite(score)
        gated = [pairs.in_cell(place) & is_open for place in range(len(CELLS))]
        full = [place for place in range(len(CELLS)) if _has_data(pairs, gated[place])]
        # A router that is unsure gets no more than one that is sure, so it needs data of both.
        usable = [place for place in full if CELLS[place][1] or CELLS.index((CELLS[place][0], True)) in full]
        if len(usable) <= 1:
            return cls(family, {usable[0] if usable else _fullest(gated): None}, base)
        fitted = {
            place: Curve.fit(
                score[gated[place]],
                pairs.is_right[gated[place]],
                pairs.weights[gated[place]],
                is_of_odds=family.uses_verifier,
            )
            for place in usable
        }
        curves = {place: curve for place, curve in fitted.items() if curve is not None}
        lone = [place for place in curves if not CELLS[place][1] and CELLS.index((CELLS[place][0], True)) not in curves]
        kept: dict[int, Curve | None] = {place: curve for place, curve in curves.items() if place not in lone}
        return cls(family, kept if kept else {_fullest(gated): None}, base)

    def rank(self, pairs: ScoredPairs) -> Floats:
        """Return the level down to which each pair is served; inf for always, -inf for never."""
        score = self.family.score(pairs)
        gated = pairs.fates(Fate.GATED)
        rank = np.where(gated & self._is_strictly_served(pairs), np.inf, -np.inf)
        for place in self.curves:
            chosen = gated & pairs.in_cell(place)
            rank[chosen] = self._rank_in(place, score[chosen])
        rank[pairs.fates(Fate.ALWAYS)] = np.inf
        return rank

    def cells(self, level: float) -> tuple[Cell, ...]:
        """Return what the policy at a level needs in each cell with data."""
        return tuple(self.family.cell(place, self._score_in(place, level)) for place in sorted(self.curves))

    def cells_at_one(self) -> tuple[Cell, ...]:
        """Return the cells at the highest score there is."""
        return tuple(self.family.cell(place, 1.0) for place in sorted(self.curves))

    def _rank_in(self, place: int, score: Floats) -> Floats:
        """Rank scores of one cell; where the router is unsure none is ranked over the same score where it is sure."""
        ranks = [score if curve is None else curve.rank(score) for curve in self._curves_of(place)]
        return np.asarray(np.minimum.reduce(ranks), np.float64)

    def _score_in(self, place: int, level: float) -> float:
        return max(level if curve is None else curve.score(level) for curve in self._curves_of(place))

    def _curves_of(self, place: int) -> list[Curve | None]:
        strategy, is_sure = CELLS[place]
        return [self.curves[place]] if is_sure else [self.curves[place], self.curves[CELLS.index((strategy, True))]]

    def _is_strictly_served(self, pairs: ScoredPairs) -> Bools:
        served = (pairs.similarity >= self.base.strict_threshold) & pairs.passes_guards
        if pairs.p_reusable is not None:
            served = served & (pairs.p_reusable >= self.base.strict_p_reusable)
        return np.asarray(served)


def _fullest(gated: Sequence[Bools]) -> int:
    """Return the cell, among those where the router is sure, that has the most pairs."""
    return max((place for place in range(len(CELLS)) if CELLS[place][1]), key=lambda place: int(gated[place].sum()))


def _has_data(pairs: ScoredPairs, chosen: Bools) -> bool:
    return int(np.count_nonzero(chosen)) >= ENOUGH and bool(np.any(pairs.is_right[chosen]))


def families(pairs: ScoredPairs) -> list[Family]:
    """Return the families that pairs allow, strictest first."""
    if pairs.p_reusable is None:
        return [Family(requires_guards=True, uses_verifier=False), Family(requires_guards=False, uses_verifier=False)]
    return [Family(guards, True, floor) for guards in (True, False) for floor in (0.85, 0.8, 0.7, 0.6, 0.5, 0.0)]
