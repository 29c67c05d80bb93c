"""Rival caches on the same pairs: their own defaults, and every threshold.

    make peers DATA=FOLDER
    .venv/bin/python -m evals.peers --data FOLDER --set mqp_medical --peer redisvl

The rivals run in .venv-peers (`make peers` makes it), through evals/peers/run.py; evals/peers.md says how each is kept
fair. What comes out is OUT/peers.json, which `evals.report` shows beside our own row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from evals.datasets import least, load_pairs
from evals.protocols import row_of
from evals.results import About, PeerReport, PeerSet, Row, write
from semroute.cli._output import progress
from semroute.errors import ConfigError, SemrouteError
from semroute.evaluation.metrics import PairOutcome
from semroute.evaluation.pairs import Pair

PEERS: Final = ("static", "redisvl", "langchain-redis", "gptcache")
LIMITS: Final[Mapping[str, int | None]] = {
    "paws_qqp": None,
    "checklist_qqp": None,
    "qqp": 4_000,
    "gptcache_mock": None,
    "same_place": None,
    "mqp_medical": None,
}
"""The sets, and how many of their first pairs are asked: None is all."""
PEERS_FILE: Final = "peers.json"
_HERE: Final = Path(__file__).resolve().parent
PYTHON: Final = _HERE.parent / ".venv-peers" / "bin" / "python"
_RUNNER: Final = _HERE / "peers" / "run.py"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a rival said of one pair."""

    similarity: float | None
    """Of the stored question, as the rival itself reports it; None where it found nothing at all."""
    is_hit: bool
    """Whether it would serve it, by its own default."""


class PeerError(SemrouteError):
    """A rival could not be asked."""


def main(given: Sequence[str] | None = None) -> int:
    """Read the arguments, ask every cache about every set, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the data folder, or hf://OWNER/NAME (default: SEMROUTE_DATA)")
    parser.add_argument("--out", type=Path, default=_HERE / "out", help="the folder for peers.json")
    parser.add_argument("--set", action="append", choices=list(LIMITS), help="default: all")
    parser.add_argument("--peer", action="append", choices=PEERS, help="default: all")
    parser.add_argument("--limit", type=int, help="take the first N pairs of each set only")
    parser.add_argument("--python", type=Path, default=PYTHON, help="the interpreter that the rivals run in")
    arguments = parser.parse_args(given)
    peers = PEERS if arguments.peer is None else arguments.peer
    names = list(LIMITS) if arguments.set is None else arguments.set
    try:
        sets = [measure(name, arguments.data, peers, arguments.limit, arguments.python) for name in names]
    except SemrouteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    written = arguments.out / PEERS_FILE
    write(PeerReport(command_line(arguments), sets), written)
    print(written)
    return 0


def measure(name: str, data: str | None, peers: Sequence[str], limit: int | None, python: Path) -> PeerSet:
    """Ask the rivals about one set. Raises ConfigError, PeerError."""
    loaded = load_pairs(name, data, limit=least(LIMITS[name], limit))
    print(f"{loaded.dataset.title}: {len(loaded.items)} pairs", file=sys.stderr, flush=True)
    rows = ask_peers(loaded.items, peers, python)
    return PeerSet(name, loaded.dataset.title, len(loaded.items), loaded.is_as_measured, rows)


def command_line(chosen: argparse.Namespace) -> str:
    """Return the command that measures the same; where the data is, is the reader's own."""
    words = ["python", "-m", "evals.peers", "--data", "DATA"]
    for name in ("set", "peer"):
        words += [f"--{name} {one}" for one in getattr(chosen, name) or ()]
    return " ".join(words if chosen.limit is None else [*words, f"--limit {chosen.limit}"])


def ask_peers(pairs: Sequence[Pair], peers: Sequence[str], python: Path) -> list[Row]:
    """Run the rivals in their own environment. Raises ConfigError, PeerError."""
    if not python.is_file():
        raise ConfigError(f"the rivals' environment is not there ({python}); make it with: make peers")
    with tempfile.TemporaryDirectory() as folder:
        asked, log = Path(folder) / "pairs.jsonl", Path(folder) / "log"
        asked.write_text("".join(json.dumps({"stored": one.stored, "asked": one.asked}) + "\n" for one in pairs))
        command = [str(python), str(_RUNNER), *(f"--peer={peer}" for peer in peers), str(asked)]
        with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as run:
            assert run.stdout is not None
            said = list(_said(run.stdout, len(pairs)))
        if run.returncode or [about.name for about, _ in said] != list(peers):
            raise PeerError(f"the rivals ended with status {run.returncode}: {log.read_text()[-2000:]}")
    return [row_of(about, [_outcome(*one) for one in zip(pairs, replies, strict=True)]) for about, replies in said]


def _said(lines: Iterable[bytes], n: int) -> Iterator[tuple[About, list[Reply]]]:
    """Read what the runner prints: for each rival a line about it, then one reply to each pair.

    It ends early where the runner does.
    """
    parsed = map(json.loads, lines)
    for head in parsed:
        about = About(head["peer"], head["versions"], head["default"], head["embedding"])
        replies = [Reply(reply["similarity"], reply["is_hit"]) for reply in progress(islice(parsed, n), about.name, n)]
        if len(replies) == n:
            yield about, replies


def _outcome(pair: Pair, reply: Reply) -> PairOutcome:
    score = 0.0 if reply.similarity is None else min(max(reply.similarity, 0.0), 1.0)
    return PairOutcome(pair.is_positive, reply.is_hit, False, score, pair.group)


if __name__ == "__main__":
    sys.exit(main())
