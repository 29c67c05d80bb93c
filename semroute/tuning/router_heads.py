"""Fitting the router's learned heads on labelled prompts: intent, complexity and staleness, calibrated out of fold.

scikit-learn fits the logistic models; what is kept of them are plain numbers that `semroute.router._heads` evaluates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, get_args

import numpy as np

from semroute.errors import ConfigError
from semroute.evaluation.tables import label_of, text_of
from semroute.evaluation.vectors import AheadEmbedder, Track, untracked
from semroute.request import fold
from semroute.router._heads import CLASSES, Head, Heads, written
from semroute.router._surface import CUES, FEATURES, MEASURES, looked_at, measures, phrases
from semroute.router.decision import Complexity, Intent, Staleness
from semroute.router.rules import decide
from semroute.tuning._head_fitting import Fitted, HeadExamples, Settings, figures_of, fit_head, log_odds_of
from semroute.tuning.verifier_training import digests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.entry import JSON
    from semroute.evaluation.tables import Row

    Numbers: TypeAlias = NDArray[np.float64]

MIN_ROWS: Final = 100
"""Fewer rows teach a head nothing but chance."""
MIN_OF_A_CLASS: Final = 10
LEAST_ROWS_OF_A_PHRASE: Final = 3
MAX_ROWS: Final = 50_000
"""Of more prompts as many are drawn: more teach models of this size nothing new."""
LABELS: Final = ("intent", "complexity", "staleness")
"""The columns of which a row has at least one."""

_PERISHABLE: Final = tuple(FEATURES.index(f"rules_{one}") for one in ("daily", "realtime"))

SETTINGS: Final[Mapping[str, Settings]] = {
    "changes": Settings(vector=1.5, surface=0.3, strength=6.0, has_phrases=True),
    "staleness": Settings(vector=1.5, surface=1.0, strength=0.6, earlier=0.25, recall=("daily", 0.92)),
    "realtime": Settings(vector=1.5, surface=1.0, strength=1.0, false_alarms=("yes", 0.001)),
    "intent": Settings(vector=2.0, surface=1.0, strength=1.0, false_alarms=("error", 0.001)),
    "complexity": Settings(vector=2.0, surface=1.0, strength=1.0),
}


@dataclass(frozen=True, slots=True)
class LabelledPrompt:
    """A prompt, and as much as is known of it."""

    prompt: str
    intent: Intent | None = None
    complexity: Complexity | None = None
    staleness: Staleness | None = None
    changes: bool | None = None
    """Whether the answer depends on when it is asked, where no more is known than that."""
    realtime: bool | None = None
    """Whether the answer is to be kept at all, where no more is known than that."""
    weight: float = 1.0
    """What the row counts in the fit; with less than 1 it teaches, and neither calibrates nor sets a threshold."""
    source: str = ""
    """Where the row comes from, so that figures can be told apart."""

    def label(self, head: str) -> str | None:
        """Return the class that a head should give this prompt, or None where that is not known."""
        match head:
            case "changes":
                return _yes_or_no(self.changes)
            case "realtime":
                told = self.realtime
                if told is None and self.staleness is not None:
                    told = self.staleness == "realtime"
                return _yes_or_no(told)
            case "staleness":
                return "daily" if self.staleness == "realtime" else self.staleness
            case "intent":
                return self.intent
            case _:
                return self.complexity


@dataclass(frozen=True, slots=True, eq=False)
class FittedHeads:
    """Heads that were just fitted, and how they did on prompts that they had not seen."""

    told: dict[str, JSON]
    """The heads as JSON, which `semroute.router._heads.load` reads."""
    figures: Mapping[str, Mapping[str, float | int]]
    """For each head, measured out of fold: rows, accuracy, macro_f1, auc (of two classes), ece (10 bins), log_loss."""
    out_of_fold: Mapping[str, OutOfFold] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """What heads say of each row that they are fitted on, by fits, calibrations and thresholds that did not see it."""

    rows: NDArray[np.intp]
    """Places among the prompts that were given."""
    labels: NDArray[np.intp]
    """Places among the head's classes."""
    p: Numbers
    """One row a prompt, one column a class."""
    chosen: NDArray[np.intp]


def labelled_prompts(rows: Iterable[Row]) -> list[LabelledPrompt]:
    """Read prompts and labels out of rows with the column `prompt` and at least one of LABELS.

    `changes` and `realtime` (1 or 0), `weight` and `source` may stand there too; a label that is null or missing is
    unknown. Raises ConfigError, which says in which row.
    """
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(_labelled(row))
        except ConfigError as error:
            raise ConfigError(f"row {number}: {error}") from error
    return found


