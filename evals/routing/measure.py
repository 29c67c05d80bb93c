"""The protocols: two models after RouteLLM, several after RouterBench, calibration, typos, time."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from evals.routing.many import many_models
from evals.routing.results import (
    LENGTH,
    ORACLE,
    OURS,
    OURS_ALONE,
    RANDOM,
    CalibrationRun,
    DecisionCost,
    PairRow,
    PairRun,
    RoutingReport,
    TypoRun,
)
from evals.routing.sets import STRONG, WEAK, PromptSet, vectors_of
from semroute import __version__
from semroute.evaluation.metrics import reliability
from semroute.evaluation.routing import Sweep, apgr_difference, apgr_of, router_figures
from semroute.tuning.router_tiers import FittedTiers, TierExamples, fit_tiers, predicted, tier_examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evals.kept_vectors import KeptEmbedder
    from semroute.evaluation.routing import Numbers
    from semroute.evaluation.vectors import Track

TIERS: Final = ("weak", "strong")
SPLITS: Final = 3
"""Other splits into folds, beside the one that the tables show."""
TYPO_PROMPTS: Final = 2_000
TIMED: Final = 1_000
SHORT: Final = (
    "How do I reset my password?",
    "What is the capital of France?",
    "Which planet of the solar system has the most moons?",
)
_CURVE_POINTS: Final = 101
_NEIGHBOURS: Final = dict(zip("abcdefghijklmnopqrstuvwxyz", "svxfrghjoklknmpowtdyibecux", strict=True))
"""A key beside each letter's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Prompts of several sets with the answers of the pair, and which rows are of which set."""

    examples: TierExamples
    rows: Mapping[str, slice]

    @classmethod
    def of(cls, sets: Sequence[PromptSet], track: Track) -> Pooled:
        """Count the features of every prompt."""
        ends = np.cumsum([len(one.prompts) for one in sets]).tolist()
        rows = {one.name: slice(end - len(one.prompts), end) for one, end in zip(sets, ends, strict=True)}
        examples = tier_examples(
            [prompt for one in sets for prompt in one.prompts],
            np.concatenate([one.vectors for one in sets]),
            np.concatenate([one.has_vector for one in sets]),
            np.concatenate([_pair(one) > 0.5 for one in sets]),
            track,
        )
        return cls(examples, rows)

    def fit(self, embedder: str, seed: int, track: Track, only: str | None = None) -> FittedTiers:
        """Fit on all sets, or on one of them."""
        examples = self.examples if only is None else self.examples.some(self.rows[only])
        return fit_tiers(examples, embedder, TIERS, seed=seed, progress=track)


def measure(
    sets: Mapping[str, PromptSet], embedder: KeptEmbedder, command: str, made_at: str, track: Track
) -> tuple[RoutingReport, FittedTiers]:
    """Measure everything; also return the fit on all sets."""
    started = time.monotonic()
    pooled = Pooled.of(list(sets.values()), track)
    fitted = pooled.fit(embedder.identity, 0, track)
    others = [pooled.fit(embedder.identity, 1 + split, track).out_of_fold for split in range(SPLITS)]
    named = [sets["mmlu"], sets["gsm8k"]]
    alone = {one.name: pooled.fit(embedder.identity, 0, track, only=one.name) for one in named}
    pairs = [
        pair_run(
            one,
            {
                OURS: fitted.out_of_fold[pooled.rows[one.name]],
                OURS_ALONE: alone[one.name].out_of_fold,
            },
            [p[pooled.rows[one.name]] for p in others],
        )
        for one in named
    ]
    elsewhere = predicted(alone["mmlu"].predictor, pooled.examples.some(pooled.rows["gsm8k"]))
    crossed = pair_run(sets["gsm8k"], {"learned on MMLU": elsewhere}, [])
    report = RoutingReport(
        command=command,
        made_at=made_at,
        took_s=0.0,
        version=__version__,
        embedder=embedder.identity,
        pairs=pairs,
        crossed=crossed,
        calibration=[
            calibration_run(one, place, fitted.out_of_fold[pooled.rows[one.name]]) for one in named for place in (0, 1)
        ],
        routerbench=[
            many_models(sets["routerbench"], embedder.identity, track, whole=False),
            many_models(sets["routerbench"], embedder.identity, track, whole=True),
        ],
        typos=[typo_run(one, pooled, fitted, embedder, track) for one in named],
        costs=decision_costs(fitted, sets["mmlu"], embedder),
        coefficient_bytes=len(json.dumps(fitted.predictor.as_json(), separators=(",", ":"))),
        fit=fitted.figures,
    )
    return replace(report, took_s=time.monotonic() - started), fitted


