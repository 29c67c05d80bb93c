"""P(reusable) of a stream's candidates by verifiers that have not seen their questions.

    python -m evals.online_unseen DATA --cache FOLDER --out unseen.npy

The shipped verifier was fitted on pairs of the very questions that the stream is made of. So two are fitted here, each
without one half of the connected components of questions, in all sets; a request is judged by the one that has not
seen its component. `evals/online.py --probabilities unseen.npy` takes the result.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from evals.datasets import load_stream
from evals.kept_vectors import KeptEmbedder
from evals.online import neighbours_of, probabilities_of
from evals.verifier import REFERENCE, other_origins, read_sets, weighted
from semroute.embedders.onnx import OnnxEmbedder
from semroute.guards.verifier import Verifier
from semroute.request import fold
from semroute.tuning.verifier_training import FROM_NOTHING, coefficients_of, digests, examples_of, fit


def main() -> None:
    """Read the arguments, fit, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the folder of the labelled sets (evals/datasets.py says what they are)")
    parser.add_argument("--stream", default="qqp_stream")
    parser.add_argument("--cache", type=Path, help="the folder that evals/online.py keeps vectors and neighbours in")
    parser.add_argument("--vectors", type=Path, help="keep the vectors of the pairs in this .npz file")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    embedder = KeptEmbedder(OnnxEmbedder(), arguments.vectors)
    verifiers, half_of = fitted(arguments.data, embedder)
    texts = [fold(question.text) for question in load_stream(arguments.stream, arguments.data).items]
    judges = dict(zip(texts, (verifiers[half_of.get(int(one), 0)] for one in digests(texts)), strict=True))
    near = neighbours_of(texts, embedder, arguments.cache)
    np.save(arguments.out, probabilities_of(texts, near, judges.__getitem__))


def fitted(data: str, embedder: KeptEmbedder) -> tuple[list[Verifier], dict[int, int]]:
    """Return two verifiers, and by the digests of questions the one that has not seen them."""
    sets = read_sets(data)
    sets.append(other_origins(sets, embedder))
    names = np.array([one.name for one in sets for _ in one.pairs])
    pairs = [pair for one in sets for pair in one.pairs]
    shipped = Verifier.load()
    examples = weighted(examples_of(pairs, embedder, shipped), names)
    half = examples.folds(2, FROM_NOTHING.seed)
    verifiers = []
    for left_out in (0, 1):
        used = half != left_out
        rest = fit(examples.some(used), FROM_NOTHING, reference=names[used] == REFERENCE, n_folds=2)
        verifiers.append(Verifier(coefficients_of(rest.score, embedder.identity, shipped.coefficients.words), {}))
    of_question = {
        int(question): int(number)
        for side in (0, 1)
        for question, number in zip(digests(pair[side] for pair in pairs), half, strict=True)
    }
    return verifiers, of_question


if __name__ == "__main__":
    main()
