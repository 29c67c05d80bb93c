"""How well the freshness rules tell perishable questions from lasting ones, on labelled questions.

    python evals/staleness.py --situated context_dependence.csv --fresh questions.csv --json

`--situated` takes a CSV with the columns context, question and dependent (SituatedQA's context dependence; only rows
with context "temp" count); `--fresh` one with question and fact_type (FreshQA). Rates are fractions.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from semroute.freshness import judge_freshness

Figures: TypeAlias = dict[str, float | int]

FACT_TYPES: Final = ("never-changing", "slow-changing", "fast-changing")
# What each staleness claims about a fact: kept for at most an hour means that it changes fast.
CLAIMS: Final = {
    "timeless": "never-changing",
    "slow": "slow-changing",
    "daily": "fast-changing",
    "realtime": "fast-changing",
}


def measure_situated(rows: Sequence[Mapping[str, str]]) -> Figures:
    """Score "not timeless" as a prediction of the column `dependent`, over the rows about time."""
    cells: Counter[tuple[bool, str]] = Counter(
        (row["dependent"] == "1", judge_freshness(row["question"]).staleness)
        for row in rows
        if row["context"] == "temp"
    )
    dependent = sum(count for (is_dependent, _), count in cells.items() if is_dependent)
    independent = cells.total() - dependent
    found = dependent - cells[True, "timeless"]
    false_alarms = independent - cells[False, "timeless"]
    return {
        "n": cells.total(),
        "positives": dependent,
        "precision": _share(found, found + false_alarms),
        "recall": _share(found, dependent),
        "f1": _share(2 * found, found + false_alarms + dependent),
        "dependent_bypassed": _share(cells[True, "realtime"], dependent),
        "independent_bypassed": _share(cells[False, "realtime"], independent),
    }


def measure_fresh(rows: Sequence[Mapping[str, str]]) -> Figures:
    """Score the staleness against the three fact types, and the two errors that matter to a cache."""
    cells: Counter[tuple[str, str]] = Counter(
        (row["fact_type"], judge_freshness(row["question"]).staleness) for row in rows
    )
    totals = {fact_type: _total(cells, fact_type) for fact_type in FACT_TYPES}
    fast_kept = cells["fast-changing", "timeless"] + cells["fast-changing", "slow"]
    return {
        "n": cells.total(),
        "macro_f1": sum(_f1(cells, fact_type) for fact_type in FACT_TYPES) / len(FACT_TYPES),
        "fast_kept_over_1h": _share(fast_kept, totals["fast-changing"]),
        "fast_bypassed": _share(cells["fast-changing", "realtime"], totals["fast-changing"]),
        "never_bypassed": _share(cells["never-changing", "realtime"], totals["never-changing"]),
        "never_kept_over_1h": _share(
            cells["never-changing", "timeless"] + cells["never-changing", "slow"], totals["never-changing"]
        ),
    }


def _total(cells: Counter[tuple[str, str]], fact_type: str) -> int:
    return sum(count for (actual, _), count in cells.items() if actual == fact_type)


def _f1(cells: Counter[tuple[str, str]], fact_type: str) -> float:
    claimed = sum(count for (_, staleness), count in cells.items() if CLAIMS[staleness] == fact_type)
    right = sum(
        count for (actual, staleness), count in cells.items() if actual == fact_type and CLAIMS[staleness] == fact_type
    )
    return _share(2 * right, claimed + _total(cells, fact_type))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the files named on the command line and print the figures."""
    parser = argparse.ArgumentParser(description="Measure the freshness rules on labelled questions.")
    parser.add_argument("--situated", type=Path, help="CSV with the columns context, question, dependent")
    parser.add_argument("--fresh", type=Path, help="CSV with the columns question, fact_type")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    if options.situated is None and options.fresh is None:
        parser.error("name at least one of --situated and --fresh")
    figures: dict[str, Figures] = {}
    if options.situated is not None:
        figures["situated"] = measure_situated(_read(options.situated))
    if options.fresh is not None:
        figures["fresh"] = measure_fresh(_read(options.fresh))
    if options.json:
        print(json.dumps(figures))
        return 0
    for name, measured in figures.items():
        print(name)
        for figure, value in measured.items():
            print(f"  {figure:22} {value:.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
