"""Fit the verifier that ships, measure it on questions that it has not seen, and write its coefficients and card.

    python -m evals.verifier DATA --vectors vectors.npz --left-out --out semroute/guards/verifier.json

DATA is the folder of the labelled sets (evals/datasets.py says what they are). Every figure is out of fold: no question
stands on both sides, in whatever set it is. `--left-out` also fits once without each set, and measures it there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from evals.datasets import load_pairs
from evals.kept_vectors import KeptEmbedder
from evals.verifier_figures import Table, measure, operating_points
from semroute.cli._output import progress
from semroute.embedders.onnx import OnnxEmbedder
from semroute.guards._verifier_file import Coefficients
from semroute.guards._verifier_forest import Forest
from semroute.guards.verifier import SHIPPED, Verifier
from semroute.request import fold
from semroute.tuning._verifier_boosting import Examples, p_reusable
from semroute.tuning.components import components
from semroute.tuning.verifier_training import (
    FOLDS,
    FROM_NOTHING,
    VETOED_SHARE,
    Fit,
    TrainedVerifier,
    coefficients_of,
    digests,
    examples_of,
    figures_of,
    fit,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.entry import JSON
    from semroute.tuning._verifier_boosting import Flags

T = TypeVar("T")

LEAST_P: Final = 0.83
LEAST_SIMILARITY: Final = 0.75
"""The operating point that the table is made at."""
REFERENCE: Final = "qqp"
"""The set whose pairs the probabilities are calibrated on: people's own questions, and labels of both sorts."""
REDTEAM: Final = Path(__file__).resolve().parent.parent / "tests" / "guards" / "redteam.jsonl"
WRITTEN: Final = Path(__file__).resolve().parent / "written"
"""Families of questions that were written for the fit; written.md says how."""
HELD_OUT: Final = "held_out"
"""Families of what people ask assistants that no fit learns from; weights were chosen with them in view."""
WEIGHTS: Final[Mapping[str, float | tuple[float, float]]] = {
    "qqp": 25_000.0,
    "paws_qqp": 8_000.0,
    "checklist_qqp": 9_000.0,
    "mqp_medical": 36_000.0,
    "situatedqa": 0.0,
    "timeqa": 0.0,
    "gptcache_mock": 6_000.0,
    "other_origins": 2_500.0,
    "redteam": 6_000.0,
    "written_places": (3_000.0, 1_500.0),
    "written_health": (1_500.0, 2_500.0),
    "written_everyday": (1_500.0, 2_500.0),
    "written_assistants": (40_000.0, 40_000.0),
}
"""What each set counts in the fit, all its pairs together, so that the largest does not drown the traps; of two numbers
the first is for its right pairs, the second for its wrong ones.

The swaps of dates and places are only measured: the vetoes refuse them, and in a fit they would teach that a date is
held against a pair, since they have no pairs of one date.
"""
_BLOCKS: Final = 10
_OTHERS: Final = 3
_WORDS: Final = 8_000


