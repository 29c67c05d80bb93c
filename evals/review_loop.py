"""Is a policy from 300 labels that a review chose as good as one from 3,000 random labels, of the same log?

The labels come from the data: the answer classes of the demo's stream, or the labels of a file of pairs.

Example:
    python evals/review_loop.py --demo
    python evals/review_loop.py pairs.csv --q1 question1 --q2 question2 --label is_duplicate --features pairs.npz
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semroute import Answer, Request, SemanticCache
from semroute.cli.stream import Place, packaged_stream
from semroute.embedders.onnx import OnnxEmbedder
from semroute.evaluation.tables import Texts
from semroute.policy import Policy
from semroute.request import Scope, fold
from semroute.result import Verdict
from semroute.review import ShadowLog, choosing
from semroute.review.choosing import Population
from semroute.shadow import ShadowRecord
from semroute.tuning.components import components
from semroute.tuning.reading import Columns, LabelledPair, each_pair, survey
from semroute.tuning.scored import Fate, ScoredPairs, served
from semroute.tuning.scoring import Scored, score_pairs, shipped_verifier
from semroute.tuning.tune import CannotPromise, tune

MAX_ERRORS = (0.005, 0.01, 0.02, 0.05)
CHOSEN, RANDOM = 300, 3_000
NEAR = 0.02
ARMS = ("chosen", "random", "few", "random, no weights")
"""300 labels that the review chose, 3,000 random ones (or all there are), and 300 random ones.

Clusters are measured in another way where there are no weights, so random labels get weights of 1: the arms then
differ in their labels alone. The last arm is what `semroute tune` makes of 3,000 random labels without weights.
"""


@dataclass(frozen=True, slots=True)
class Log:
    """A shadow log whose labels are all known; `scored` has one row a pair, with its requests as its weight."""

    records: list[ShadowRecord]
    rows: dict[tuple[str, str], int]
    scored: Scored
    requests: int
    """All requests, those that never came to the semantic tier included."""
    verifier: str | None
    """Digest of the verifier's coefficients; None where similarity and guards decide."""

    def sample(self, at: NDArray[np.int64], weight: NDArray[np.float64] | None) -> ScoredPairs:
        """Return rows as a file of labels would be read, with units out of these rows alone."""
        unit = components(self.scored.stored[at], self.scored.asked[at])
        return replace(self.scored.pairs.take(at), unit=unit, weight=weight)


def demo_log() -> Log:
    """Run the demo's stream in shadow mode."""
    rows = packaged_stream().rows
    classes: dict[str, set[tuple[Place, str]]] = defaultdict(set)
    for row in rows:
        classes[fold(row.query)].add((row.place, row.answer_class))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shadow.db"
        with SemanticCache("memory://", mode="shadow", shadow_log=str(path), embed_deadline_s=60.0) as cache:
            for row in rows:
                history = [turn.model_dump() for turn in row.history]
                scope = Scope(tenant=row.tenant)
                request = Request.of(row.query, system=row.system, history=history, scope=scope, model=row.model)
                cache.lookup(request)
                cache.update(request, Answer(row.answer_text))
        records = list(ShadowLog(path).scan())
    order = Population(records).order
    pairs = [LabelledPair(*one.pair, bool(classes[one.pair[0]] & classes[one.pair[1]])) for one in order]
    embedder = OnnxEmbedder()
    verifier = shipped_verifier(embedder)
    scored = score_pairs(pairs, len(pairs), embedder, verifier)
    digest = None if verifier is None else verifier.digest
    times = np.array([choice.times for choice in order], np.float64)
    weighted = replace(scored, pairs=replace(scored.pairs, weight=times))
    return Log(records, {choice.pair: at for at, choice in enumerate(order)}, weighted, len(rows), digest)


def pairs_log(args: argparse.Namespace) -> Log:
    """Take every pair of a file for one request and the one candidate that was found for it."""
    scored, verifier = _scored_pairs(args)
    gated = np.flatnonzero(scored.pairs.fates(Fate.GATED))
    _, first = np.unique(np.stack([scored.stored[gated], scored.asked[gated]]), axis=1, return_index=True)
    kept = gated[np.sort(first)]
    pairs, default = scored.pairs.take(kept), Policy()
    p = pairs.p_reusable
    needed = None if p is None else default.min_p_reusable
    threshold = default.threshold if p is None else default.verified_threshold
    would = served(default, pairs)
    records = [
        ShadowRecord(
            at=float(row),
            request=f"request {row}",
            entry="entry",
            query=f"asked {scored.asked[at]}",
            candidate=f"stored {scored.stored[at]}",
            similarity=float(pairs.similarity[row]),
            p_reusable=None if p is None else float(p[row]),
            verdicts=(Verdict("guards", bool(pairs.passes_guards[row])),),
            threshold=threshold,
            needed_p=needed,
            would_serve=bool(would[row]),
        )
        for row, at in enumerate(kept)
    ]
    weighted = Scored(replace(pairs, weight=np.ones(len(kept))), scored.stored[kept], scored.asked[kept])
    return Log(records, {one.pair: row for row, one in enumerate(records)}, weighted, len(scored.pairs), verifier)


