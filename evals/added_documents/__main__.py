"""Measure which cached answers are removed when documents are added, on a labelled set that lies beside this.

    python -m evals.added_documents [--plot FILE] [--json]

Rules are chosen on one half of the corpora; the tables are of the other one, and of the first for comparison. It takes
less than a minute on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from evals.added_documents.measure import Measured, Rule, measure
from evals.added_documents.results import counts_table, curve, curve_table, figures, kinds_table, main_table, rules
from evals.added_documents.sets import Corpus, read_half
from semroute.embedders.onnx import OnnxEmbedder
from semroute.errors import ConfigError, SemrouteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="draw caught against dropped into this file (.png, .svg)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    chosen = parser.parse_args(arguments)
    try:
        embedder = OnnxEmbedder(use_hub=False)
        dev, test = ([measure(corpus, embedder) for corpus in read_half(half)] for half in ("dev", "test"))
        together = measure(_as_one([one.corpus for one in test]), embedder)
    except SemrouteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    compared = rules(dev)
    if chosen.plot is not None:
        draw(test, chosen.plot)
    print(_as_json(dev, test, compared) if chosen.json else _as_text(dev, test, together, compared))
    return 0


def draw(half: Sequence[Measured], file: Path) -> None:
    """Draw caught against dropped for the two rules."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for family, points in curve(half).items():
        _, shares, document, _ = zip(*points, strict=True)
        axes.plot(document, shares, marker="o", label=family)
    axes.set_xlabel("others dropped, a document")
    axes.set_ylabel("changed answers caught")
    axes.legend()
    figure.savefig(file)


def _as_one(corpora: Sequence[Corpus]) -> Corpus:
    """Put corpora together as one of as many subjects."""
    return Corpus(
        "together",
        tuple(document for corpus in corpora for document in corpus.documents),
        tuple(question for corpus in corpora for question in corpus.questions),
        tuple(added for corpus in corpora for added in corpus.added),
    )


def _as_text(
    dev: Sequence[Measured], test: Sequence[Measured], together: Measured, compared: Mapping[str, Rule]
) -> str:
    parts = [
        ("Test half", main_table(test, compared)),
        ("Test half, by kind, shipped rule", kinds_table(test)),
        ("Test half, others dropped by how many documents come at once, shipped rule", counts_table(test, together)),
        ("Test half, caught against dropped", curve_table(test)),
        ("Dev half, on which the rules were chosen", main_table(dev, compared)),
    ]
    return "\n\n".join("\n".join([f"{title}:", "", *lines]) for title, lines in parts)


def _as_json(dev: Sequence[Measured], test: Sequence[Measured], compared: Mapping[str, Rule]) -> str:
    return json.dumps(
        {
            half: [asdict(figures(measured, name, rule)) for name, rule in compared.items()]
            for half, measured in (("dev", dev), ("test", test))
        }
    )


if __name__ == "__main__":
    sys.exit(main())
