"""What learning per entry brings on a stream: the vCache rule and ours, beside a static threshold.

Example:
    python evals/online.py stream.csv.gz --text text --class class_norm --limit 60000 --max-error 0.01 0.02 0.03

Every request is stored, and a hit is right when the classes are equal. Labels are seen on explored requests only.
Everybody gets the same vectors and neighbours, which `--cache FOLDER` keeps between runs.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semroute.embedders import Embedder
from semroute.embedders.onnx import OnnxEmbedder
from semroute.entry import Candidate
from semroute.evaluation.metrics import OperatingPoint, best_operating_point
from semroute.evaluation.neighbours import Neighbours, nearest_earlier
from semroute.evaluation.tables import read_rows, text_of
from semroute.evaluation.vectors import AheadEmbedder
from semroute.guards.verifier import Verifier
from semroute.online import EntryPolicy, Explore, Observations, Serve, VCacheRule, VerifierFirst
from semroute.request import fold
from semroute.tuning.bounds import Terms

K = 5
LEAST_SIMILARITY = 0.75
"""Nothing less similar is a candidate for anybody but the vCache rule, which looks at every nearest entry."""
CONFIDENCE = 0.95
TUNED_ON = 1 / 3
"""Share of the stream, its beginning, that the static threshold with a promise is tuned on; nothing is served there."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream with its neighbours; arrays have the shape (requests, k)."""

    neighbours: Neighbours
    probabilities: NDArray[np.float32]
    is_right: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_right)

    @property
    def nearest(self) -> NDArray[np.float64]:
        return self.neighbours.similarities[:, 0].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Row:
    """What one method did at one bound."""

    max_error: float
    method: str
    hit_rate: float
    error_rate: float
    precision: float | None
    worst_error_rate: float
    """The highest of all runs."""
    over: int
    """How many runs were over the bound."""
    runs: int
    first_half_error_rate: float | None
    explored: float | None
    """Share of all requests that were good enough, and explored all the same."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a policy did on a stream."""

    served: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    audits: int


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CSV, CSV.gz or JSONL, in order of arrival")
    parser.add_argument("--text", required=True)
    parser.add_argument("--class", dest="answer_class", required=True)
    parser.add_argument("--limit", type=int, default=60_000)
    parser.add_argument("--max-error", type=float, nargs="+", default=[0.01, 0.02, 0.03])
    parser.add_argument("--candidates", type=int, default=1, help="how many nearest entries our policy chooses from")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each policy that draws lots; means are shown")
    parser.add_argument("--cache", type=Path, help="folder that keeps vectors, neighbours and probabilities")
    parser.add_argument("--verifier", type=Path, help="a verifier's file; the shipped one otherwise")
    parser.add_argument("--probabilities", type=Path, help=".npy of P(reusable), (requests, 5), instead of a verifier")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    stream = read_stream(arguments)
    rows = [row for bound in arguments.max_error for row in measure(stream, bound, arguments)]
    if arguments.json:
        print(json.dumps({"n": len(stream), "rows": [asdict(row) for row in rows]}))
    else:
        print_rows(rows)


def read_stream(arguments: argparse.Namespace) -> Stream:
    """Read a stream and make, or find, its vectors, neighbours and probabilities."""
    rows = read_rows(arguments.file, columns={arguments.text, arguments.answer_class}, limit=arguments.limit)
    texts = [fold(text_of(row, arguments.text)) for row in rows]
    _, classes = np.unique([text_of(row, arguments.answer_class) for row in rows], return_inverse=True)
    embedder = OnnxEmbedder()
    near = neighbours_of(texts, embedder, arguments.cache)
    if arguments.probabilities is not None:
        probabilities = np.load(arguments.probabilities)
    else:
        verifier = Verifier.load(arguments.verifier, embedder=embedder.identity)
        name = f"probabilities-{verifier.digest[:12]}"
        probabilities = kept(arguments.cache, name, lambda: probabilities_of(texts, near, lambda _: verifier))
    is_right = (classes[near.positions] == classes[:, None]) & (near.positions >= 0)
    return Stream(near, probabilities, is_right)


