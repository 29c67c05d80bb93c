"""What evaluations found, as the JSON files beside the page keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from semroute.errors import ConfigError
from semroute.evaluation.conversations import ConversationFigures
from semroute.evaluation.metrics import Bin, PairFigures, PairPoint
from semroute.evaluation.stream import Point

T = TypeVar("T")

OURS: Final = "semroute"
BOUNDS: Final = (0.01, 0.05)
"""The bounds on the false-hit rate that tables of pairs report."""


@dataclass(frozen=True, slots=True)
class About:
    """Which cache answered, and how it was set up."""

    name: str
    versions: Mapping[str, str]
    default: str
    """Its own threshold, in its own words."""
    embedding: str


@dataclass(frozen=True, slots=True)
class Row:
    """One cache on one set of pairs."""

    about: About
    by_default: PairFigures
    best: Mapping[str, PairPoint | None]
    """By the bound on the false-hit rate: the best threshold for these very pairs; None where none is within."""
    curve: Sequence[PairPoint]
    """Hit rate against false-hit rate over all thresholds, thinned out."""


@dataclass(frozen=True, slots=True)
class PeerSet:
    """All caches on one set."""

    name: str
    title: str
    n: int
    is_as_measured: bool
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class PeerReport:
    """What `make peers` measured."""

    command: str
    sets: Sequence[PeerSet]


@dataclass(frozen=True, slots=True)
class CarriedRow:
    """A threshold that one half chose within a bound on the false-hit rate, and what it does on the other half."""

    halves: str
    """ "chronological", or "random"."""
    max_false_hit_rate: float
    threshold: float
    promised: PairPoint
    realised: PairFigures


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What the verifier's card says of questions that its fit had not seen; rates as in `PairFigures`."""

    n: int
    hit_rate: float | None
    false_hit_rate: float | None
    p_chr_auc: float | None


@dataclass(frozen=True, slots=True)
class PairSet:
    """Our cache on one set of pairs, with a plain cosine on the same vectors beside it."""

    name: str
    title: str
    is_trap: bool
    is_as_measured: bool
    command: str
    ours: Row
    plain: Row
    out_of_fold: OutOfFold | None
    """None where no verifier stands, or where its card does not know the set."""
    beside: Row
    """Ours on the first pairs only, those that the other caches are asked about."""
    groups: Mapping[str, PairFigures]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the score can be read as a probability."""

    set_name: str
    score: str
    """What the score is: a similarity, or P(reusable)."""
    n: int
    """All pairs; those that a rule refuses have no score and are in no bin."""
    bins: Sequence[Bin]
    ece: float | None
    command: str


@dataclass(frozen=True, slots=True)
class StreamRun:
    """A stream under one rule of insertion."""

    title: str
    n: int
    insert: str
    points: Sequence[Point]
    is_as_measured: bool
    command: str


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """What one method did on a stream at one bound; `evals/online.py` says how each works."""

    max_error: float
    method: str
    hit_rate: float
    error_rate: float
    precision: float | None
    worst_error_rate: float
    """The highest of all seeds."""


@dataclass(frozen=True, slots=True)
class OnlineRun:
    """Policies that learn per entry, and static thresholds beside them."""

    n: int
    rows: Sequence[OnlineRow]
    command: str


@dataclass(frozen=True, slots=True)
class ConversationRun:
    """Pairs of turns with the same last words."""

    title: str
    figures: ConversationFigures
    is_as_measured: bool
    command: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a set comes from."""

    name: str
    title: str
    source: str
    licence: str
    files: Mapping[str, str]
    """SHA-256 by path, of the files that the published figures were measured on."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that `make evals` measured."""

    command: str
    made_at: str
    """Date and time, UTC."""
    took_s: float
    machine: str
    version: str
    policy: str
    verifier: str | None
    """Digest of the learned verifier behind the gate; None where none stood."""
    pairs: Sequence[PairSet]
    halves: Sequence[CarriedRow]
    calibration: Calibration
    streams: Sequence[StreamRun]
    online: OnlineRun | None
    conversations: ConversationRun
    origins: Sequence[Origin]


def write(result: Report | PeerReport, path: Path) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    adapter: TypeAdapter[Report | PeerReport] = TypeAdapter(type(result))
    path.write_bytes(adapter.dump_json(result, indent=1))


def read(kind: type[T], path: Path) -> T:
    """Read a result of a kind. Raises ConfigError for a file that holds another one."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path} holds no result of an evaluation: {error}") from error
