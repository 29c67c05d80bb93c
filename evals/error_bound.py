"""Does the promise of `semroute tune` hold? Tune on one half of labelled pairs, and count wrong hits in the other.

Example:
    python evals/error_bound.py pairs.csv --q1 question1 --q2 question2 --label is_duplicate --features pairs.npz
    python evals/error_bound.py pairs.csv … --stream stream.csv:text:class --stream-features stream.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semroute.embedders.onnx import OnnxEmbedder
from semroute.entry import Candidate
from semroute.evaluation.neighbours import nearest_earlier
from semroute.evaluation.tables import Texts, read_rows, text_of
from semroute.evaluation.vectors import AheadEmbedder
from semroute.guards import verdicts_of
from semroute.guards.lexical import lexical_guards
from semroute.policy import Policy
from semroute.request import fold
from semroute.tuning.drift import DriftMonitor, Outcome
from semroute.tuning.reading import Columns, each_pair, survey
from semroute.tuning.scored import CELLS, Fate, ScoredPairs, served
from semroute.tuning.scoring import Scored, score_pairs, shipped_verifier
from semroute.tuning.tune import NothingToServe, TooFewPairs, split, tune

MAX_ERRORS = (0.005, 0.01, 0.02, 0.05)
LEAST_SIMILARITY = 0.6
"""Of a stream nothing less similar is looked at."""


@dataclass(frozen=True, slots=True)
class Realised:
    """What a policy did on pairs that it was not tuned on."""

    hit_rate: float
    error_rate: float


def scored_pairs(args: argparse.Namespace) -> Scored:
    """Score the pairs of a file, or read the scores of an earlier run."""
    if args.features is not None and args.features.exists():
        with np.load(args.features) as kept:
            arrays = {name: kept[name] for name in kept.files}
        stored, asked = arrays.pop("stored"), arrays.pop("asked")
        return Scored(ScoredPairs(**arrays), stored, asked)
    columns = Columns(args.q1, args.q2, args.label)
    texts = None if args.texts is None else Texts.read(args.texts)
    embedder, n = OnnxEmbedder(), survey(args.file, columns).n
    scored = score_pairs(each_pair(args.file, columns, texts), n, embedder, shipped_verifier(embedder))
    if args.features is not None:
        np.savez(args.features, **arrays_of(scored.pairs), stored=scored.stored, asked=scored.asked)
    return scored


def arrays_of(pairs: ScoredPairs) -> dict[str, Any]:
    """Return the columns that are there, by their names."""
    columns = {name: getattr(pairs, name) for name in pairs.__dataclass_fields__}
    return {name: column for name, column in columns.items() if column is not None}


def scored_stream(args: argparse.Namespace) -> ScoredPairs:
    """Score every request of a stream against all earlier ones.

    The candidate is, of the five nearest, the one that the verifier finds most likely to be right; without a verifier
    the nearest that the guards let pass, and where they let none pass the nearest.
    """
    if args.stream_features is not None and args.stream_features.exists():
        with np.load(args.stream_features) as kept:
            return ScoredPairs(**{name: kept[name] for name in kept.files})
    path, text, answer_class = args.stream.rsplit(":", 2)
    rows = read_rows(Path(path), columns={text, answer_class}, limit=args.limit)
    words, classes = [fold(text_of(row, text)) for row in rows], [text_of(row, answer_class) for row in rows]
    embedder = OnnxEmbedder()
    verifier, guards = shipped_verifier(embedder), lexical_guards()
    nearest = nearest_earlier(vectors_of(words, embedder), 5)
    n = len(words)
    similarity, p_reusable = np.zeros(n, np.float32), np.zeros(n, np.float32)
    is_right, passes = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for at, one in enumerate(words):
        seen: list[tuple[float, bool, float, int]] = []
        for place, score in nearest.of(at):
            if score < LEAST_SIMILARITY:
                break
            candidate, is_same = Candidate("", words[place], score), words[place] == one
            is_open = is_same or all(verdict.passed for verdict in verdicts_of(guards, one, candidate))
            told = 1.0 if is_same else None if verifier is None else verifier.check(one, candidate).p_reusable
            seen.append((0.0 if told is None or verifier is None else told, is_open, score, place))
        if seen:
            p_reusable[at], passes[at], similarity[at], place = max(seen)
            is_right[at] = classes[place] == classes[at]
    pairs = ScoredPairs(similarity, is_right, passes, None if verifier is None else p_reusable)
    if args.stream_features is not None:
        np.savez(args.stream_features, **arrays_of(pairs))
    return pairs


def vectors_of(words: Sequence[str], embedder: OnnxEmbedder) -> NDArray[np.float32]:
    """Embed texts, those over the embedder's limit as zeros, which are near to nothing."""
    ahead = AheadEmbedder(embedder)
    ahead.prepare(words)
    vectors = np.zeros((len(words), ahead.dimensions), np.float32)
    for at, one in enumerate(words):
        if ahead.fits(one):
            vectors[at] = ahead.embed([one])[0]
    return vectors


def outcomes(pairs: ScoredPairs) -> Iterator[Outcome]:
    """Yield pairs as the requests of a stream, one a second, each with its label."""
    fates = np.full(len(pairs), Fate.GATED) if pairs.fate is None else pairs.fate
    cells = np.zeros(len(pairs), np.uint8) if pairs.cell is None else pairs.cell
    for at in range(len(pairs)):
        strategy, is_sure = CELLS[cells[at]]
        yield Outcome(
            at=float(at),
            is_right=bool(pairs.is_right[at]),
            similarity=float(pairs.similarity[at]) if fates[at] == Fate.GATED else None,
            p_reusable=None if pairs.p_reusable is None else float(pairs.p_reusable[at]),
            passes_guards=bool(pairs.passes_guards[at]),
            strategy=strategy,
            is_sure=is_sure,
            is_exact=bool(fates[at] == Fate.ALWAYS),
        )


