"""The numbers behind a verifier: stochastic gradient boosting, out-of-fold margins, and their calibration.

scikit-learn grows the trees; what is kept of them are plain numbers that `semroute.guards.verifier` evaluates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from semroute.errors import MissingExtra
from semroute.guards._features import FEATURES
from semroute.guards._verifier_forest import Forest
from semroute.guards.verifier import MOST_VETOED, probability

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]
    Table: TypeAlias = NDArray[np.float32]

_LEAST_CURVATURE: Final = 0.02
"""Newton steps on pairs that are all but decided would be too wide."""
_DIGITS: Final = 6
"""Significant digits of the numbers that are kept."""
_CHUNK: Final = 4_096


@dataclass(frozen=True, slots=True)
class Settings:
    """How the trees are grown: stochastic gradient boosting (Friedman 2002) with Newton steps."""

    rounds: int = 200
    rate: float = 0.12
    depth: int = 4
    share_of_rows: float = 0.5
    share_of_features: float = 0.25
    least_in_leaf: int = 50
    push: float = 6.0
    """What a unit of similarity adds to the log-odds beside what the fit finds.

    Trees that are fitted on noisy labels lean on words; with the push they rank better. Calibration comes after it.
    """
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled pairs as numbers; all arrays have one item, or one row, a pair."""

    features: Table
    similarities: Numbers
    is_right: Flags
    is_vetoed: Flags
    """Whether they differ in a way that is never served."""
    weights: Numbers
    """What each counts in the fit; 0 leaves it out."""
    units: NDArray[np.int64]
    """Pairs that share a question, directly or through others, have the same number."""

    def __len__(self) -> int:
        return len(self.is_right)

    def some(self, chosen: Flags) -> Examples:
        """Return the chosen pairs."""
        return Examples(
            self.features[chosen],
            self.similarities[chosen],
            self.is_right[chosen],
            self.is_vetoed[chosen],
            self.weights[chosen],
            self.units[chosen],
        )

    def folds(self, n: int, seed: int) -> NDArray[np.int64]:
        """Return the fold of each pair; pairs of one unit are in one fold, and the folds are about equally large."""
        sizes = np.bincount(self.units)
        order = np.random.default_rng(seed).permutation(len(sizes))
        filled = np.zeros(n)
        fold_of = np.zeros(len(sizes), np.int64)
        # The large units first, each into the fold that has the least.
        for unit in order[np.argsort(-sizes[order], kind="stable")]:
            fold_of[unit] = np.argmin(filled)
            filled[fold_of[unit]] += sizes[unit]
        return np.asarray(fold_of[self.units])


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Log-odds as a function of features and similarity: a line in the similarity, and trees."""

    intercept: float
    slope: float
    """What a unit of similarity adds."""
    forest: Forest

    def margins(self, features: Table, similarities: Numbers) -> Numbers:
        """Return the log-odds of pairs; shape (pairs,)."""
        starts = range(0, len(features), _CHUNK)
        sums = [self.forest.sums(features[start : start + _CHUNK].astype(np.float64)) for start in starts]
        by_trees: Numbers = np.concatenate([np.zeros(0), *sums])
        return self.intercept + self.slope * similarities + by_trees

    def with_trees(self, forest: Forest) -> Score:
        """Return the same log-odds with more trees on top."""
        return Score(self.intercept, self.slope, self.forest.with_more(forest))

    def calibrated(self, by: Calibration) -> Score:
        """Return the calibrated log-odds."""
        trees = self.forest
        return Score(
            float(_rounded(by.scale * self.intercept + by.shift)),
            float(_rounded(by.scale * (self.slope + by.push))),
            Forest(trees.features, trees.thresholds, _rounded(trees.values * by.scale)),
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """From margins to log-odds that are as often right as they say: scale · (margin + push · similarity) + shift."""

    scale: float
    shift: float
    push: float

    @classmethod
    def fitted(cls, margins: Numbers, examples: Examples, push: float, shrinkage: float) -> Calibration:
        """Fit scale and shift by Platt's method on margins that are out of fold.

        `shrinkage` draws the scale towards 1 and the shift towards 0, as that many pairs would.
        """
        weights = (examples.weights > 0).astype(np.float64)
        pushed = margins + push * examples.similarities
        scale, shift = _logistic(pushed, examples.is_right, weights, shrinkage, (1.0, 0.0))
        return cls(scale, shift, push)

    def of(self, margins: Numbers, similarities: Numbers) -> Numbers:
        """Return the log-odds of pairs with these margins."""
        return self.scale * (margins + self.push * similarities) + self.shift


def line(examples: Examples) -> Score:
    """Return the log-odds by the similarity alone: what the trees start from."""
    slope, intercept = _logistic(examples.similarities, examples.is_right, examples.weights, 0.0, (0.0, 0.0))
    return Score(intercept, slope, Forest.empty(1))


def grown(start: Score, examples: Examples, settings: Settings, tick: Callable[[], None]) -> Score:
    """Grow trees on what a score still gets wrong; `tick` is called after each."""
    used = examples.some(examples.weights > 0)
    rng = np.random.default_rng(settings.seed)
    tree_of = _grower(settings)
    margins = start.margins(used.features, used.similarities)
    trees: list[Forest] = []
    for _ in range(settings.rounds):
        drawn = rng.random(len(used)) < settings.share_of_rows
        p = probability(margins[drawn])
        curvature = np.maximum(p * (1.0 - p), _LEAST_CURVATURE)
        steps = (used.is_right[drawn] - p) / curvature
        tree = tree_of(int(rng.integers(2**31)))
        tree.fit(used.features[drawn], steps, sample_weight=used.weights[drawn] * curvature)
        margins += settings.rate * tree.predict(used.features)
        trees.append(_complete(tree.tree_, settings.depth, settings.rate))
        tick()
    return start.with_trees(_together(trees, settings.depth))


def p_reusable(margins: Numbers, is_vetoed: Flags) -> Numbers:
    """Return the probabilities that a verifier tells: those of vetoed pairs are capped."""
    p = probability(margins)
    return np.where(is_vetoed, np.minimum(p, MOST_VETOED), p)


def calibration_error(p: Numbers, is_right: Flags, n_bins: int = 10) -> float:
    """Return the expected calibration error (ECE): |mean p − share that is right|, over bins of equal width."""
    bins = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    gaps = [abs(float(p[bins == one].sum() - is_right[bins == one].sum())) for one in range(n_bins)]
    return sum(gaps) / len(p)


def _logistic(
    x: Numbers, y: Flags, weights: Numbers, shrinkage: float, prior: tuple[float, float]
) -> tuple[float, float]:
    """Fit slope and intercept of a logistic regression on one number, by Newton's method."""
    found = np.array(prior, np.float64)
    design = np.stack([x, np.ones_like(x)], axis=1)

    def loss(at: Numbers) -> float:
        z = design @ at
        return float(weights @ (np.logaddexp(0.0, z) - y * z) + 0.5 * shrinkage * ((at - prior) ** 2).sum())

    for _ in range(100):
        p = probability(design @ found)
        gradient = design.T @ (weights * (y - p)) - shrinkage * (found - prior)
        curvature = (design * (weights * p * (1.0 - p))[:, None]).T @ design
        step = np.linalg.solve(curvature + (shrinkage + 1e-6) * np.eye(2), gradient)
        # Far from the top a whole step may overshoot.
        while loss(found + step) > loss(found) and float(np.abs(step).max()) > 1e-10:
            step = step / 2.0
        found = found + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return float(found[0]), float(found[1])