def _scored_pairs(args: argparse.Namespace) -> tuple[Scored, str | None]:
    """Score the pairs of a file, or read the scores of an earlier run; with the digest of the verifier."""
    if args.features is not None and args.features.exists():
        with np.load(args.features) as kept:
            arrays = {name: kept[name] for name in kept.files}
        stored, asked, digest = arrays.pop("stored"), arrays.pop("asked"), str(arrays.pop("verifier"))
        return Scored(ScoredPairs(**arrays), stored, asked), digest or None
    columns = Columns(args.q1, args.q2, args.label)
    texts = None if args.texts is None else Texts.read(args.texts)
    embedder = OnnxEmbedder()
    n = survey(args.file, columns).n
    verifier = shipped_verifier(embedder)
    scored = score_pairs(each_pair(args.file, columns, texts), n, embedder, verifier)
    fitted = None if verifier is None else verifier.digest
    if args.features is not None:
        columns_of = {name: getattr(scored.pairs, name) for name in scored.pairs.__dataclass_fields__}
        arrays = {name: array for name, array in columns_of.items() if array is not None}
        np.savez(args.features, **arrays, stored=scored.stored, asked=scored.asked, verifier=fitted or "")
    return scored, fitted


def drawn(log: Log, arm: str, seed: int) -> ScoredPairs:
    """Return the labels of one arm."""
    if arm == "chosen":
        population = Population(log.records, seed=seed)
        choices = population.weighted(population.order[:CHOSEN])
        at = np.array([log.rows[choice.pair] for choice in choices], np.int64)
        return log.sample(at, np.array([choice.weight for choice in choices]))
    each = np.repeat(np.arange(len(log.scored.pairs)), log.scored.pairs.weights.astype(np.int64))
    most = min(CHOSEN if arm == "few" else RANDOM, len(each))
    at = np.random.default_rng(seed).permutation(each)[:most]
    return log.sample(at, None if arm == "random, no weights" else np.ones(most))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one sample, as shares of the log's requests; nothing is served without a policy."""

    has_policy: bool
    hit_rate: float = 0.0
    error_rate: float = 0.0


def outcome(log: Log, labels: ScoredPairs, max_error: float, seed: int) -> Outcome:
    """Tune on labels, and serve the whole log."""
    try:
        policy = tune(labels, max_error=max_error, seed=seed).policy
    except CannotPromise:
        return Outcome(False)
    pairs = log.scored.pairs
    share = pairs.weights / pairs.weights.sum()
    hits = served(policy, pairs)
    return Outcome(True, float(share[hits].sum()), float(share[hits & ~pairs.is_right].sum()))


def _default_of(log: Log) -> str:
    """Return what the shipped policy needs, which says where the review looks."""
    default = Policy()
    if log.verifier is None:
        return f"similarity {default.threshold:g}"
    return f"similarity {default.verified_threshold:g}, P(reusable) {default.min_p_reusable:g}"


def report(log: Log, seeds: range) -> None:
    """Print a row for each bound; a seed without a policy counts with a hit rate of 0."""
    reached = float(log.scored.pairs.weights.sum())
    digest = sha256(Path(choosing.__file__).read_bytes()).hexdigest()[:12]
    judged_by = "similarity and guards" if log.verifier is None else f"verifier {log.verifier}"
    print(f"{log.requests:,} requests, {reached:,.0f} of them in the log, {len(log.rows):,} pairs; seeds {seeds}")
    print(f"choosing.py {digest}; {judged_by}; default policy: {_default_of(log)}\n")
    samples = {arm: [drawn(log, arm, seed) for seed in seeds] for arm in ARMS}
    print("| D | arm | seeds with a policy | hit rate of the log | of all requests | error rate | over D | near |")
    print("|---|---|---|---|---|---|---|---|")
    for max_error in MAX_ERRORS:
        by_arm = {
            arm: [outcome(log, one, max_error, seed) for one, seed in zip(samples[arm], seeds, strict=True)]
            for arm in ARMS
        }
        for arm, done in by_arm.items():
            hits, errors = (np.mean([getattr(one, name) for one in done]) for name in ("hit_rate", "error_rate"))
            over = sum(one.error_rate > max_error for one in done)
            near = sum(one.hit_rate >= other.hit_rate - NEAR for one, other in zip(done, by_arm["random"], strict=True))
            # Where nobody has a policy, nobody is near anything.
            told = f"{near} of {len(done)}" if any(one.has_policy for one in by_arm["random"]) else "–"
            print(
                f"| {max_error:g} | {arm} | {sum(one.has_policy for one in done)} of {len(done)} | {hits:.4f} "
                f"| {hits * reached / log.requests:.4f} | {errors:.5f} | {over} | {told} |",
                flush=True,
            )


def main() -> None:
    """Print the table of the demo, or of a file of pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--q1")
    parser.add_argument("--q2")
    parser.add_argument("--label")
    parser.add_argument("--texts", help="FILE:ID:TEXT, where the pairs hold ids")
    parser.add_argument("--features", type=Path, help="keep the scores here, and use them when they are there")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1_000)
    args = parser.parse_args()
    if args.demo == (args.file is not None):
        parser.error("give either --demo or a file of pairs")
    log = demo_log() if args.demo else pairs_log(args)
    report(log, range(args.first_seed, args.first_seed + args.seeds))


if __name__ == "__main__":
    main()
