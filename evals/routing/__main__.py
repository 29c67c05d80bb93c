"""Measure the learned choice of models, out of fold, and write one page with the figures as JSON beside it.

    python -m evals.routing DATA --vectors vectors.npz [--out FOLDER] [--coefficients FILE]

DATA is the folder of the labelled sets; `evals/routing/sets.py` says which files it reads. It takes about ten minutes
on two cores, less where the vectors are kept. `--coefficients` writes the predictor that was fitted on all of the sets.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from evals.kept_vectors import KeptEmbedder
from evals.routing.measure import measure
from evals.routing.page import page, tables
from evals.routing.results import RoutingReport
from evals.routing.sets import read_sets
from semroute.cli._output import progress
from semroute.embedders.onnx import OnnxEmbedder
from semroute.errors import ConfigError, SemrouteError

T = TypeVar("T")

OUT = Path(__file__).resolve().parent.parent / "out"
REPORT_FILE = "routing.json"
PAGE_FILE = "routing.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, write, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the folder of the labelled sets")
    parser.add_argument("--vectors", type=Path, help="keep the vectors in this .npz file, for the next run")
    parser.add_argument("--limit", type=int, help="take the first N rows of each set only")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder for the page and the figures")
    parser.add_argument("--coefficients", type=Path, help="write the predictor that was fitted on all sets as JSON")
    parser.add_argument("--page-only", action="store_true", help="write the page anew from what was measured before")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")
    chosen = parser.parse_args(arguments)
    adapter = TypeAdapter(RoutingReport)
    try:
        if chosen.page_only:
            report = adapter.validate_json((chosen.out / REPORT_FILE).read_bytes())
        else:
            embedder = KeptEmbedder(OnnxEmbedder(use_hub=False), chosen.vectors)
            sets = read_sets(chosen.data, embedder, _track, chosen.limit)
            made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            limit = "" if chosen.limit is None else f" --limit {chosen.limit}"
            report, fitted = measure(sets, embedder, f"python -m evals.routing DATA{limit}", made_at, _track)
            chosen.out.mkdir(parents=True, exist_ok=True)
            (chosen.out / REPORT_FILE).write_bytes(adapter.dump_json(report, indent=1))
            if chosen.coefficients is not None:
                told = json.dumps(fitted.predictor.as_json(), separators=(",", ":"), allow_nan=False)
                chosen.coefficients.write_text(f"{told}\n", encoding="utf-8")
        (chosen.out / PAGE_FILE).write_text(page(report), encoding="utf-8")
    except (SemrouteError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(adapter.dump_json(report, indent=1).decode() if chosen.json else tables(report))
    return 0


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


if __name__ == "__main__":
    sys.exit(main())
