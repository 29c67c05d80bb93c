"""Measuring what the report shows: our cache as shipped, and a plain cosine on the same vectors."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from evals.datasets import (
    DATASETS,
    Dataset,
    Loaded,
    PairColumns,
    StreamColumns,
    TurnColumns,
    dataset,
    least,
    load_pairs,
    load_stream,
    load_turn_pairs,
)
from evals.peers import LIMITS
from evals.protocols import (
    PairRun,
    RememberingEmbedder,
    carry,
    chronological_halves,
    random_halves,
    row_of,
    run_conversations,
    run_pairs,
    run_plain,
    run_stream,
)
from evals.results import (
    OURS,
    About,
    Calibration,
    CarriedRow,
    ConversationRun,
    OnlineRow,
    OnlineRun,
    Origin,
    OutOfFold,
    PairSet,
    Report,
    StreamRun,
)
from semroute import __version__
from semroute.embedders import Embedder
from semroute.errors import SemrouteError
from semroute.evaluation.flows import Flows, LoneRecords
from semroute.evaluation.metrics import expected_calibration_error, reliability
from semroute.evaluation.pairs import Pair
from semroute.evaluation.policies import read_policy
from semroute.evaluation.stream import Insert
from semroute.evaluation.vectors import AheadEmbedder, Track
from semroute.gate import Policy
from semroute.guards import Estimator
from semroute.guards.verifier import SHIPPED

OUR_EMBEDDING: Final = "all-MiniLM-L6-v2, int8, ONNX Runtime"
PLAIN: Final = "plain cosine"
PLAIN_THRESHOLD: Final = 0.8
_ONLINE: Final = Path(__file__).with_name("online.py")
CALIBRATED_ON: Final = "qqp"
STREAM: Final = "qqp_stream"
CONVERSATIONS: Final = "collisions"
INSERTS: Final[tuple[Insert, ...]] = ("always", "miss")
HALVES_BOUNDS: Final = (0.005, 0.01, 0.02, 0.05)
STREAM_BOUNDS: Final = (0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)


class EvaluationError(SemrouteError):
    """A part of the evaluation could not be run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    data: str | None
    policy: str | None = None
    has_online: bool = True
    """Measure the policies that learn per entry, too: a run of its own, with an embedder of its own."""
    limit: int | None = None
    """Take the first rows of each set only."""


def measure(plan: Plan, command: str, embedder: Embedder, track: Track, say: Callable[[str], None]) -> Report:
    """Run every protocol that the report shows. `say` is told what comes next. Raises ConfigError."""
    began = time.monotonic()
    policy = read_policy(plan.policy)
    remembering = RememberingEmbedder(embedder)
    verifier = standing_verifier(policy, remembering)
    card = {} if verifier is None else out_of_fold(verifier.digest)
    sets: list[PairSet] = []
    runs: dict[str, PairRun] = {}
    for found in (one for one in DATASETS if isinstance(one.columns, PairColumns)):
        say(found.title)
        loaded = load_pairs(found.name, plan.data, limit=plan.limit)
        runs[found.name] = run_pairs(loaded, remembering, policy, track)
        one = _pair_set(loaded, runs[found.name], policy, plan, remembering, track)
        sets.append(replace(one, out_of_fold=card.get(found.name)))
    say(dataset(CONVERSATIONS).title)
    conversations = _conversations(plan, policy, remembering, track)
    streams: list[StreamRun] = []
    for insert in INSERTS:
        say(f"{dataset(STREAM).title}, insert {insert}")
        streams.append(_stream(plan, insert, policy, remembering, track))
    online = None
    if plan.has_online and verifier is not None:
        say(f"{dataset(STREAM).title}, learning per entry")
        online = run_online(plan)
    return Report(
        command=command,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began, 1),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        version=__version__,
        policy=policy.version,
        verifier=None if verifier is None else verifier.digest,
        pairs=sets,
        halves=list(_halves(runs[CALIBRATED_ON])),
        calibration=_calibration(runs[CALIBRATED_ON], command, verifier),
        streams=streams,
        online=online,
        conversations=conversations,
        origins=[_origin(one) for one in DATASETS],
    )


def _pair_set(
    loaded: Loaded[Pair], run: PairRun, policy: Policy, plan: Plan, embedder: Embedder, track: Track
) -> PairSet:
    found = loaded.dataset
    ours = About(OURS, {"semroute": __version__}, f"policy {policy.version}", OUR_EMBEDDING)
    plain = About(PLAIN, {}, f"cosine >= {PLAIN_THRESHOLD}", OUR_EMBEDDING)
    asked = run.outcomes[: LIMITS[found.name]] if found.name in LIMITS else []
    return PairSet(
        name=found.name,
        title=found.title,
        is_trap=found.is_trap,
        is_as_measured=loaded.is_as_measured,
        command=command_of(found, plan),
        ours=row_of(ours, run.outcomes),
        plain=row_of(plain, run_plain(loaded.items, embedder, PLAIN_THRESHOLD, track).outcomes),
        out_of_fold=None,
        beside=row_of(ours, asked),
        groups=run.groups,
    )


