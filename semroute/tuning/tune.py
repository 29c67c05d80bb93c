"""Tuning: the policy with the highest hit rate among those whose error rate is promised to stay within a bound.

Learn-then-Test (Angelopoulos et al., arXiv 2110.01052) with a fixed sequence. A part of the pairs chooses what has no
order (must the lexical guards pass, the floor of similarity, the scale between cells); the rest tests the levels of
that one path from strict to lenient and stops where the promise ends. Both parts are drawn by whole units, so that no
question stands on both sides. `semroute.tuning.bounds` has the promise and its statistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.errors import ConfigError
from semroute.policy import Cell, Point, Policy, Promise
from semroute.policy_file import named_by_content
from semroute.tuning.bounds import Terms, clopper_pearson_upper, pairs_needed
from semroute.tuning.curves import HitErrorCurve, effective_size
from semroute.tuning.paths import Family, Path, families
from semroute.tuning.scored import ScoredPairs
from semroute.tuning.weighting import ClusterEffects, sizes, tested_levels, where_to_measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.tuning.scored import Bools, Floats

LEARNING_SHARE: Final = 0.25
"""Of the units: enough to tell families apart, and little enough that the bound hardly gets wider for it."""
CURVE_POINTS: Final = 400
_STRICTER: Final = (0.8, 0.6, 0.4, 0.2, 0.1, 0.05)
"""The stricter points that a drifting policy may go back to: these shares of its errors, and of its hits."""
METHOD: Final = "learn-then-test, fixed sequence; Clopper-Pearson and prediction bounds"
METHOD_OF_WEIGHTED: Final = f"{METHOD}; approximate, since the labels have weights"


class CannotPromise(ConfigError):
    """Nothing can be promised on these pairs, so that there is no policy."""

    def __init__(self, message: str, needed: int | None) -> None:
        super().__init__(message)
        self.needed = needed
        """How many pairs might do, None where no number would."""


class TooFewPairs(CannotPromise):
    """The sample is too small for the promise, whatever it says."""


class NothingToServe(CannotPromise):
    """No policy serves anything right within the bound."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A tuned policy with what it was chosen from; rates are shares of all requests unless they say otherwise."""

    policy: Policy
    promise: Promise
    curve: HitErrorCurve
    """Of the path that was tested, on the pairs that it was tested on."""
    right_hits: float
    """Hits among the pairs labelled right, as a share of those."""
    allowed: float
    """The highest error rate in this sample that the promise allows; the chosen point is the last one within it."""
    error_bound: float
    """Upper bound of the error rate behind the sample, at the confidence of the promise (Clopper-Pearson)."""
    n: int
    """All pairs that were given."""
    learned_on: int
    """How many of them chose the family; the others tested."""
    positives: int
    effective_n: float
    """How many independent pairs those that were tested on are worth, at the chosen level where they have weights."""

    @property
    def is_approximate(self) -> bool:
        """Whether the labels had weights, so that the promise is no exact bound; see `semroute.tuning.bounds`."""
        return self.promise.method == METHOD_OF_WEIGHTED

    def _repr_html_(self) -> str:
        from semroute.tuning.page import tuning_page

        return tuning_page(self)


def tune(
    pairs: ScoredPairs,
    *,
    max_error: float,
    confidence: float = 0.95,
    requests: int | None = None,
    name: str = "tuned",
    embedder: str | None = None,
    verifier: str | None = None,
    base: Policy | None = None,
    seed: int = 0,
) -> Tuning:
    """Choose the policy with the highest hit rate whose error rate (wrong hits / all requests) is promised.

    The promise, at `confidence`: the rate behind the pairs is at most `max_error`, and so is the rate among the next
    `requests` requests (by default as many as there are pairs). It holds for requests that are like the pairs: drawn
    from the same source, each with what the cache would have found for it. Where the pairs have weights it is an
    approximate one: `semroute.tuning.bounds` says how far it held. `base` has the numbers for what has no data
    (default: the built-in policy); `seed` decides which pairs choose the family.

    Raises TooFewPairs, NothingToServe, and ConfigError for arguments out of range or labels of one kind only.
    """
    check_terms(max_error, confidence, requests)
    _check_labels(pairs)
    wanted = round(float(pairs.weights.sum())) if requests is None else requests
    terms = Terms(max_error, confidence, max(1, wanted))
    learning, testing = split(pairs, LEARNING_SHARE, seed)
    # However they were drawn, pairs are worth no more than the requests that they stand for.
    aim = terms.allowed_rate(float(pairs.weights[testing].sum()))
    if aim is None:
        raise _too_few(len(pairs), terms, requests, None if pairs.weight is None else float(pairs.weight.sum()))
    start = Policy() if base is None else base
    path = choose_path(families(pairs), pairs.take(learning), start, aim)
    tested = _test(path, pairs.take(testing), terms, aim)
    method = METHOD if pairs.weight is None else METHOD_OF_WEIGHTED
    promise = tested.promise(terms, len(testing), method)
    policy = replace(
        start,
        cells=path.cells(tested.curve.level_at(tested.chosen)),
        stricter=_stricter(path, tested.curve, tested.chosen),
        embedder=embedder,
        verifier=verifier,
        promise=promise,
    )
    return Tuning(
        policy=named_by_content(policy, name),
        promise=promise,
        curve=tested.curve.thinned(CURVE_POINTS),
        right_hits=float(tested.curve.right_hits[tested.chosen]),
        allowed=tested.allowed,
        error_bound=clopper_pearson_upper(tested.error_rate * tested.effective, tested.effective, confidence),
        n=len(pairs),
        learned_on=len(learning),
        positives=int(np.count_nonzero(pairs.is_right)),
        effective_n=tested.effective,
    )


