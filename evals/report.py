"""Measure our cache and write one page about it, with the figures as JSON beside it.

    make evals DATA=FOLDER
    .venv/bin/python -m evals.report --data FOLDER [--policy P] [--limit N] [--out FOLDER]

It takes about fifteen minutes on two cores; `--limit 500` takes the first rows of each set only, for a first look. The
other caches are in the page when `make peers DATA=FOLDER` has measured them. Nothing is written but report.html and
report.json in the folder OUT.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from evals.measure import Plan, measure
from evals.page import page
from evals.peers import PEERS_FILE
from evals.results import PeerReport, Report, read, write
from semroute.cli._output import progress
from semroute.embedders.onnx import OnnxEmbedder
from semroute.errors import ConfigError, SemrouteError

T = TypeVar("T")

OUT = Path(__file__).resolve().parent / "out"
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, write, and say where the page is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the data folder, or hf://OWNER/NAME (default: SEMROUTE_DATA)")
    parser.add_argument("--policy", help="a threshold, or a policy file (default: the policy as shipped)")
    parser.add_argument("--limit", type=int, help="take the first N rows of each set only")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder for the page")
    parser.add_argument("--no-online", action="store_true", help="leave out the policies that learn per entry")
    parser.add_argument("--page-only", action="store_true", help="write the page anew from what was measured before")
    chosen = parser.parse_args(arguments)
    try:
        if not chosen.page_only:
            plan = Plan(chosen.data, chosen.policy, not chosen.no_online, chosen.limit)
            write(measure(plan, command_line(chosen), OnnxEmbedder(), _track, _say), chosen.out / REPORT_FILE)
        written = write_page(chosen.out)
    except SemrouteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(written)
    return 0


def write_page(out: Path) -> Path:
    """Write the page of the figures in a folder. Raises ConfigError."""
    report, peers = read(Report, out / REPORT_FILE), out / PEERS_FILE
    written = out / PAGE_FILE
    written.write_text(page(report, read(PeerReport, peers) if peers.exists() else None), encoding="utf-8")
    return written


def command_line(chosen: argparse.Namespace) -> str:
    """Return the command that measures the same; where the data is, is the reader's own."""
    words = ["python", "-m", "evals.report", "--data", "DATA"]
    for name in ("policy", "limit"):
        value = getattr(chosen, name)
        words += [] if value is None else [f"--{name}", shlex.quote(str(value))]
    words += ["--no-online"] if chosen.no_online else []
    return " ".join(words)


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