def realised(policy: Policy, pairs: ScoredPairs) -> Realised:
    """Serve pairs under a policy."""
    hits = served(policy, pairs)
    return Realised(float(hits.mean()), float((hits & ~pairs.is_right).mean()))


def watched(policy: Policy, pairs: ScoredPairs) -> tuple[Realised, float | None]:
    """Serve pairs in their order under a policy that the drift monitor tightens, every pair labelled at once."""
    monitor = DriftMonitor(policy, tightens=True)
    hits = wrong = 0
    broken_at = None
    for outcome in outcomes(pairs):
        is_hit = outcome.is_served(monitor.policy.cells)
        hits, wrong = hits + is_hit, wrong + (is_hit and not outcome.is_right)
        broken_at = monitor.observe(outcome).broken_at
    return Realised(hits / len(pairs), wrong / len(pairs)), broken_at


def random_halves(pairs: ScoredPairs, max_error: float, confidence: float, splits: int) -> None:
    """Print how often the promise held over random halves, and the hit rate it left."""
    done: list[Realised] = []
    silent = 0
    for seed in range(splits):
        one, other = split(pairs, 0.5, 10_000 + seed)
        try:
            tuned = tune(pairs.take(one), max_error=max_error, confidence=confidence, seed=seed)
        except (TooFewPairs, NothingToServe):
            silent += 1
            continue
        done.append(realised(tuned.policy, pairs.take(other)))
    if not done:
        print(f"| {max_error:g} | – | – | – | – | {silent} |")
        return
    within = np.mean([one.error_rate <= max_error for one in done])
    rates, errors = [one.hit_rate for one in done], [one.error_rate for one in done]
    figures = f"{within:.3f} | {np.mean(rates):.4f} | {np.mean(errors):.5f} | {np.max(errors):.5f}"
    print(f"| {max_error:g} | {figures} | {silent} |", flush=True)


def stale(pairs: ScoredPairs, share: float) -> ScoredPairs:
    """Return pairs of which, from the middle on, a share of the right ones has turned wrong."""
    turned = np.random.default_rng(0).random(len(pairs)) < share
    turned[: len(pairs) // 2] = False
    return replace(pairs, is_right=pairs.is_right & ~turned)


def in_order(pairs: ScoredPairs, max_error: float, confidence: float, turned_wrong: float) -> None:
    """Print what happens when the earlier half tunes and the later one checks, and the other way round."""
    middle = len(pairs) // 2
    first, second = np.arange(middle), np.arange(middle, len(pairs))
    for name, tuned_on, checked_on in (("first", first, second), ("second", second, first)):
        try:
            policy = tune(pairs.take(tuned_on), max_error=max_error, confidence=confidence).policy
        except (TooFewPairs, NothingToServe) as error:
            print(f"| {max_error:g} | {name} | {error} |")
            continue
        later = stale(pairs.take(checked_on), turned_wrong)
        plain, (kept, broken_at) = realised(policy, later), watched(policy, later)
        alarm = "–" if broken_at is None else f"{broken_at:,.0f}"
        print(
            f"| {max_error:g} | {name} | {plain.error_rate:.5f} | {plain.hit_rate:.4f} "
            f"| {kept.error_rate:.5f} | {kept.hit_rate:.4f} | {alarm} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--q1", required=True)
    parser.add_argument("--q2", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--texts", help="FILE:ID:TEXT, where the pairs hold ids")
    parser.add_argument("--features", type=Path, help="keep the scores here, and use them when they are there")
    parser.add_argument("--stream", metavar="FILE:TEXT:CLASS", help="a stream of questions, in the order of arrival")
    parser.add_argument("--stream-features", type=Path, help="keep the scores of the stream here")
    parser.add_argument("--limit", type=int, help="take the first requests of the stream only")
    parser.add_argument("--max-error", type=float, action="append")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--stale", type=float, default=0.1, help="share of right answers that turn wrong")
    parser.add_argument("--splits", type=int, default=200)
    args = parser.parse_args()

    scored = scored_pairs(args)
    bounds = args.max_error or MAX_ERRORS
    print(f"{len(scored.pairs)} pairs, {len(np.unique(scored.pairs.units))} components\n")
    print("| max error | share of splits within it | mean hit rate | mean error rate | highest | no policy |")
    print("|---|---|---|---|---|---|")
    for max_error in bounds:
        random_halves(scored.pairs, max_error, args.confidence, args.splits)
    for turned_wrong in (0.0, args.stale):
        turning = f"; from the middle of what is checked on, {turned_wrong:g} of the right answers turn wrong"
        print_in_order(scored.pairs, args, f"pairs in their order{turning if turned_wrong else ''}", turned_wrong)
    if args.stream is not None or args.stream_features is not None:
        stream = scored_stream(args)
        print_in_order(stream, args, f"a stream of {len(stream)} requests, every one stored after it was asked", 0.0)


def print_in_order(pairs: ScoredPairs, args: argparse.Namespace, title: str, turned_wrong: float) -> None:
    """Print a table of halves in their order."""
    print(f"\n{title}\n")
    print("| max error | half that tunes | error rate | hit rate | watched: error rate | hit rate | alarm at |")
    print("|---|---|---|---|---|---|---|")
    for max_error in args.max_error or MAX_ERRORS:
        in_order(pairs, max_error, args.confidence, turned_wrong)


if __name__ == "__main__":
    main()