def _stream(plan: Plan, insert: Insert, policy: Policy, embedder: Embedder, track: Track) -> StreamRun:
    found = dataset(STREAM)
    loaded = load_stream(STREAM, plan.data, limit=plan.limit)
    points = run_stream(loaded, embedder, policy, insert=insert, max_errors=STREAM_BOUNDS, track=track)
    command = f"{command_of(found, plan, limit=len(loaded.items))} --insert {insert}"
    return StreamRun(found.title, len(loaded.items), insert, points, loaded.is_as_measured, command)


def _conversations(plan: Plan, policy: Policy, embedder: Embedder, track: Track) -> ConversationRun:
    loaded = load_turn_pairs(CONVERSATIONS, plan.data, limit=plan.limit)
    figures = run_conversations(loaded, embedder, policy, track)
    command = command_of(loaded.dataset, plan)
    return ConversationRun(loaded.dataset.title, figures, loaded.is_as_measured, command)


def _halves(run: PairRun) -> Iterator[CarriedRow]:
    halves = {"chronological": chronological_halves(run.outcomes), "random": random_halves(run.outcomes, seed=0)}
    for name, (first, second) in halves.items():
        for bound in HALVES_BOUNDS:
            carried = carry(first, second, bound)
            if carried is not None:
                yield CarriedRow(name, bound, carried.chosen.threshold, carried.chosen, carried.realised)


def standing_verifier(policy: Policy, embedder: Embedder) -> Estimator | None:
    """Return the learned verifier behind the gate, or None where none stands for the vectors of this embedder."""
    verifier = Flows(LoneRecords(), AheadEmbedder(embedder), policy).rules.verifier
    stands = verifier is not None and verifier.embedder in (None, embedder.identity)
    return verifier if stands else None


def out_of_fold(digest: str) -> dict[str, OutOfFold]:
    """Return what the card of the verifier that ships says, by set; nothing if another verifier stands."""
    card = json.loads(SHIPPED.read_text(encoding="utf-8"))["card"]
    if card["coefficients"] != digest:
        return {}
    names = [field.name for field in fields(OutOfFold)]
    return {name: OutOfFold(*(figures[key] for key in names)) for name, figures in card["out_of_fold"].items()}


def _calibration(run: PairRun, command: str, verifier: Estimator | None) -> Calibration:
    # A pair that a rule refuses has no estimate: its score of 0 is a rank, not a probability.
    judged = [one for one in run.outcomes if one.score > 0]
    bins = reliability([one.score for one in judged], [one.is_positive for one in judged])
    score = "similarity" if verifier is None else "P(reusable)"
    return Calibration(
        set_name=dataset(CALIBRATED_ON).title,
        score=score,
        n=len(run.outcomes),
        bins=bins,
        ece=expected_calibration_error(bins),
        command=command,
    )


def run_online(plan: Plan) -> OnlineRun:
    """Run `evals/online.py`: the stream meets the policies that learn per entry. Raises EvaluationError."""
    found = dataset(STREAM)
    columns = found.columns
    assert isinstance(columns, StreamColumns)
    options = ["--text", columns.text, "--class", columns.answer_class]
    options += ["--limit", str(least(plan.limit, columns.limit))]
    path = load_stream(STREAM, plan.data, limit=1).paths[0]
    done = subprocess.run(
        [sys.executable, str(_ONLINE), str(path), *options, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise EvaluationError(f"evals/online.py ended with status {done.returncode}; what it said stands above")
    told = json.loads(done.stdout)
    rows = [OnlineRow(**{field.name: row[field.name] for field in fields(OnlineRow)}) for row in told["rows"]]
    return OnlineRun(told["n"], rows, " ".join(["python evals/online.py", found.file.path, *options]))


def _origin(found: Dataset) -> Origin:
    files = {file.path: file.sha256 for file in found.files}
    return Origin(found.name, found.title, found.source, found.licence, files)


def command_of(found: Dataset, plan: Plan, *, limit: int | None = None) -> str:
    """Return the shell command that measures the same; its paths start at the data folder."""
    match found.columns:
        case PairColumns(q1, q2, label, group, texts):
            words = [
                "eval pairs",
                f"evals/{found.file.path}" if found.file.is_shipped else found.file.path,
                f"--q1 {q1} --q2 {q2}",
            ]
            words += [f"--label {label}"] if label is not None else []
            words += [f"--group {group}"] if group is not None else []
            words += [f"--texts {texts.file.path}:{texts.id}:{texts.text}"] if texts is not None else []
        case StreamColumns(text, answer_class):
            words = ["eval stream", found.file.path, f"--text {text} --class {answer_class}"]
        case TurnColumns(turns):
            words = ["eval conversations", found.file.path, f"--turns {turns.path}"]
    taken = plan.limit if limit is None else limit
    words += [f"--limit {taken}"] if taken is not None else []
    words += [f"--policy {plan.policy}"] if plan.policy is not None else []
    return " ".join(["semroute", *words])
