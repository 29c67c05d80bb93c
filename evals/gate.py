"""Does the gate earn its place? One mixed stream, by the learned router's decisions and by any single threshold.

    python -m evals.gate DATA --cache FOLDER --json

DATA is the folder of the labelled sets (evals/gate.md says which, and how the stream is made). Questions of QQP, whose
answers are taken to last, and questions of SituatedQA, some of which have another answer after `--changes-after`, come
in one fixed order over 30 days; each of SituatedQA is asked four times. Every answer is stored as soon as it is asked
for. The router's heads are fitted twice, each time without half of SituatedQA's questions, and judge only those that
they have not seen. Rates are fractions of all requests.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evals.gate_stream import (
    DAY,
    Flags,
    Nearest,
    Numbers,
    Stream,
    decided,
    drawn,
    fitted_apart,
    lives_of,
    mixed,
    nearest_alive,
    probabilities_of,
    tracked,
)
from evals.kept_vectors import KeptEmbedder
from evals.online import vectors_of
from evals.staleness_learned import read
from semroute.embedders.onnx import OnnxEmbedder
from semroute.gate import open_gate
from semroute.guards.verifier import Verifier
from semroute.policy import Policy
from semroute.request import fold
from semroute.router.decision import RoutingDecision
from semroute.router.rules import decide

Figures: TypeAlias = dict[str, Any]

SINGLE: Final[Mapping[str, float]] = {"one life, 30 d": 30 * DAY, "one life, 7 d": 7 * DAY, "one life, 1 d": DAY}
GATE: Final = "gate"
"""As the flow does it: answers of a retrieval are kept a week at most, and none is served that is older than the
asker's own life."""
ANY_AGE: Final = "gate, answers of any age"
HIT_RATES: Final = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35)
EDGES: Final = (0.0, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0 + 1e-9)
"""Of the buckets of confidence."""
BYPASSED: Final = "bypassed"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How the cache is run; arrays have one item a request."""

    lives: Numbers
    """For how many seconds its answer is kept."""
    is_sure: Flags
    """Whether the loose thresholds are enough."""
    asks: Flags
    """Whether it looks into the cache at all."""
    oldest: Numbers | None = None
    """How old an answer it takes, in seconds; None for one of any age."""


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """A plan as it ran: what it finds, and whether serving that would be right."""

    name: str
    nearest: Nearest
    p_reusable: Numbers
    is_wrong: Flags
    is_stale: Flags
    is_sure: Flags
    asks: Flags

    def scores(self, policy: Policy, *, has_verifier: bool) -> Numbers:
        """Return what a request is served at as soon as the loose threshold is no higher; 0 for never.

        With a verifier that threshold is one of P(reusable), else one of similarity. A request of which the router is
        unsure needs what the policy asks for where it is strict, too.
        """
        similarities = self.nearest.similarities
        is_strict = similarities >= policy.strict_threshold
        if has_verifier:
            is_strict &= self.p_reusable >= policy.strict_p_reusable
        is_near = similarities >= policy.verified_threshold if has_verifier else similarities > 0
        found = self.asks & (self.nearest.places >= 0) & is_near & (self.is_sure | is_strict)
        return np.where(found, self.p_reusable if has_verifier else similarities, 0.0)

    @property
    def is_bad(self) -> Flags:
        return self.is_wrong | self.is_stale


def plans_of(stream: Stream, decisions: Sequence[RoutingDecision], policy: Policy) -> dict[str, Plan]:
    """Return all ways to run the cache: a single life, the gate, and parts of it."""
    n = len(stream)
    known = {text: decide(text) for text in dict.fromkeys(stream.texts)}
    learned, uncapped = lives_of(decisions, policy, caps_retrieval=True), lives_of(decisions, policy)
    by_rules = lives_of([known[text] for text in stream.texts], policy, caps_retrieval=True)
    asks, everybody = learned > 0, np.ones(n, np.bool_)
    is_sure = np.array([decision.confidence >= policy.min_confidence for decision in decisions])
    return {name: Plan(np.full(n, life), everybody, everybody) for name, life in SINGLE.items()} | {
        GATE: Plan(learned, is_sure, asks, learned),
        ANY_AGE: Plan(learned, is_sure, asks),
        "gate, retrieval kept as long as the router says": Plan(uncapped, is_sure, asks, uncapped),
        "lives and bypass alone": Plan(learned, everybody, asks),
        "confidence and bypass alone": Plan(np.where(asks, 30 * DAY, 0.0), is_sure, asks),
        "lives and bypass of the rules": Plan(by_rules, everybody, by_rules > 0),
    }


def arms_of(
    stream: Stream,
    vectors: NDArray[np.float32],
    plans: Mapping[str, Plan],
    verifier: Verifier,
    changes_after: float,
) -> list[Arm]:
    """Run every plan; `changes_after` is in seconds."""
    nearest = nearest_alive(stream, vectors, {name: (plan.lives, plan.oldest) for name, plan in plans.items()})
    p_reusable = probabilities_of(stream, verifier, nearest)
    arms = []
    for name, plan in plans.items():
        places = nearest[name].places
        is_there = places >= 0
        is_wrong = is_there & (stream.answers[places] != stream.answers)
        age = stream.at - stream.at[places]
        is_stale = is_there & ~is_wrong & stream.changes & (age > changes_after)
        arms.append(Arm(name, nearest[name], p_reusable[name], is_wrong, is_stale, plan.is_sure, plan.asks))
    return arms


class Curve:
    """Hits and bad hits of one arm over all thresholds of a score."""

    def __init__(self, scores: Numbers, is_bad: Flags) -> None:
        self._order = np.argsort(-scores, kind="stable")[: int((scores > 0).sum())]
        ranked = scores[self._order]
        # A threshold serves all requests of one score or none.
        self._ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else ranked.astype(int)
        self._bad = is_bad[self._order].astype(np.float64)

    def bad_at(self, hits: Numbers, weights: Numbers) -> Numbers:
        """Return the bad hits among so many hits, between two thresholds in proportion; NaN beyond the last."""
        counted = weights[self._order]
        ends = self._ends
        x = np.concatenate([[0.0], np.cumsum(counted)[ends]])
        y = np.concatenate([[0.0], np.cumsum(counted * self._bad)[ends]])
        return np.asarray(np.interp(hits, x, y, right=np.nan), np.float64)


def compared(stream: Stream, arms: Sequence[Arm], policy: Policy, samples: int, seed: int) -> list[Figures]:
    """Compare all arms at equal hit rates, by both scores; differences are against each single life."""
    found: list[Figures] = []
    for has_verifier in (False, True):
        curves = {arm.name: Curve(arm.scores(policy, has_verifier=has_verifier), arm.is_bad) for arm in arms}
        points = [arm for arm in arms if arm.name not in SINGLE]
        served = {arm.name: served_by_default(arm, policy, has_verifier=has_verifier) for arm in points}
        at_rates: list[dict[str, Numbers]] = []
        at_default: list[dict[str, Numbers]] = []
        for weights in tracked(list(drawn(stream, samples, seed)), "bootstrap"):
            total = weights.sum()
            rates = np.array(HIT_RATES) * total
            at_rates.append({name: curve.bad_at(rates, weights) / total for name, curve in curves.items()})
            own = {}
            for arm in points:
                hits = weights @ served[arm.name]
                singles = [curves[name].bad_at(np.array([hits]), weights)[0] for name in SINGLE]
                own[arm.name] = np.array([hits, weights @ (served[arm.name] & arm.is_bad), *singles]) / total
            at_default.append(own)
        score = "P(reusable)" if has_verifier else "similarity"
        for arm in points:
            hits_here, bad_here, *single_here = np.array([one[arm.name] for one in at_default]).T
            found.append(
                _row(arm.name, score, "default", hits_here, bad_here, dict(zip(SINGLE, single_here, strict=True)))
            )
            for at, rate in enumerate(HIT_RATES):
                ours = np.array([one[arm.name][at] for one in at_rates])
                others = {name: np.array([one[name][at] for one in at_rates]) for name in SINGLE}
                found.append(_row(arm.name, score, "equal", np.full(len(ours), rate), ours, others))
    return found


def served_by_default(arm: Arm, policy: Policy, *, has_verifier: bool) -> Flags:
    """Say which requests the gate as it ships serves: by `open_gate`, for a sure decision and for an unsure one."""
    served = np.zeros(len(arm.asks), np.bool_)
    for is_sure in (True, False):
        confidence = 1.0 if is_sure else 0.0
        gate = open_gate(RoutingDecision(confidence=confidence), policy, has_verifier=has_verifier)
        if gate.threshold is not None:
            passes = arm.nearest.similarities >= gate.threshold
            if gate.min_p_reusable is not None:
                passes &= arm.p_reusable >= gate.min_p_reusable
            served |= passes & (arm.is_sure == is_sure)
    return served & arm.asks & (arm.nearest.places >= 0)


def _row(name: str, score: str, point: str, hits: Numbers, ours: Numbers, others: Mapping[str, Numbers]) -> Figures:
    """Return one comparison; of arrays the first item is the measured one, the rest are bootstrap samples."""
    row: Figures = {"arm": name, "score": score, "point": point, "hit_rate": _short(hits[0]), "bad": _short(ours[0])}
    for other, theirs in others.items():
        difference = ours - theirs
        low, high = _interval(difference[1:])
        row[other] = {"bad": _short(theirs[0]), "difference": _short(difference[0]), "low": low, "high": high}
    return row


def calibration(
    stream: Stream, arm: Arm, decisions: Sequence[RoutingDecision], samples: int, seed: int
) -> list[Figures]:
    """Return, for buckets of the router's confidence, which share of the hits that were served is wrong or stale.

    Served as if the router were always sure: by the shipped policy with its verifier. Bypassed requests stand apart,
    since the gate asks for no confidence there.
    """
    sure = replace(arm, is_sure=np.ones(len(stream), np.bool_), asks=np.ones(len(stream), np.bool_))
    served = served_by_default(sure, Policy(), has_verifier=True)
    confidence = np.array([decision.confidence for decision in decisions])
    buckets = {BYPASSED: ~arm.asks} | {
        f"{low:g} to {min(1.0, high):g}": arm.asks & (confidence >= low) & (confidence < high)
        for low, high in pairwise(EDGES)
    }
    buckets = {name: served & which for name, which in buckets.items() if (served & which).any()}
    of_bucket = np.array(list(buckets.values()), np.float64).T
    counts = np.array([(w @ of_bucket, (w * arm.is_bad) @ of_bucket) for w in drawn(stream, samples, seed)])
    found = []
    for place, (name, hits) in enumerate(buckets.items()):
        rates = counts[:, 1, place] / np.maximum(counts[:, 0, place], 1e-9)
        low, high = _interval(rates[1:])
        found.append(
            {"confidence": name, "hits": int(hits.sum()), "mean_confidence": _short(confidence[hits].mean())}
            | {"wrong": int((hits & arm.is_wrong).sum()), "stale": int((hits & arm.is_stale).sum())}
            | {"rate": _short(rates[0]), "low": low, "high": high}
        )
    return found


def _interval(samples: Numbers) -> tuple[float | None, float | None]:
    """Return where the middle 95 % of bootstrap samples lie; None where some sample has no such point."""
    if not len(samples) or not np.isfinite(samples).all():
        return None, None
    low, high = np.percentile(samples, [2.5, 97.5]).tolist()
    return _short(low), _short(high)


def _short(number: float) -> float | None:
    return round(float(number), 5) if np.isfinite(number) else None


def measure(options: argparse.Namespace, folder: Path) -> Figures:
    """Run everything and return all figures."""
    policy, embedder = Policy(), KeptEmbedder(OnnxEmbedder(use_hub=False), folder / "vectors.npz")
    prompts = read(options.data)
    stream = mixed(options.data, options.limit, options.seed, same_words=options.same_words)
    embedder.prepare([fold(one.prompt) for one in prompts] + list(stream.texts), tracked)
    routers = fitted_apart(prompts, embedder, folder, options.seed)
    vectors = vectors_of(stream.texts, embedder)
    decisions = decided(stream, vectors, routers)
    verifier = Verifier.load(embedder=embedder.identity)
    arms = arms_of(stream, vectors, plans_of(stream, decisions, policy), verifier, options.changes_after * DAY)
    gated, any_age = (next(arm for arm in arms if arm.name == name) for name in (GATE, ANY_AGE))
    return {
        "requests": len(stream),
        "situatedqa": int(stream.is_situated.sum()),
        "decisions": shares_of(stream, decisions, gated),
        "compared": compared(stream, arms, policy, options.samples, options.seed),
        "calibration": {
            arm.name: calibration(stream, arm, decisions, options.samples, options.seed) for arm in (gated, any_age)
        },
    }


def shares_of(stream: Stream, decisions: Sequence[RoutingDecision], gated: Arm) -> Figures:
    """Say what the router decides about each kind of question."""
    found: Figures = {}
    kinds = {
        "qqp": ~stream.is_situated,
        "situatedqa, lasting": stream.is_situated & ~stream.changes,
        "situatedqa, changing": stream.changes,
    }
    for name, which in kinds.items():
        staleness = np.array([decision.staleness for decision in decisions])[which]
        lives = {one: _short((staleness == one).mean()) for one in ("timeless", "slow", "daily", "realtime")}
        found[name] = {"requests": int(which.sum())} | lives | {"unsure": _short((~gated.is_sure)[which].mean())}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the labelled sets")
    parser.add_argument("--cache", type=Path, help="keep vectors and fitted heads in this folder, for the next run")
    parser.add_argument("--limit", type=int, default=20_000, help="how many questions of QQP (default: 20000)")
    parser.add_argument("--same-words", action="store_true", help="ask again in the very same words")
    parser.add_argument("--changes-after", type=float, default=1.0, help="days until a changing answer is stale")
    parser.add_argument("--samples", type=int, default=1_000, help="bootstrap samples (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the calibration (PNG, SVG)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if options.cache is None else options.cache
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(options, folder)
    if options.plot is not None:
        draw(figures, options.plot)
    if options.json:
        print(json.dumps(figures))
    else:
        print_tables(figures)
    return 0


def print_tables(figures: Figures) -> None:
    """Print tables in Markdown; rates in per cent of all requests."""
    print(f"{figures['requests']:,} requests, {figures['situatedqa']:,} of them of SituatedQA\n")
    print("| kind | requests | timeless | slow | daily | realtime | unsure |\n|---|---|---|---|---|---|---|")
    for name, one in figures["decisions"].items():
        shares = " | ".join(f"{one[key]:.1%}" for key in ("timeless", "slow", "daily", "realtime", "unsure"))
        print(f"| {name} | {one['requests']:,} | {shares} |")
    print(f"\n| arm | score | hits | wrong or stale | {' | '.join(SINGLE)} |\n|---|---|---|---|---|---|---|")
    for row in figures["compared"]:
        hits = f"{row['hit_rate']:.2%}" + (" (as it ships)" if row["point"] == "default" else "")
        others = " | ".join(_told(row[name]) for name in SINGLE)
        print(f"| {row['arm']} | {row['score']} | {hits} | {_percent(row['bad'])} | {others} |")
    for name, rows in figures["calibration"].items():
        print(f"\n{name}\n\n| confidence | mean | hits | wrong | stale | rate | 95 % |\n|---|---|---|---|---|---|---|")
        for row in rows:
            print(
                f"| {row['confidence']} | {row['mean_confidence']:.3f} | {row['hits']:,} | {row['wrong']:,} "
                f"| {row['stale']:,} | {_percent(row['rate'])} | {_percent(row['low'])} to {_percent(row['high'])} |"
            )


def draw(figures: Figures, path: Path) -> None:
    """Draw the measured rate of wrong and stale hits over the router's confidence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, rows in figures["calibration"].items():
        buckets = [row for row in rows if row["confidence"] != BYPASSED]
        rates = np.array([row["rate"] for row in buckets])
        ends = np.array([(row["low"], row["high"]) for row in buckets]).T
        axes.errorbar(
            [row["mean_confidence"] for row in buckets],
            rates,
            yerr=np.abs(ends - rates),
            fmt="o-",
            capsize=3,
            label=name,
        )
    axes.plot([0, 1], [1, 0], linestyle=":", color="#777777", label="1 - confidence")
    axes.set_xlabel("the router's confidence")
    axes.set_ylabel("wrong or stale, of hits served")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)
    figure.savefig(path)


def _told(other: Figures) -> str:
    if other["difference"] is None:
        return "not reached"
    interval = f"{_points(other['low'])} to {_points(other['high'])}"
    return f"{_percent(other['bad'])} ({_points(other['difference'])}, {interval})"


def _percent(number: float | None) -> str:
    return "–" if number is None else f"{number:.2%}"


def _points(number: float | None) -> str:
    return "–" if number is None else f"{100 * number:+.2f}"


if __name__ == "__main__":
    sys.exit(main())
