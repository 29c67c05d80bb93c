"""Put the router that ships together, from the two halves that were fitted, and write its card.

    python -m evals.router DATA --heads heads.json --tiers tiers.json --out semroute/router/learned.json

`--heads` is what `python -m evals.staleness_learned … --out` writes, `--tiers` what `python -m evals.routing … --out`
writes. The gains of typical prompts, by which a share of strong calls begins, are those of DATA's AlpacaEval
instructions and Arena-Hard prompts, which people have asked of chat models; none of their words is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from semroute.cli._output import progress
from semroute.embedders.onnx import OnnxEmbedder
from semroute.evaluation.tables import read_rows, text_of
from semroute.evaluation.vectors import AheadEmbedder
from semroute.request import fold
from semroute.router import _heads
from semroute.router._file import RouterFile
from semroute.router._tiers import TierPredictor
from semroute.router.learned import SHIPPED

T = TypeVar("T")

CARD = """The router that ships with semroute. Heads for intent, complexity and staleness: evals/staleness_learned.md.
Tiers (weak: Mixtral 8x7B, strong: GPT-4 1106): evals/routing.md. The card with scores and limits: learned_card.md."""
_QUANTILES = 101


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--tiers", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args(arguments)
    heads = _heads.load(json.loads(given.heads.read_text(encoding="utf-8")), embedder=None, source=str(given.heads))
    tiers = TierPredictor.of_json(json.loads(given.tiers.read_text(encoding="utf-8")), str(given.tiers))
    file = RouterFile(heads, tiers, gains(tiers, prompts(given.data / "routing")), CARD)
    file.write(given.out)
    print(f"{given.out}: digest {file.digest}, {given.out.stat().st_size:,} bytes, {file.embedder}")
    return 0


def prompts(folder: Path) -> list[str]:
    """Read prompts that people have asked of chat models."""
    asked = [("alpacaeval_wins.csv", "instruction"), ("arena_hard_prompts.jsonl.gz", "prompt")]
    return [text_of(row, column) for name, column in asked for row in read_rows(folder / name, columns=[column])]


def gains(tiers: TierPredictor, asked: Sequence[str]) -> list[float]:
    """Return quantiles of how much likelier the strong model is good enough."""
    embedder = AheadEmbedder(OnnxEmbedder())
    embedder.prepare(asked, _track)
    found = []
    for prompt in asked:
        text = fold(prompt)
        p = tiers.predict(embedder.embed([text])[0] if embedder.fits(text) else None, prompt)
        found.append(float(p[-1] - p[0]))
    return [round(float(gain), 4) for gain in np.quantile(found, np.linspace(0.0, 1.0, _QUANTILES))]


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


if __name__ == "__main__":
    sys.exit(main())