@dataclass(frozen=True, slots=True)
class Set:
    """Labelled pairs of one source."""

    name: str
    pairs: Sequence[tuple[str, str, bool]]
    source: str
    licence: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, measure, print, write."""
    args = _parser().parse_args(arguments)
    embedder = KeptEmbedder(OnnxEmbedder(use_hub=False), args.vectors)
    sets = read_sets(args.data)
    embedder.prepare([text for one in sets for pair in one.pairs for text in pair[:2]], _track)
    sets.append(other_origins(sets, embedder))
    names = np.array([one.name for one in sets for _ in one.pairs])
    pairs = [pair for one in sets for pair in one.pairs]
    blank = Verifier(Coefficients(embedder.identity, _words(args.tokenizer), 0.0, 0.0, Forest.empty(1)), {})
    examples = weighted(examples_of(pairs, embedder, blank, _track), names)
    fitted = fit(examples, FROM_NOTHING, reference=names == REFERENCE, progress=_track)
    table = measure(pairs, names, fitted.out_of_fold, embedder, LEAST_P, LEAST_SIMILARITY, _track)
    left_out = _left_out(examples, names, pairs, embedder) if args.left_out else None
    card = _card([one for one in sets if weight_of(one.name) > 0], examples, names, fitted, table, left_out)
    coefficients = coefficients_of(fitted.score, embedder.identity, blank.coefficients.words)
    figures = figures_of(fitted.out_of_fold, examples)
    trained = TrainedVerifier(Verifier(coefficients, card), figures, fitted.out_of_fold)
    print(json.dumps(trained.verifier.card, indent=1) if args.json else table.page(left_out))
    others = [
        measure(pairs, names, fitted.out_of_fold, embedder, least_p, LEAST_SIMILARITY, _track) for least_p in args.p
    ]
    if others and not args.json:
        print(f"\n{operating_points(others)}")
    if args.out is not None:
        trained.write(args.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the folder of the labelled sets, or hf://OWNER/NAME")
    parser.add_argument("--out", type=Path, help="write coefficients and card to this file")
    parser.add_argument("--vectors", type=Path, help="keep the vectors in this .npz file, for the next run")
    parser.add_argument(
        "--tokenizer", type=Path, help="tokenizer.json with words in order of frequency; default: those that ship"
    )
    parser.add_argument("--left-out", action="store_true", help="also fit without each set and measure it there")
    parser.add_argument(
        "--p", type=float, nargs="*", default=[], metavar="P", help="also measure at these least P(reusable)"
    )
    parser.add_argument("--json", action="store_true", help="print the card as JSON and nothing else")
    return parser


def read_sets(data: str) -> list[Set]:
    """Read every set of pairs that the fit uses. Raises ConfigError."""
    sets = []
    for name in WEIGHTS:
        if name in ("redteam", "other_origins") or name.startswith("written_"):
            continue
        loaded = load_pairs(name, data)
        pairs = [(fold(pair.stored), fold(pair.asked), pair.is_positive) for pair in loaded.items]
        sets.append(Set(name, pairs, loaded.dataset.source, loaded.dataset.licence))
    same_place = load_pairs("same_place", data)
    rows = [json.loads(row) for row in REDTEAM.read_text(encoding="utf-8").splitlines()]
    redteam = [(fold(row["a"]), fold(row["b"]), bool(row["same"])) for row in rows]
    sets.append(Set("redteam", redteam, "written for this project, tests/guards/redteam.jsonl", "Apache-2.0"))
    sets += [written(f"written_{path.stem}", path) for path in sorted(WRITTEN.glob("*.jsonl"))]
    sets.append(written("written_assistants", *sorted(WRITTEN.glob("assistants/*.jsonl"))))
    # Measured only: their pairs have no weight in the fit.
    sets.append(written(HELD_OUT, *sorted(WRITTEN.glob("held_out/*.jsonl"))))
    checked = [(fold(pair.stored), fold(pair.asked), pair.is_positive) for pair in same_place.items]
    sets.append(Set("same_place", checked, same_place.dataset.source, same_place.dataset.licence))
    return sets


def written(name: str, *paths: Path) -> Set:
    """Pair the questions of each family: all that ask the same with one another, and each with all that ask another."""
    pairs: list[tuple[str, str, bool]] = []
    for row in (row for path in paths for row in path.read_text(encoding="utf-8").splitlines()):
        family = json.loads(row)
        same, other = ([fold(text) for text in family[key]] for key in ("same", "other"))
        pairs += [(stored, asked, True) for stored, asked in itertools.combinations(same, 2)]
        pairs += [(stored, asked, False) for stored, asked in itertools.product(same, other)]
    folder = paths[0].relative_to(WRITTEN.parent.parent)
    source = folder if len(paths) == 1 else folder.parent
    return Set(name, pairs, f"written for this project, {source}", "Apache-2.0")


def other_origins(sets: Sequence[Set], embedder: Embedder) -> Set:
    """Pair each paraphrase of the mock set with the nearest statements that it does not stand for: label 0.

    The set has no wrong pairs of its own, so that any two statements would pass for one another. Neighbours are looked
    for among a tenth of the set, so that folds stay folds.
    """
    mock = next(one for one in sets if one.name == "gptcache_mock")
    of_pair = components(digests(pair[0] for pair in mock.pairs), digests(pair[1] for pair in mock.pairs))
    blocks = of_pair % _BLOCKS
    found: list[tuple[str, str, bool]] = []
    for block in range(_BLOCKS):
        of_block = [pair for pair, number in zip(mock.pairs, blocks, strict=True) if number == block]
        known = [pair for pair in of_block if embedder.fits(pair[0]) and embedder.fits(pair[1])]
        origins = sorted({pair[0] for pair in known})
        vectors = embedder.embed(origins)
        for _, asked, _ in known:
            own = {pair[0] for pair in known if pair[1] == asked} | {asked}
            nearest = np.argsort(-(vectors @ embedder.embed([asked])[0]), kind="stable")
            others = [origins[place] for place in nearest if origins[place] not in own]
            found += [(origin, asked, False) for origin in others[:_OTHERS]]
    return Set("other_origins", found, f"made of {mock.source}", mock.licence)


def weighted(examples: Examples, names: NDArray[np.str_]) -> Examples:
    """Give each set the weight that it has in the fit; within it the pairs keep theirs."""
    weights = np.zeros(len(examples))
    for name, weight in WEIGHTS.items():
        used = (names == name) & (examples.weights > 0)
        parts = (
            [(used & examples.is_right, weight[0]), (used & ~examples.is_right, weight[1])]
            if isinstance(weight, tuple)
            else [(used, weight)]
        )
        for part, total in parts:
            weights[part] = total / max(1, int(part.sum())) * examples.weights[part]
    return replace(examples, weights=weights)


def weight_of(name: str) -> float:
    """Return what a set counts in the fit; 0 for one that is only measured."""
    weight = WEIGHTS.get(name, 0.0)
    return sum(weight) if isinstance(weight, tuple) else weight


def _left_out(
    examples: Examples, names: NDArray[np.str_], pairs: Sequence[tuple[str, str, bool]], embedder: Embedder
) -> Table:
    """Fit once without each set and measure it there: what to expect of questions of another kind."""
    p = np.zeros(len(examples))
    mock = ("gptcache_mock", "other_origins")
    fitted_on = [name for name in dict.fromkeys(names.tolist()) if weight_of(name) > 0]
    for name in _track(fitted_on, "leaving out"):
        without = ~np.isin(names, mock if name in mock else name)
        # A calibration needs folds of its own, on what is left.
        rest = fit(examples.some(without), FROM_NOTHING, reference=_reference(names[without]), n_folds=2)
        here = names == name
        margins = rest.score.margins(examples.features[here], examples.similarities[here])
        p[here] = p_reusable(margins, examples.is_vetoed[here])
    kept = np.isin(names, fitted_on)
    asked = [pair for pair, is_kept in zip(pairs, kept, strict=True) if is_kept]
    return measure(asked, names[kept], p[kept], embedder, LEAST_P, LEAST_SIMILARITY, _track)


def _reference(names: NDArray[np.str_]) -> Flags | None:
    chosen = names == REFERENCE
    return chosen if chosen.any() else None


def _card(
    sets: Sequence[Set], examples: Examples, names: NDArray[np.str_], fitted: Fit, table: Table, left_out: Table | None
) -> dict[str, JSON]:
    reference = names == REFERENCE
    return {
        "title": "P(reusable | query, candidate): may a stored answer be served for another question?",
        "use": "behind a similarity search, for English questions; the similarities of the named embedder only",
        "data": [
            {
                "set": one.name,
                "pairs": len(one.pairs),
                "positives": sum(label for _, _, label in one.pairs),
                "weight": weight_of(one.name),
                "source": one.source,
                "licence": one.licence,
            }
            for one in sets
        ],
        "licence_limits": (
            "Several of these sets may be used for research or non-commercial work only, or state no licence. The file "
            "holds no sentence of theirs. Where that is not enough, fit one on pairs of your own (semroute verifier "
            "train --from-nothing)."
        ),
        "method": {
            "trees": FROM_NOTHING.rounds,
            "depth": FROM_NOTHING.depth,
            "rate": FROM_NOTHING.rate,
            "calibration": f"Platt, out of fold, on {REFERENCE}",
            "folds": f"{FOLDS}, by connected components of questions over all sets",
            "vetoed_share": VETOED_SHARE,
        },
        "operating_point": {"least_p_reusable": LEAST_P, "least_similarity": LEAST_SIMILARITY},
        "out_of_fold": table.as_json(),
        REFERENCE: dict(figures_of(fitted.out_of_fold[reference], examples.some(reference))),
        "left_out": None if left_out is None else left_out.as_json(),
    }


def _words(tokenizer: Path | None) -> tuple[str, ...]:
    """Return the common words: those that ship, or the first of a vocabulary that is sorted by frequency."""
    if tokenizer is None:
        return Verifier.load(SHIPPED).coefficients.words
    vocabulary: dict[str, int] = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
    ranked = sorted(vocabulary, key=vocabulary.__getitem__)
    return tuple(word for word in ranked if len(word) > 1 and word.isascii() and word.isalpha())[:_WORDS]


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


if __name__ == "__main__":
    sys.exit(main())