def pair_run(one: PromptSet, ours: Mapping[str, Numbers], others: Sequence[Numbers]) -> PairRun:
    """Measure every router between the two models of a set."""
    weak, strong = _pair(one).T
    scores: dict[str, tuple[Numbers, Numbers | None]] = {
        RANDOM: (np.zeros(len(weak)), None),
        LENGTH: (one.lengths, None),
        **{name: (p[:, 1] - p[:, 0], p[:, 0]) for name, p in ours.items()},
        ORACLE: (strong - weak, None),
    }
    rows = [
        PairRow(name, router_figures(score, weak, strong, p_weak=p_weak), _curve(score, weak, strong))
        for name, (score, p_weak) in scores.items()
    ]
    first = next(iter(ours.values()))
    return PairRun(
        name=one.name,
        title=one.title,
        n=len(weak),
        dropped=one.dropped,
        without_vector=int((~one.has_vector).sum()),
        is_as_measured=one.is_as_measured,
        weak=float(weak.mean()),
        strong=float(strong.mean()),
        rows=rows,
        above_length=apgr_difference(first[:, 1] - first[:, 0], one.lengths, weak, strong),
        of_splits=[float(apgr_of(*Sweep.of(p[:, 1] - p[:, 0], weak, strong).curve())) for p in others],
    )


def calibration_run(one: PromptSet, place: int, p: Numbers) -> CalibrationRun:
    """Compare the probabilities of one tier with what happened."""
    quality = _pair(one)[:, place]
    bins = reliability(p[:, place].tolist(), quality.tolist())
    error = sum(each.n * abs(each.mean_score - each.positive_share) for each in bins) / len(quality)
    return CalibrationRun(one.name, TIERS[place], error, bins)


def typo_run(one: PromptSet, pooled: Pooled, fitted: FittedTiers, embedder: KeptEmbedder, track: Track) -> TypoRun:
    """Route questions with one typo each by the fits that saw neither form; half of the clean ones go strong."""
    rows = pooled.rows[one.name]
    chosen = np.sort(np.random.default_rng(0).permutation(len(one.prompts))[:TYPO_PROMPTS])
    mistyped = [with_typo(one.prompts[place], random.Random(int(place))) for place in chosen]
    embedder.prepare(mistyped, track)
    vectors, has_vector = vectors_of(mistyped, embedder)
    pair = _pair(one)[chosen]
    examples = tier_examples(mistyped, vectors, has_vector, pair > 0.5)
    clean, typed = fitted.out_of_fold[rows][chosen], np.zeros((len(chosen), 2))
    folds = fitted.folds[rows][chosen]
    for number, predictor in enumerate(fitted.of_folds):
        held_out = folds == number
        typed[held_out] = predicted(predictor, examples.some(held_out))
    gains, gains_typed = clean[:, 1] - clean[:, 0], typed[:, 1] - typed[:, 0]
    threshold = float(np.median(gains))
    before, after = gains > threshold, gains_typed > threshold
    return TypoRun(
        name=one.name,
        n=len(chosen),
        same=float((before == after).mean()),
        strong_share=float(after.mean()),
        accuracy=float(np.where(before, pair[:, 1], pair[:, 0]).mean()),
        accuracy_with_typos=float(np.where(after, pair[:, 1], pair[:, 0]).mean()),
    )


def with_typo(text: str, rng: random.Random) -> str:
    """Mistype a word of four letters or more: two letters change places, or one is lost, doubled or its neighbour."""
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not places:
        return text
    place = rng.choice(places)
    word = words[place]
    at = rng.randrange(1, len(word) - 1)
    forms = (
        f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}",
        f"{word[:at]}{word[at + 1 :]}",
        f"{word[:at]}{word[at]}{word[at:]}",
        f"{word[:at]}{_NEIGHBOURS.get(word[at].lower(), 'e')}{word[at + 1 :]}",
    )
    words[place] = rng.choice(forms)
    return " ".join(words)


def decision_costs(fitted: FittedTiers, one: PromptSet, embedder: KeptEmbedder) -> list[DecisionCost]:
    """Time predictions one at a time, with the vector at hand."""
    vectors = embedder.embed(SHORT)
    places = np.flatnonzero(one.has_vector)[:TIMED]
    asked = {
        "short questions": [(vectors[turn % len(SHORT)], SHORT[turn % len(SHORT)]) for turn in range(TIMED)],
        one.title: [(one.vectors[place], one.prompts[place]) for place in places],
    }
    costs = []
    for name, requests in asked.items():
        took = []
        for vector, prompt in requests:
            started = time.perf_counter()
            fitted.predictor.predict(vector, prompt)
            took.append(1_000 * (time.perf_counter() - started))
        p50, p95 = np.percentile(took, [50, 95])
        costs.append(DecisionCost(name, float(p50), float(p95)))
    return costs


def _pair(one: PromptSet) -> Numbers:
    return np.stack([one.of(WEAK), one.of(STRONG)], axis=1)


def _curve(score: Numbers, weak: Numbers, strong: Numbers) -> list[tuple[float, float]]:
    shares, pgr = Sweep.of(score, weak, strong).curve()
    at = np.linspace(0, 1, _CURVE_POINTS)
    accuracy = weak.mean() + np.interp(at, shares, pgr) * (strong.mean() - weak.mean())
    return list(zip(at.tolist(), accuracy.tolist(), strict=True))
