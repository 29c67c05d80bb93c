"""Measure the lexical guards on labelled pairs of questions: the first is stored, the second is asked.

Example:
    python evals/guards.py pairs.csv --q1 sentence1 --q2 sentence2 --label label --model path/to/all-MiniLM-L6-v2
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import time
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from semroute.entry import Candidate
from semroute.guards.lexical import lexical_guards


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, gzipped or not."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def read_pairs(args: argparse.Namespace) -> list[tuple[str, str, bool]]:
    """Return (stored, asked, label); without a label column all pairs are positives."""
    rows = read_rows(args.file)[:: args.every]
    texts: dict[str, str] = {}
    if args.texts:
        path, key, column = args.texts.rsplit(":", 2)
        texts = {row[key]: row[column] for row in read_rows(Path(path))}
    return [
        (texts.get(row[args.q1], row[args.q1]), texts.get(row[args.q2], row[args.q2]), _label(row, args.label))
        for row in rows
    ]


def _label(row: dict[str, str], column: str | None) -> bool:
    return column is None or row[column] == "1"


def refusal(stored: str, asked: str, similarity: float, threshold: float) -> str:
    """Return the name of what refuses the pair, or nothing when it is served."""
    if similarity < threshold:
        return "similarity"
    if _exact(stored) == _exact(asked):
        return ""
    verdicts = (guard.check(asked, Candidate("", stored, similarity)) for guard in lexical_guards())
    return next((verdict.guard for verdict in verdicts if not verdict.passed), "")


def _exact(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def main() -> None:
    """Print hit and false-hit rates, and what refused how many."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--q1", required=True)
    parser.add_argument("--q2", required=True)
    parser.add_argument("--label")
    parser.add_argument("--texts", help="FILE:ID:TEXT, where the pairs hold ids")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--threshold", type=float, default=0.88)
    parser.add_argument("--every", type=int, default=1, help="measure every n-th pair only")
    args = parser.parse_args()

    pairs = read_pairs(args)
    texts = sorted({text for stored, asked, _ in pairs for text in (stored, asked)}, key=len)
    vectors = SentenceTransformer(args.model, device="cpu").encode(texts, normalize_embeddings=True)
    place = {text: index for index, text in enumerate(texts)}
    similarities = [float(np.clip(vectors[place[stored]] @ vectors[place[asked]], 0, 1)) for stored, asked, _ in pairs]
    started = time.perf_counter()
    refusals = [
        refusal(stored, asked, similarity, args.threshold)
        for (stored, asked, _), similarity in zip(pairs, similarities, strict=True)
    ]
    spent_ms = (time.perf_counter() - started) * 1000
    for label, name in ((True, "hit_rate"), (False, "false_hit_rate")):
        said = [why for why, (_, _, is_same) in zip(refusals, pairs, strict=True) if is_same is label]
        if said:
            rate = sum(not why for why in said) / len(said)
            print(f"{name} {rate:.4f} of {len(said)}; refused by {dict(Counter(why for why in said if why))}")
    print(f"{spent_ms / max(1, len(pairs)):.3f} ms a pair")


if __name__ == "__main__":
    main()
