"""Measure the embedders: latency, throughput, start of a new process and, on pairs of texts, what precision costs.

`python evals/embedding.py [--weights FOLDER] [--pairs FILE:TEXT1:TEXT2[:LABEL]]…` prints Markdown tables. It needs the
extras [embed], [export] and [evals]. The runs take turns, so that a busy moment of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from semroute.embedders import Embedder
from semroute.embedders.onnx import OnnxEmbedder
from semroute.embedders.sentence_transformers import SentenceTransformerEmbedder

QUESTION = "How do I change the delivery address of an order not shipped?"
"""15 tokens."""

CLIENTS = 16
START = """
import sys, time
started = time.perf_counter()
from semroute.embedders.onnx import OnnxEmbedder
embedder = OnnxEmbedder(precision=sys.argv[1])
embedder.embed([sys.argv[2]])
print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="sentence-transformers/all-MiniLM-L6-v2", help="for torch")
    parser.add_argument("--pairs", action="append", default=[], metavar="FILE:TEXT1:TEXT2[:LABEL]")
    parser.add_argument("--limit", type=int, default=1_000, help="pairs of each file, taken at random")
    parser.add_argument("--threshold", type=float, default=0.90)
    arguments = parser.parse_args()
    embedders: dict[str, Embedder] = {
        "torch float32": SentenceTransformerEmbedder(arguments.weights, device="cpu"),
        "onnx float32": OnnxEmbedder(precision="float32"),
        "onnx int8": OnnxEmbedder(precision="int8"),
    }
    print_speed(embedders)
    for specification in arguments.pairs:
        print_quality(embedders, specification, arguments.limit, arguments.threshold)


def print_speed(embedders: dict[str, Embedder]) -> None:
    latencies = alternate({name: lambda e=embedder: e.embed([QUESTION]) for name, embedder in embedders.items()})
    print(
        "\n| embedder | p50 ms | p95 ms | 16 clients, texts/s | new process to first vector, s |\n|---|---|---|---|---|"
    )
    for name, embedder in embedders.items():
        times_ms = sorted(1_000 * latency for latency in latencies[name])
        p50, p95 = statistics.median(times_ms), times_ms[int(len(times_ms) * 0.95)]
        start = f"{start_s(name.removeprefix('onnx ')):.2f}" if name.startswith("onnx") else "–"
        print(f"| {name} | {p50:.2f} | {p95:.2f} | {throughput(embedder):.0f} | {start} |")


def alternate(runs: dict[str, Callable[[], object]], *, rounds: int = 10, repeats: int = 25) -> dict[str, list[float]]:
    """Run each in turn, the first five of each round unmeasured; seconds by name."""
    latencies: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            for repeat in range(repeats + 5):
                started = time.perf_counter()
                run()
                if repeat >= 5:
                    latencies[name].append(time.perf_counter() - started)
    return latencies


def throughput(embedder: Embedder, *, texts: int = 640) -> float:
    """Texts per second from 16 threads that each embed one question after the other."""
    questions = [f"{QUESTION} Number {number}" for number in range(texts)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        started = time.perf_counter()
        list(pool.map(lambda question: embedder.embed([question]), questions))
        return texts / (time.perf_counter() - started)


def start_s(precision: str) -> float:
    """Median of five new processes: imports, loading, one text; the interpreter's own start is not in it."""
    command = [sys.executable, "-c", START, precision, QUESTION]
    return statistics.median(float(subprocess.check_output(command, text=True)) for _ in range(5))


def print_quality(embedders: dict[str, Embedder], specification: str, limit: int, threshold: float) -> None:
    file, *columns = specification.split(":")
    pairs = sample(Path(file), columns, limit)
    labels = np.array([label for _, _, label in pairs])
    reference: np.ndarray | None = None
    print(f"\n{Path(file).name}, {len(pairs)} pairs\n\n| embedder | AUC | hits | false hits | cosine to torch, least |")
    print("|---|---|---|---|---|")
    for name, embedder in embedders.items():
        left = embedder.embed([pair[0] for pair in pairs])
        similarities = (left * embedder.embed([pair[1] for pair in pairs])).sum(axis=1)
        reference = left if reference is None else reference
        hits = [rate(similarities[labels == label] >= threshold) for label in (1, 0)]
        least = (left * reference).sum(axis=1).min()
        print(f"| {name} | {auc(similarities, labels)} | {hits[0]} | {hits[1]} | {least:.4f} |")


def sample(file: Path, columns: Sequence[str], limit: int) -> list[tuple[str, str, int]]:
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
        rows = list(csv.DictReader(lines))
    random.Random(0).shuffle(rows)
    label = columns[2] if len(columns) > 2 else None
    return [(row[columns[0]], row[columns[1]], 1 if label is None else int(row[label])) for row in rows[:limit]]


def rate(hits: np.ndarray) -> str:
    return f"{hits.mean():.3f}" if len(hits) else "–"


def auc(similarities: np.ndarray, labels: np.ndarray) -> str:
    """Probability that a pair of label 1 is nearer than one of label 0."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return "–"
    ranks = similarities.argsort().argsort()
    wins = ranks[labels == 1].sum() - positives * (positives - 1) / 2
    return f"{wins / (positives * negatives):.4f}"


if __name__ == "__main__":
    main()
