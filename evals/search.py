"""What the shortlist of the embedded store's search costs and misses, beside a product with every vector.

    python evals/search.py FILE --column question --entries 10000

embeds the first texts of a column, stores them in one matrix, asks for later ones, and counts the neighbours that the
full product finds above a similarity and the search does not. Times are medians of one search in a row ("hot"), and
after 48 MB of other reads ("cold"), which is what a search meets after an embedding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semroute.embedders.onnx import OnnxEmbedder
from semroute.evaluation.tables import read_rows
from semroute.stores._sqlite.matrix import Matrix

SIMILARITIES = (0.95, 0.9, 0.85, 0.8, 0.7)
NEIGHBOURS = 5


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CSV, CSV.gz or JSONL")
    parser.add_argument("--column", required=True, help="the column with the texts")
    parser.add_argument("--entries", type=int, default=10_000, help="how many vectors are searched")
    parser.add_argument("--queries", type=int, default=2_000, help="how many searches are made")
    arguments = parser.parse_args()
    rows = read_rows(arguments.file)
    texts = list(dict.fromkeys(str(row[arguments.column]) for row in rows))[: arguments.entries + arguments.queries]
    vectors = OnnxEmbedder(use_hub=False).embed(texts)
    base, queries = vectors[: arguments.entries], vectors[arguments.entries :]
    matrix = Matrix(base.shape[1])
    for row, vector in enumerate(base):
        matrix.append(row, str(row), texts[row], float("inf"), vector)
    report_misses(matrix, base, queries)
    print(f"search      {timed(lambda vector: matrix.search(vector, NEIGHBOURS, 0.0), queries)}")
    print(f"full product {timed(lambda vector: np.argpartition(base @ vector, -NEIGHBOURS), queries)}")


def report_misses(matrix: Matrix, base: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    """Print how many of the true neighbours above each similarity the search did not find."""
    there, missed = dict.fromkeys(SIMILARITIES, 0), dict.fromkeys(SIMILARITIES, 0)
    for query in queries:
        scores = base @ query
        found = {int(candidate.id) for candidate in matrix.search(query, NEIGHBOURS, 0.0)}
        worst_found = min(float(scores[row]) for row in found)
        for row in np.argsort(-scores)[:NEIGHBOURS]:
            for similarity in SIMILARITIES:
                if scores[row] >= similarity:
                    there[similarity] += 1
                    # Of equal neighbours either may be found.
                    missed[similarity] += int(row) not in found and float(scores[row]) > worst_found + 1e-6
    for similarity in SIMILARITIES:
        print(f"similarity >= {similarity:.2f}: {there[similarity]} neighbours, {missed[similarity]} missed")


def timed(search: Callable[[NDArray[np.float32]], object], queries: NDArray[np.float32]) -> str:
    """Return the median times of a search, hot and cold."""
    other = np.random.default_rng(0).random(6_000_000)
    hot, cold = [], []
    for query in queries[:300]:
        search(query)
        hot.append(seconds(search, query))
        other.sum()
        cold.append(seconds(search, query))
    return f"hot p50 {np.median(hot) * 1e3:.3f} ms, cold p50 {np.median(cold) * 1e3:.3f} ms"


def seconds(search: Callable[[NDArray[np.float32]], object], query: NDArray[np.float32]) -> float:
    """Time one search."""
    began = time.perf_counter()
    search(query)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
