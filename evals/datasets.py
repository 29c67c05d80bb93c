"""The labelled sets that the figures are measured on: where they come from, their licences, columns and protocols.

Nobody else's data is part of the repository. A set is read from a data folder, or from a data set on the model hub that
holds the same files ("hf://OWNER/NAME" or "hf://OWNER/NAME@REVISION"). Each file has the SHA-256 of the one that our
figures were measured on, so that a report says whether it saw the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from semroute.errors import ConfigError
from semroute.evaluation.conversations import TurnPair, turn_pairs_of
from semroute.evaluation.pairs import Pair, pairs_of
from semroute.evaluation.stream import Question, questions_of
from semroute.evaluation.tables import Texts, read_rows

T = TypeVar("T")

DATA_VARIABLE: Final = "SEMROUTE_DATA"
HUB: Final = "hf://"
SHIPPED: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class File:
    """A file of a set: its path below the data folder, and the SHA-256 of the one that was measured on."""

    path: str
    sha256: str
    is_shipped: bool = False
    """Whether it lies in this folder: a set that was written for the project."""


@dataclass(frozen=True, slots=True)
class TextColumns:
    """Where the texts stand that other columns name by their ids."""

    file: File
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class PairColumns:
    """Protocol "pairs": the question of `q1` is stored in a fresh context, that of `q2` asked; each pair alone."""

    q1: str
    q2: str
    label: str | None = None
    """1: the stored answer serves. Without a label column all pairs are positive."""
    group: str | None = None
    texts: TextColumns | None = None


@dataclass(frozen=True, slots=True)
class StreamColumns:
    """Protocol "stream": questions in the order of the file; a hit is right when the classes are equal."""

    text: str
    answer_class: str
    limit: int
    """How many requests the published protocol sends."""


@dataclass(frozen=True, slots=True)
class TurnColumns:
    """Protocol "conversations": the turn `id_a` is stored, the turn `id_b` asked; both with their earlier turns."""

    turns: File
    history: str
    query: str


Columns: TypeAlias = PairColumns | StreamColumns | TurnColumns


@dataclass(frozen=True, slots=True)
class Dataset:
    """One labelled set."""

    name: str
    title: str
    source: str
    """The public repository that it comes from, with the commit."""
    licence: str
    file: File
    columns: Columns
    is_trap: bool = False
    """Whether its negatives were made to look like positives."""

    @property
    def files(self) -> tuple[File, ...]:
        match self.columns:
            case PairColumns(texts=TextColumns(file=other)) | TurnColumns(turns=other):
                return self.file, other
            case _:
                return (self.file,)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """What was read of a set."""

    dataset: Dataset
    items: Sequence[T]
    paths: tuple[Path, ...]
    """Its file, and the file with its texts or turns where there is one."""
    is_as_measured: bool
    """Whether the files are those that our published figures were measured on."""


_QQP_STREAM: Final = File("qqp/stream.csv.gz", "17eda4a195bc9432b211c815f9702a4519eb23ca841958dca84127ae30938f26")
_QQP_SOURCE: Final = "zilliztech/GPTCache c59fb3a, examples/benchmark/similiar_qqp_full.json.gz"
_QQP_LICENCE: Final = "container MIT; the questions under Quora's non-commercial terms"

DATASETS: Final = (
    Dataset(
        name="paws_qqp",
        title="PAWS-QQP: swapped words",
        source="aNOnWhyMooS/connectivity 8142bf1, paws_final",
        licence="free for any purpose with acknowledgement of Google LLC; sentences of QQP under Quora's terms",
        file=File("paws_qqp/pairs.csv.gz", "7a32dee036336f78b39ebf5b7279c65f310f56a661e782635e9e9d01d2877a5b"),
        columns=PairColumns("sentence1", "sentence2", "label", group="edit_type"),
        is_trap=True,
    ),
    Dataset(
        name="checklist_qqp",
        title="CheckList QQP: one name, number, place or negation",
        source="marcotcr/checklist 4e6e5e3, release_suites/qqp_suite.tar.gz",
        licence="MIT; sentences of QQP under Quora's terms",
        file=File("checklist_qqp/pairs.csv.gz", "daa91931117c2a884227d565075c8df2f9f3a9dfd3e0a5b55d7c33b665f2ebbb"),
        columns=PairColumns("q1", "q2", "label", group="kind"),
        is_trap=True,
    ),
    Dataset(
        name="situatedqa",
        title="SituatedQA: another date or place",
        source="mikejqzhang/SituatedQA 1ef8545, data",
        licence="none stated",
        file=File(
            "situatedqa/context_swap_pairs.csv.gz", "5ec28ca80b4f8c96a3b10562391aee4b16f0b12fa67d819ba855dad3d77130e6"
        ),
        columns=PairColumns("q1", "q2", "same_answer", group="context"),
        is_trap=True,
    ),
    Dataset(
        name="timeqa",
        title="TimeQA: another year",
        source="wenhuchen/Time-Sensitive-QA 38b0598, dataset/human_annotated_{train,test}.json",
        licence="BSD-3-Clause",
        file=File("timeqa/pairs.csv", "afb39b22bc86b11da55dc339cfff17663816a355c0f2f2698f002ee23bc602f6"),
        columns=PairColumns("q1", "q2", "same_answer"),
        is_trap=True,
    ),
    Dataset(
        name="qqp",
        title="Quora question pairs",
        source=_QQP_SOURCE,
        licence=_QQP_LICENCE,
        file=File("qqp/pairs.csv.gz", "cbf18dd5a7290b5f7a99f1454986551133cf0c2a9490315b299d62128bedf590"),
        columns=PairColumns("q1", "q2", "label", texts=TextColumns(_QQP_STREAM, "qid", "text")),
    ),
    Dataset(
        name="gptcache_mock",
        title="GPTCache mock paraphrases",
        source="zilliztech/GPTCache c59fb3a, examples/benchmark/mock_data.json",
        licence="MIT",
        file=File("gptcache_mock/pairs.csv", "931d48d214ead67ca143c687ea570c718e5cac90281555015623af521c91970c"),
        columns=PairColumns("origin", "similar"),
    ),
    Dataset(
        name="same_place",
        title="paraphrases of one date or one place",
        source="written for this project, evals/same_place.md",
        licence="Apache-2.0",
        file=File(
            "same_place.jsonl", "0e6bbce7bbe34676d11dc401e517c7f8c6417a290a657bb5dc4426cab3ce1bae", is_shipped=True
        ),
        columns=PairColumns("q1", "q2", group="kind"),
    ),
    Dataset(
        name="mqp_medical",
        title="medical question pairs",
        source="curai/medical-question-pair-dataset 6c7f7fd, mqp.csv",
        licence="none stated; published for research",
        file=File("mqp_medical/pairs.csv", "2515f3f5707fb8c3c54e849b7040ee3948f0344b2d1ad5e9c3ec992629904f5a"),
        columns=PairColumns("question_1", "question_2", "label"),
    ),
    Dataset(
        name="collisions",
        title="conversations with the same last words",
        source="aagohary/canard da8639c and daltonj/treccastweb 3384661",
        licence="CANARD CC BY-SA 4.0; CAsT MIT",
        file=File(
            "conversations/collision_pairs.csv", "8c0cc5643e6d1d9d7e6253c523eccac87031fec7de35372d76a8ff22f5be643e"
        ),
        columns=TurnColumns(
            File("conversations/turns.jsonl.gz", "de98b01e9faa5bf6fd294426585be07ca70e1e820c13ecfe583ed9e999c83e3d"),
            history="history",
            query="utterance",
        ),
        is_trap=True,
    ),
    Dataset(
        name="qqp_stream",
        title="Quora questions in their order",
        source=_QQP_SOURCE,
        licence=_QQP_LICENCE,
        file=_QQP_STREAM,
        columns=StreamColumns("text", "class_norm", limit=60_000),
    ),
)


def dataset(name: str) -> Dataset:
    """Return a set by its name. Raises ConfigError."""
    found = next((one for one in DATASETS if one.name == name), None)
    if found is None:
        raise ConfigError(f"no data set is called {name!r}; there are {', '.join(one.name for one in DATASETS)}")
    return found


def load_pairs(name: str, data: str | None = None, *, limit: int | None = None) -> Loaded[Pair]:
    """Read a set of pairs, the first `limit` of them.

    `data` is a folder, or "hf://OWNER/NAME[@REVISION]"; None stands for SEMROUTE_DATA. Raises ConfigError.
    """
    found = dataset(name)
    columns = found.columns
    if not isinstance(columns, PairColumns):
        raise ConfigError(f"{name} is no set of pairs")
    paths = _paths(found, data)
    texts = None if columns.texts is None else Texts.read(f"{paths[1]}:{columns.texts.id}:{columns.texts.text}")
    named = {column for column in (columns.q1, columns.q2, columns.label, columns.group) if column is not None}
    rows = read_rows(paths[0], columns=named, limit=limit)
    items = pairs_of(rows, q1=columns.q1, q2=columns.q2, label=columns.label, group=columns.group, texts=texts)
    return Loaded(found, items, paths, _is_as_measured(found, paths))


def load_stream(name: str, data: str | None = None, *, limit: int | None = None) -> Loaded[Question]:
    """Read a stream: the first `limit` questions, or as many as its protocol sends. Raises ConfigError."""
    found = dataset(name)
    columns = found.columns
    if not isinstance(columns, StreamColumns):
        raise ConfigError(f"{name} is no stream")
    paths = _paths(found, data)
    named = {columns.text, columns.answer_class}
    rows = read_rows(paths[0], columns=named, limit=columns.limit if limit is None else limit)
    items = questions_of(rows, text=columns.text, answer_class=columns.answer_class)
    return Loaded(found, items, paths, _is_as_measured(found, paths))


def load_turn_pairs(name: str, data: str | None = None, *, limit: int | None = None) -> Loaded[TurnPair]:
    """Read a set of pairs of turns. Raises ConfigError."""
    found = dataset(name)
    columns = found.columns
    if not isinstance(columns, TurnColumns):
        raise ConfigError(f"{name} is no set of conversations")
    paths = _paths(found, data)
    rows = read_rows(paths[0], columns={"id_a", "id_b"}, limit=limit)
    turns = read_rows(paths[1], columns={"id", columns.history, columns.query})
    items = turn_pairs_of(rows, turns, history=columns.history, query=columns.query)
    return Loaded(found, items, paths, _is_as_measured(found, paths))


def least(*limits: int | None) -> int | None:
    """Return the smallest of those limits that are given."""
    return min((limit for limit in limits if limit is not None), default=None)


def _paths(found: Dataset, data: str | None) -> tuple[Path, ...]:
    if found.file.is_shipped:
        return (SHIPPED / found.file.path,)
    named = os.environ.get(DATA_VARIABLE, "") if data is None else data
    if not named:
        raise ConfigError(f"set {found.name}: no data folder is named; pass one, or set {DATA_VARIABLE}")
    return tuple(_path(found, file, named) for file in found.files)


def _path(found: Dataset, file: File, named: str) -> Path:
    if named.startswith(HUB):
        return _from_hub(found, file, named)
    path = Path(named).expanduser() / file.path
    if not path.is_file():
        raise ConfigError(
            f"set {found.name}: there is no file {path}; name a data folder that holds {file.path}, which was made of "
            f"{found.source}"
        )
    return path


def _from_hub(found: Dataset, file: File, named: str) -> Path:
    name, _, revision = named.removeprefix(HUB).partition("@")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise ConfigError(f"set {found.name}: {named} needs huggingface-hub; install the extra [embed]") from error
    try:
        return Path(hf_hub_download(name, file.path, repo_type="dataset", revision=revision if revision else None))
    except (OSError, ValueError, HFValidationError) as error:
        # The hub's own errors are OSErrors: no such set, no such file, no connection.
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"set {found.name}: {file.path} cannot be had from {named}: {reason}") from error


def _is_as_measured(found: Dataset, paths: Sequence[Path]) -> bool:
    return all(_sha256(path) == file.sha256 for path, file in zip(paths, found.files, strict=True))


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