def fit_heads(
    prompts: Sequence[LabelledPrompt],
    embedder: Embedder,
    *,
    settings: Mapping[str, Settings] = SETTINGS,
    progress: Track = untracked,
    seed: int = 0,
) -> FittedHeads:
    """Fit a head for each field that the prompts have labels of.

    Prompts that the embedder cannot represent are left out. Without a row whose staleness is realtime there is no head
    for that, and without rows that say `changes` none for that; of every other head each class must be there. Raises
    ConfigError for no labels at all, too few rows, and a class without enough rows; EmbedderError; MissingExtra
    without scikit-learn.
    """
    for name in _wanted(prompts):
        _check(name, prompts, "")
    ahead = AheadEmbedder(embedder)
    ahead.prepare((one.prompt for one in prompts), progress)
    usable = _drawn(
        np.array([place for place, one in enumerate(prompts) if ahead.fits(fold(one.prompt))], np.intp), seed
    )
    kept = [prompts[place] for place in usable]
    for name in _wanted(prompts):
        _check(name, kept, " that the embedder can represent")
    table = _Table.of(kept, ahead)
    heads: list[Head] = []
    found: dict[str, OutOfFold] = {}
    base: tuple[Fitted, NDArray[np.intp]] | None = None
    for name in progress(_wanted(prompts), "fitting heads"):
        rows = np.array([place for place, one in enumerate(kept) if one.label(name) is not None], np.intp)
        earlier = None if base is None or name != "staleness" else _log_odds(*base, table)[rows]
        examples = table.examples(name, rows, settings[name], earlier)
        fitted = fit_head(name, examples, settings[name], None if earlier is None else "changes", seed)
        heads.append(fitted.head)
        found[name] = OutOfFold(usable[rows], examples.labels, fitted.p, fitted.chosen)
        if name == "changes":
            base = fitted, rows
    told = written(_used(embedder.identity, table.known, heads))
    figures = {name: figures_of(one.p, one.chosen, one.labels) for name, one in found.items()}
    return FittedHeads(told, figures, found)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Prompts as numbers, one row a prompt."""

    prompts: Sequence[LabelledPrompt]
    vectors: Numbers
    surface: Numbers
    hits: Any
    """Which of the known phrases stand in a prompt: a sparse matrix of ones."""
    known: tuple[str, ...]
    units: NDArray[np.uint64]

    @classmethod
    def of(cls, prompts: Sequence[LabelledPrompt], embedder: AheadEmbedder) -> _Table:
        cues = {cue: len(MEASURES) + place for place, cue in enumerate(CUES)}
        surface = np.zeros((len(prompts), len(FEATURES)))
        seen: list[frozenset[str]] = []
        for row, one in enumerate(prompts):
            part = looked_at(one.prompt)
            seen.append(frozenset(phrases(part)))
            surface[row, : len(MEASURES)] = measures(part, len(one.prompt), decide(one.prompt))
            surface[row, [cues[phrase] for phrase in seen[-1] & cues.keys()]] = 1.0
        counts = Counter(
            phrase for one, there in zip(prompts, seen, strict=True) if one.changes is not None for phrase in there
        )
        known = tuple(sorted(phrase for phrase, n in counts.items() if n >= LEAST_ROWS_OF_A_PHRASE))
        vectors = embedder.embed([fold(one.prompt) for one in prompts]).astype(np.float64)
        return cls(prompts, vectors, surface, _hits(seen, known), known, digests(one.prompt for one in prompts))

    def examples(self, name: str, rows: NDArray[np.intp], settings: Settings, earlier: Numbers | None) -> HeadExamples:
        """Return the rows that a head is fitted on."""
        classes = CLASSES[name]
        return HeadExamples(
            vectors=self.vectors[rows],
            surface=self.surface[rows],
            phrases=self.hits[rows] if settings.has_phrases else None,
            earlier=earlier,
            labels=np.array([classes.index(str(self.prompts[row].label(name))) for row in rows], np.intp),
            weights=np.array([self.prompts[row].weight for row in rows]),
            is_found=np.asarray(self.surface[rows][:, _PERISHABLE].any(axis=1), np.bool_),
            units=self.units[rows],
        )


def _hits(seen: Sequence[frozenset[str]], known: Sequence[str]) -> Any:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # it has no stubs

    places = {phrase: place for place, phrase in enumerate(known)}
    found = [sorted(places[phrase] for phrase in there & places.keys()) for there in seen]
    lengths = np.array([len(there) for there in found], np.intp)
    columns = np.array([place for there in found for place in there], np.intp)
    return csr_matrix(
        (np.ones(len(columns)), columns, np.concatenate([[0], np.cumsum(lengths)])), shape=(len(seen), len(known))
    )


def _log_odds(fitted: Fitted, rows: NDArray[np.intp], table: _Table) -> Numbers:
    """Return the log-odds of a head for every prompt; of those that it was fitted on, out of fold."""
    every = np.arange(len(table.prompts))
    nothing = np.zeros(len(every), np.bool_)
    whole = HeadExamples(
        table.vectors, table.surface, table.hits, None, every, np.ones(len(every)), nothing, table.units
    )
    found = log_odds_of(fitted.head, whole)
    found[rows] = fitted.log_odds
    return found


def _used(embedder: str, known: Sequence[str], heads: Sequence[Head]) -> Heads:
    """Return heads without the phrases that count in none of them."""
    counting = np.zeros(len(known), np.bool_)
    for head in heads:
        if head.phrases is not None:
            counting |= np.abs(head.phrases).max(axis=0) > 0
    return Heads(
        embedder,
        [phrase for phrase, counts in zip(known, counting, strict=True) if counts],
        [head if head.phrases is None else replace(head, phrases=head.phrases[:, counting]) for head in heads],
    )


def _drawn(places: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    if len(places) <= MAX_ROWS:
        return places
    return np.sort(np.random.default_rng(seed).choice(places, MAX_ROWS, replace=False))


def _wanted(prompts: Sequence[LabelledPrompt]) -> list[str]:
    """Return the heads that the prompts have labels of, in the order in which they build on each other."""
    there = [name for name in CLASSES if any(one.label(name) is not None for one in prompts)]
    if not there:
        raise ConfigError(f"no row has a label: give at least one of the columns {', '.join(LABELS)}")
    if "realtime" in there and not any(one.label("realtime") == "yes" for one in prompts):
        there.remove("realtime")
    return there


def _check(name: str, prompts: Sequence[LabelledPrompt], which: str) -> None:
    """Raise ConfigError for too few prompts, or too few of a class; the same words twice are one prompt."""
    known = [(one.prompt, label) for one in prompts if (label := one.label(name)) is not None]
    distinct = set(zip(digests(prompt for prompt, _ in known).tolist(), (label for _, label in known), strict=True))
    counts = Counter(label for _, label in distinct)
    if counts.total() < MIN_ROWS:
        raise ConfigError(
            f"{name}: {counts.total()} different prompts{which} are too few: training needs at least {MIN_ROWS}, with "
            f"at least {MIN_OF_A_CLASS} of each of {', '.join(CLASSES[name])}"
        )
    rare = [f"{counts[one]} of {one!r}" for one in CLASSES[name] if counts[one] < MIN_OF_A_CLASS]
    if rare:
        raise ConfigError(
            f"{name}: training needs at least {MIN_OF_A_CLASS} different prompts{which} of each class, and there are "
            f"{', '.join(rare)}; add some, or leave {name} out of all rows to keep the rules for it"
        )


def _labelled(row: Row) -> LabelledPrompt:
    if "prompt" not in row:
        raise ConfigError(f"there is no column prompt; there are {', '.join(map(str, row))}")
    prompt = text_of(row, "prompt")
    if not prompt.strip():
        raise ConfigError("the prompt is empty")
    return LabelledPrompt(
        prompt=prompt,
        intent=cast("Intent | None", _one_of(row, "intent", get_args(Intent))),
        complexity=cast("Complexity | None", _one_of(row, "complexity", get_args(Complexity))),
        staleness=cast("Staleness | None", _one_of(row, "staleness", get_args(Staleness))),
        changes=label_of(row, "changes") if _is_there(row, "changes") else None,
        realtime=label_of(row, "realtime") if _is_there(row, "realtime") else None,
        weight=_weight(row),
        source=text_of(row, "source") if _is_there(row, "source") else "",
    )


def _is_there(row: Row, column: str) -> bool:
    return row.get(column) not in (None, "")


def _one_of(row: Row, column: str, known: Sequence[str]) -> str | None:
    if not _is_there(row, column):
        return None
    value = row[column]
    if value not in known:
        raise ConfigError(f"{column} must be one of {', '.join(known)}, not {value!r}")
    return str(value)


def _weight(row: Row) -> float:
    if not _is_there(row, "weight"):
        return 1.0
    value = row["weight"]
    try:
        weight = float(cast("float | str", value))
    except (TypeError, ValueError):
        weight = -1.0
    if isinstance(value, bool) or not 0.0 < weight <= 1_000.0:
        raise ConfigError(f"weight must be a number above 0 and up to 1000, not {value!r}")
    return weight


def _yes_or_no(truth: bool | None) -> str | None:
    return None if truth is None else "yes" if truth else "no"