def _grower(settings: Settings) -> Callable[[int], Any]:
    """Return what makes trees that are not grown yet. Raises MissingExtra without scikit-learn."""
    try:
        from sklearn.tree import DecisionTreeRegressor  # type: ignore[import-untyped]  # it has no stubs
    except ImportError as error:
        raise MissingExtra("fitting a verifier", "evals") from error
    # More similarity never makes an answer less reusable.
    rising = [int(name == "similarity") for name in FEATURES]

    def make(seed: int) -> Any:
        return DecisionTreeRegressor(
            max_depth=settings.depth,
            max_features=settings.share_of_features,
            min_samples_leaf=settings.least_in_leaf,
            monotonic_cst=rising,
            random_state=seed,
        )

    return make


def _complete(tree: Any, depth: int, rate: float) -> Forest:
    """Copy a scikit-learn tree into a complete one."""
    n_leaves = 2**depth
    features = np.zeros(n_leaves - 1, np.intp)
    thresholds = np.full(n_leaves - 1, np.inf)
    values = np.zeros(n_leaves)
    places = [(0, 0, 0)]
    while places:
        node, place, level = places.pop()
        if level == depth:
            values[place - (n_leaves - 1)] = rate * tree.value[node, 0, 0]
            continue
        is_leaf = tree.children_left[node] < 0
        if not is_leaf:
            features[place], thresholds[place] = tree.feature[node], tree.threshold[node]
        # Below a leaf that comes early every row goes to the first child, and both have the leaf's value.
        one, two = (node, node) if is_leaf else (tree.children_left[node], tree.children_right[node])
        places += [(one, 2 * place + 1, level + 1), (two, 2 * place + 2, level + 1)]
    return Forest(features[None], _rounded(thresholds)[None], _rounded(values)[None])


def _together(trees: Sequence[Forest], depth: int) -> Forest:
    if not trees:
        return Forest.empty(depth)
    return Forest(
        np.vstack([tree.features for tree in trees]),
        np.vstack([tree.thresholds for tree in trees]),
        np.vstack([tree.values for tree in trees]),
    )


def _rounded(numbers: Any) -> Numbers:
    """Round to as many significant digits as are kept."""
    numbers = np.asarray(numbers, np.float64)
    return np.array([float(f"{number:.{_DIGITS}g}") for number in numbers.ravel()]).reshape(numbers.shape)