def split(pairs: ScoredPairs, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of a random share of the units, and those of the others."""
    names, place = np.unique(pairs.units, return_inverse=True)
    is_first = np.zeros(len(names), bool)
    chosen = np.random.default_rng(seed).permutation(len(names))[: math.floor(share * len(names))]
    is_first[chosen] = True
    return np.flatnonzero(is_first[place]), np.flatnonzero(~is_first[place])


def choose_path(given: list[Family], pairs: ScoredPairs, base: Policy, error_rate: float) -> Path:
    """Return the path of the family with the most hits within an error rate on these pairs.

    A more lenient family must be better than a stricter one by two standard errors, by the pairs that only one of
    the two serves (McNemar 1947).
    """
    paths = [Path.learn(family, pairs, base) for family in given]
    best, best_served = paths[0], _served(paths[0], pairs, error_rate)
    for path in paths[1:]:
        served = _served(path, pairs, error_rate)
        gained, lost = np.count_nonzero(served & ~best_served), np.count_nonzero(best_served & ~served)
        if gained - lost > 2.0 * math.sqrt(gained + lost):
            best, best_served = path, served
    return best


def _served(path: Path, pairs: ScoredPairs, error_rate: float) -> Bools:
    rank = path.rank(pairs)
    curve = HitErrorCurve.of(rank, pairs)
    position = curve.last_within(error_rate)
    return np.zeros(len(pairs), np.bool_) if position is None else rank >= curve.levels[position]


@dataclass(frozen=True, slots=True)
class _Tested:
    """A path on pairs that had no part in choosing it."""

    curve: HitErrorCurve
    effective: float
    allowed: float
    chosen: int
    """The position of the last level that keeps the promise."""

    @property
    def error_rate(self) -> float:
        return float(self.curve.error_rate[self.chosen])

    def promise(self, terms: Terms, n: int, method: str) -> Promise:
        """Return what the chosen level promises, with the rates that it had on the `n` pairs of the test."""
        return Promise(
            max_error=terms.max_error,
            confidence=terms.confidence,
            error_rate=self.error_rate,
            hit_rate=float(self.curve.hit_rate[self.chosen]),
            n=n,
            requests=terms.requests,
            method=method,
        )


def _test(path: Path, pairs: ScoredPairs, terms: Terms, allowed: float) -> _Tested:
    """Go along a path from strict to lenient as far as the promise is kept; `allowed` holds for independent pairs."""
    rank = path.rank(pairs)
    curve = HitErrorCurve.of(rank, pairs)
    find = _last_of_even if pairs.weight is None else _last_of_weighted
    last, effective, allowed = find(curve, rank, pairs, terms, allowed)
    # No error is spent on hits that are all wrong: of levels with the same right hits it is the strictest.
    chosen = None if last is None else int(np.searchsorted(curve.right_hits, curve.right_hits[last]))
    if chosen is None or not np.isfinite(curve.levels[chosen]):
        raise _nothing(curve, terms, 1.0 if pairs.weight is None else effective / len(pairs))
    return _Tested(curve, effective, allowed, chosen)


def _last_of_even(
    curve: HitErrorCurve, rank: Floats, pairs: ScoredPairs, terms: Terms, allowed: float
) -> tuple[int | None, float, float]:
    """Return the last level that keeps the promise, what the sample is worth, and the error rate that it allows.

    How far wrong hits cluster is measured where they are twice the bound: where they are as few as the bound allows,
    they are too few to tell.
    """
    twice = curve.last_within(2.0 * terms.max_error)
    effective = effective_size(rank >= curve.levels[0 if twice is None else twice], pairs)
    if effective < len(pairs):
        clustered = terms.allowed_rate(effective, len(pairs) / effective)
        if clustered is None:
            raise _worth_too_little(len(pairs), effective, terms)
        allowed = clustered
    return curve.last_within(allowed), effective, allowed


def _last_of_weighted(
    curve: HitErrorCurve, rank: Floats, pairs: ScoredPairs, terms: Terms, allowed: float
) -> tuple[int | None, float, float]:
    """Return the same of a sample with weights, which is worth more or less from level to level."""
    effects = ClusterEffects.measured(where_to_measure(curve, rank, pairs, 2.0 * terms.max_error), pairs)
    size = sizes(curve, rank, pairs) / effects.sample
    tested = tested_levels(curve, size)
    if not len(tested):
        return None, float(len(pairs)), allowed
    last = None
    for at in tested:
        if not terms.hold_after(float(curve.error_rate[at] * size[at]), float(size[at]), effects.requests):
            break
        last = int(at)
    effective = float(size[tested[0] if last is None else last])
    at_most = terms.allowed_rate(effective, effects.requests)
    if at_most is None:
        raise _worth_too_little(len(pairs), effective, terms)
    return last, effective, at_most


def _stricter(path: Path, curve: HitErrorCurve, chosen: int) -> tuple[Point, ...]:
    """Return stricter points of the path, next one first; the last serves nothing but the highest score there is."""
    errors, hits = float(curve.error_rate[chosen]), float(curve.hit_rate[chosen])
    by_errors = [curve.last_within(share * errors) for share in _STRICTER]
    by_hits = [int(np.searchsorted(curve.hit_rate, share * hits)) for share in _STRICTER]
    kept = sorted(
        {at for at in by_errors + by_hits if at is not None and at < chosen and np.isfinite(curve.levels[at])}
    )
    points = [_point(path.cells(curve.level_at(at)), curve, at) for at in reversed(kept)]
    return (*points, _point(path.cells_at_one(), curve, 0))


def _point(cells: tuple[Cell, ...], curve: HitErrorCurve, position: int) -> Point:
    return Point(cells, float(curve.hit_rate[position]), float(curve.error_rate[position]))


def check_terms(max_error: float, confidence: float, requests: int | None) -> None:
    """Raise ConfigError for what cannot be promised."""
    for name, value in (("max_error", max_error), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise ConfigError(f"{name} must be a number between 0 and 1, both left out, not {value!r}")
    if requests is not None and requests < 1:
        raise ConfigError(f"requests must be at least 1, not {requests!r}")


def check_size(n: int, max_error: float, confidence: float, requests: int | None = None) -> None:
    """Raise TooFewPairs where n pairs promise nothing even if no hit among them is wrong."""
    terms = Terms(max_error, confidence, n if requests is None else requests)
    if n < _needed(terms, requests):
        raise _too_few(n, terms, requests)


def _needed(terms: Terms, requests: int | None) -> int:
    needed = pairs_needed(terms.max_error, terms.confidence, share=1.0 - LEARNING_SHARE, requests=requests)
    if needed is None:
        raise ConfigError(f"max_error={terms.max_error!r} is too small to be promised with any number of pairs")
    return needed


def _check_labels(pairs: ScoredPairs) -> None:
    if not len(pairs) or bool(np.all(pairs.is_right)) or not bool(np.any(pairs.is_right)):
        only = "none" if not len(pairs) else f"{int(pairs.is_right[0])} alone"
        raise ConfigError(
            f"tuning needs pairs with the label 1 and pairs with the label 0, and there are labels {only}"
        )
    if not float(pairs.weights.sum()) > 0.0:
        raise ConfigError("the weights of all pairs are 0: a weight is how many requests a pair stands for")


def _too_few(n: int, terms: Terms, requests: int | None, stand_for: float | None = None) -> TooFewPairs:
    """Say that pairs are too few however right they are; `stand_for` is the sum of their weights."""
    needed, what = _needed(terms, requests), f"{n} pairs"
    if stand_for is not None:
        what += f", which stand for {stand_for:.0f} requests,"
        needed = math.ceil(needed * n / max(1.0, stand_for))
    needed = max(n + 1, needed)
    return TooFewPairs(
        f"{what} are too few to promise an error rate of at most {terms.max_error:g} with confidence "
        f"{terms.confidence:g}: at least {needed} are needed",
        needed,
    )


def _worth_too_little(n: int, effective: float, terms: Terms) -> TooFewPairs:
    needed = max(n + 1, math.ceil(_needed(terms, terms.requests) * n / effective))
    return TooFewPairs(
        f"{n} pairs, which their weights and clusters make worth {effective:.0f}, are too few to promise "
        f"an error rate of at most {terms.max_error:g} with confidence {terms.confidence:g}: about {needed} "
        "like them are needed",
        needed,
    )


def _nothing(curve: HitErrorCurve, terms: Terms, worth: float) -> NothingToServe:
    """Say why nothing is served; `worth` is how many independent requests a pair is worth."""
    what = f"no threshold serves anything at an error rate of at most {terms.max_error:g}"
    if len(curve.levels) == 1:
        return NothingToServe(f"{what}: the rules let no pair through to the policy", None)
    serving = np.flatnonzero(curve.right_hits > curve.right_hits[0])
    if not len(serving):
        return NothingToServe(f"{what}: every hit is labelled wrong; is 1 the label of a right answer?", None)
    least = float(curve.error_rate[serving[0]])
    strictest = f"{what} with confidence {terms.confidence:g}: the strictest that serves anything right has {least:.4f}"
    needed = None
    if least < terms.max_error:
        needed = pairs_needed(terms.max_error, terms.confidence, error_rate=least, share=1.0 - LEARNING_SHARE)
    if needed is None:
        return NothingToServe(f"{strictest}; allow more, or look at the labels of what is most similar", None)
    needed = math.ceil(needed / worth)
    return NothingToServe(f"{strictest}, which takes about {needed} pairs to promise", needed)