def neighbours_of(texts: Sequence[str], embedder: Embedder, cache: Path | None) -> Neighbours:
    """Return the nearest earlier texts of each; what a cache holds must be of as many texts."""
    vectors = kept(cache, "vectors", lambda: vectors_of(texts, embedder))
    if len(vectors) != len(texts):
        raise SystemExit(f"{cache} holds {len(vectors)} vectors, and there are {len(texts)} requests")
    found: list[Neighbours] = []

    def search() -> Neighbours:
        if not found:
            found.append(nearest_earlier(vectors, K))
        return found[0]

    return Neighbours(
        kept(cache, "neighbours_positions", lambda: search().positions),
        kept(cache, "neighbours_similarities", lambda: search().similarities),
    )


def kept(folder: Path | None, name: str, make: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """Return an array from a folder, or make it and keep it there."""
    path = None if folder is None else folder / f"{name}.npy"
    if path is not None and path.is_file():
        return np.load(path)
    made = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, made)
    return made


def vectors_of(texts: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
    """Embed texts; those over the embedder's limit become zeros, which are near to nothing."""
    ahead = AheadEmbedder(embedder)
    ahead.prepare(texts)
    vectors = np.zeros((len(texts), ahead.dimensions), np.float32)
    for place, text in enumerate(texts):
        if ahead.fits(text):
            vectors[place] = ahead.embed([text])[0]
    return vectors


def probabilities_of(
    texts: Sequence[str], near: Neighbours, verifier_of: Callable[[str], Verifier]
) -> NDArray[np.float32]:
    """Return P(reusable) of every candidate that is similar enough, else 0; `verifier_of` a request's text judges."""
    probabilities = np.zeros(near.positions.shape, np.float32)
    for request, text in enumerate(texts):
        found = [
            Candidate(str(at), texts[at], similarity)
            for at, similarity in near.of(request)
            if similarity >= LEAST_SIMILARITY
        ]
        if found:
            told = verifier_of(text).probabilities(text, found)
            # The same words are no question to a verifier: the exact tier serves them.
            probabilities[request, : len(found)] = [
                1.0 if candidate.query == text else p for candidate, p in zip(found, told, strict=True)
            ]
    return probabilities


def measure(stream: Stream, max_error: float, arguments: argparse.Namespace) -> list[Row]:
    """Return what every method does at one bound."""
    k, seeds = arguments.candidates, range(arguments.seeds)

    def ours() -> VerifierFirst:
        return VerifierFirst.of(max_error, confidence=CONFIDENCE)

    cosine = [serve(stream, ours(), seed, has_prior=False, has_records=False) for seed in seeds]
    verifier = [serve(stream, ours(), seed, k=k, has_records=False) for seed in seeds]
    entries = [serve(stream, ours(), seed, has_prior=False) for seed in seeds]
    vcache = [serve(stream, VCacheRule(max_error), seed, least=0.0) for seed in seeds]
    return [
        static_row("static cosine, best in hindsight", max_error, hindsight(stream, max_error)),
        static_row("static cosine, tuned on the first third", max_error, tuned(stream, max_error)),
        row_of("cosine alone, our ledger", max_error, cosine),
        row_of("verifier alone, our ledger", max_error, verifier),
        row_of("cosine and entries, our ledger", max_error, entries),
        row_of("vCache rule", max_error, vcache),
        row_of("ours", max_error, [serve(stream, ours(), seed, k=k) for seed in seeds]),
    ]


def serve(
    stream: Stream,
    policy: EntryPolicy,
    seed: int,
    *,
    k: int = 1,
    least: float = LEAST_SIMILARITY,
    has_prior: bool = True,
    has_records: bool = True,
) -> Run:
    """Send a stream through a policy: every request is stored, labels are seen on explored requests only."""
    rng = random.Random(seed)
    n = len(stream)
    nothing = Observations()
    records: list[Observations] = [nothing] * n
    record_of = list(range(n))
    served, wrong, audits = np.zeros(n, np.bool_), np.zeros(n, np.bool_), 0
    places, similarities = stream.neighbours.positions.tolist(), stream.neighbours.similarities.tolist()
    priors, is_right = stream.probabilities.tolist(), stream.is_right.tolist()
    for request in range(n):
        best: tuple[float, int, Observations, float, float | None] | None = None
        for at in range(k):
            entry, similarity = places[request][at], similarities[request][at]
            if entry < 0 or similarity < least:
                break
            record = records[record_of[entry]] if has_records else nothing
            prior = priors[request][at] if has_prior else None
            p = policy.probability(record, similarity, prior)
            if best is None or p > best[0]:
                best = p, at, record, similarity, prior
        if best is None:
            policy.skip()
            continue
        _, at, record, similarity, prior = best
        match policy.decide(record, similarity, prior, rng.random()):
            case Serve():
                served[request], wrong[request] = True, not is_right[request][at]
            case Explore() as explored:
                audits += explored.is_audit
                if explored.is_worth_a_label:
                    right = is_right[request][at]
                    learned = policy.observe(record, explored, similarity, prior, is_right=right)
                    held = record_of[places[request][at]]
                    records[held] = learned.candidate
                    if learned.own is None:
                        record_of[request] = held
                    else:
                        records[request] = learned.own
    return Run(served, wrong, audits)


def hindsight(stream: Stream, max_error: float) -> OperatingPoint | None:
    """Return the best that any cosine threshold does on this very stream, which nobody can know beforehand."""
    return best_operating_point(stream.nearest, stream.is_right[:, 0], max_error)


def tuned(stream: Stream, max_error: float) -> OperatingPoint | None:
    """Return what the lowest threshold does on the rest that the first part, all of it labelled, lets be promised.

    The promise is that of `semroute tune`. Rates are over the rest alone, where the threshold serves.
    """
    cut = int(len(stream) * TUNED_ON)
    scores, right = stream.nearest, stream.is_right[:, 0]
    terms = Terms(max_error, CONFIDENCE, len(stream) - cut)
    allowed = terms.allowed_rate(cut)
    point = None if allowed is None else best_operating_point(scores[:cut], right[:cut], allowed)
    if point is None:
        return None
    threshold = np.sort(scores[:cut])[::-1][round(point.hit_rate * cut) - 1]
    is_hit = scores[cut:] >= threshold
    return OperatingPoint.of(hits=int(is_hit.sum()), wrong=int((is_hit & ~right[cut:]).sum()), n=len(is_hit))


def static_row(method: str, max_error: float, point: OperatingPoint | None) -> Row:
    """Return the row of a threshold."""
    if point is None:
        return Row(max_error, method, 0.0, 0.0, None, 0.0, 0, 1, None, None)
    over = int(point.error_rate > max_error)
    return Row(
        max_error, method, point.hit_rate, point.error_rate, point.precision, point.error_rate, over, 1, None, None
    )


def row_of(method: str, max_error: float, runs: Sequence[Run]) -> Row:
    """Return the means of several runs."""
    errors = [float(run.wrong.mean()) for run in runs]
    hits = float(np.mean([run.served.mean() for run in runs]))
    half = len(runs[0].served) // 2
    return Row(
        max_error=max_error,
        method=method,
        hit_rate=hits,
        error_rate=float(np.mean(errors)),
        precision=1.0 - float(np.mean(errors)) / hits if hits else None,
        worst_error_rate=max(errors),
        over=sum(error > max_error for error in errors),
        runs=len(runs),
        first_half_error_rate=float(np.mean([run.wrong[:half].mean() for run in runs])),
        explored=float(np.mean([run.audits / len(run.served) for run in runs])),
    )


def print_rows(rows: Sequence[Row]) -> None:
    """Print a table in Markdown; rates in per cent."""
    print(
        "| error <= | method | hits | error | worst run | runs over | first half | precision |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        half = "–" if row.first_half_error_rate is None else f"{row.first_half_error_rate:.2%}"
        precision = "–" if row.precision is None else f"{row.precision:.1%}"
        print(
            f"| {row.max_error:.1%} | {row.method} | {row.hit_rate:.2%} | {row.error_rate:.2%} "
            f"| {row.worst_error_rate:.2%} | {row.over} of {row.runs} | {half} | {precision} |"
        )


if __name__ == "__main__":
    main()
