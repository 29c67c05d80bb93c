"""Fitting a learned router on labelled or logged decisions: its heads, its tiers, and the card that goes with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from semroute.errors import ConfigError
from semroute.evaluation.tables import label_of, read_rows, text_of
from semroute.evaluation.vectors import AheadEmbedder, Track, untracked
from semroute.request import fold
from semroute.router import _heads
from semroute.router._file import RouterFile
from semroute.tuning.router_heads import LABELS, FittedHeads, LabelledPrompt, fit_heads, labelled_prompts
from semroute.tuning.router_tiers import FittedTiers, fit_tiers, tier_examples

if TYPE_CHECKING:
    from pathlib import Path

    from semroute.embedders import Embedder
    from semroute.evaluation.tables import Row

TIER_COLUMN: Final = "tier:"
"""Columns `tier:NAME` say, 1 or 0, whether the answer of a tier was good enough; the weakest tier stands first."""
_LABELS_OF_HEADS: Final = (*LABELS, "changes", "realtime")
_WANTED: Final = f"give columns {', '.join(LABELS)}, {TIER_COLUMN}NAME for each tier, or good_tiers"
_QUANTILES: Final = 101
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class JudgedPrompt:
    """A prompt, and for each tier whether its answer was good enough."""

    prompt: str
    is_good: Mapping[str, bool]


@dataclass(frozen=True, slots=True, eq=False)
class TrainedRouter:
    """A router that was just fitted, and how its halves did on prompts that they had not seen."""

    file: RouterFile
    heads: FittedHeads | None
    tiers: FittedTiers | None
    rows: int

    @property
    def figures(self) -> dict[str, Mapping[str, float | int]]:
        """Figures of each part, measured out of fold."""
        parts: dict[str, Mapping[str, float | int]] = {} if self.heads is None else dict(self.heads.figures)
        return parts if self.tiers is None else {**parts, "tiers": self.tiers.figures}


def training_rows(files: Sequence[Path], *, limit: int | None = None) -> list[Row]:
    """Read the rows of several files, `limit` of each at most.

    Raises ConfigError for what cannot be read, and for a row without a prompt: with the labels that are missing too.
    """
    try:
        return [row for file in files for row in read_rows(file, columns=["prompt"], limit=limit)]
    except ConfigError as error:
        rows = [row for file in files for row in read_rows(file, limit=limit)]
        if any(_is_labelled(row) for row in rows):
            raise
        raise ConfigError(f"{error}; and there are no labels: {_WANTED}") from error


def _is_labelled(row: Row) -> bool:
    return any(name in _LABELS_OF_HEADS or name == "good_tiers" or name.startswith(TIER_COLUMN) for name in row if name)


def train_router(
    rows: Sequence[Row], embedder: Embedder, *, source: str, progress: Track = untracked, seed: int = 0
) -> TrainedRouter:
    """Fit a router on rows with the column `prompt` and labels of one kind or the other, or both.

    Labels of heads are intent, complexity and staleness; those of tiers are columns `tier:NAME`, or `good_tiers` (a
    list of the tiers that are good enough, as a decision log has it). Raises ConfigError for rows without any label,
    too few of them and classes without enough; EmbedderError; MissingExtra without scikit-learn.
    """
    labelled = labelled_prompts(rows)
    judged = judged_prompts(rows)
    has_labels = any(one.label(name) is not None for one in labelled for name in _LABELS_OF_HEADS)
    if not has_labels and not judged:
        raise ConfigError(f"{source} has no labels: {_WANTED}")
    ahead = AheadEmbedder(embedder)
    ahead.prepare((str(row["prompt"]) for row in rows), progress)
    return fitted_router(
        labelled if has_labels else (), judged, ahead, card=_card_of(rows, source), progress=progress, seed=seed
    )


def fitted_router(
    labelled: Sequence[LabelledPrompt],
    judged: Sequence[JudgedPrompt],
    embedder: AheadEmbedder,
    *,
    card: str,
    progress: Track = untracked,
    seed: int = 0,
) -> TrainedRouter:
    """Fit both halves, or the one that there are prompts for, with vectors that are there already."""
    heads = fit_heads(labelled, embedder, progress=progress, seed=seed) if labelled else None
    tiers = _tiers(judged, embedder, progress, seed) if judged else None
    gains = [] if tiers is None else _quantiles(tiers.out_of_fold[:, -1] - tiers.out_of_fold[:, 0])
    file = RouterFile(
        None if heads is None else _heads.load(heads.told, embedder=None),
        None if tiers is None else tiers.predictor,
        gains,
        "\n".join([card, *_figures_of(heads, tiers)]),
    )
    return TrainedRouter(file, heads, tiers, len(labelled) + len(judged))


def judged_prompts(rows: Iterable[Row]) -> list[JudgedPrompt]:
    """Read which tiers were good enough; rows that say nothing of it are left out. Raises ConfigError."""
    found: list[tuple[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        columns = {name.removeprefix(TIER_COLUMN): label_of(row, name) for name in row if name.startswith(TIER_COLUMN)}
        if columns:
            found.append((text_of(row, "prompt"), columns))
        elif row.get("good_tiers"):
            found.append((text_of(row, "prompt"), _listed(row["good_tiers"], number)))
    names = _names([told for _, told in found])
    return [JudgedPrompt(prompt, {name: _is_good(told, name) for name in names}) for prompt, told in found]


def _is_good(told: Mapping[str, bool] | frozenset[str], name: str) -> bool:
    return told.get(name, False) if isinstance(told, Mapping) else name in told


def _names(told: Sequence[Any]) -> list[str]:
    """Return the tiers, the weakest first: in the order of the columns, or by number."""
    columns = [one for one in told if isinstance(one, dict)]
    if columns:
        return list(dict.fromkeys(name for one in columns for name in one))
    return sorted({name for one in told for name in one}, key=lambda name: (len(name), name))


def _listed(value: object, number: int) -> frozenset[str]:
    listed = json.loads(value) if isinstance(value, str) and value.startswith("[") else value
    if not isinstance(listed, list) or not all(isinstance(one, int | str) for one in listed):
        raise ConfigError(f"row {number}: good_tiers must be a list of tiers, not {value!r}")
    return frozenset(map(str, listed))


def _tiers(judged: Sequence[JudgedPrompt], embedder: AheadEmbedder, progress: Track, seed: int) -> FittedTiers:
    names = tuple(judged[0].is_good)
    if len(names) < 2:
        raise ConfigError(f"there is one tier only ({names[0]}): a choice needs labels of two")
    prompts = [one.prompt for one in judged]
    embedder.prepare(prompts, progress)
    has_vector = np.array([embedder.fits(fold(prompt)) for prompt in prompts])
    vectors = np.zeros((len(prompts), embedder.dimensions), np.float32)
    vectors[has_vector] = embedder.embed(
        [fold(prompt) for prompt, fits in zip(prompts, has_vector, strict=True) if fits]
    ).reshape(-1, embedder.dimensions)
    is_good = np.array([[one.is_good[name] for name in names] for one in judged])
    examples = tier_examples(prompts, vectors, has_vector, is_good, progress)
    return fit_tiers(examples, embedder.identity, names, progress=progress, seed=seed)


def _quantiles(gains: np.ndarray[Any, Any]) -> list[float]:
    return [round(float(gain), _DIGITS) for gain in np.quantile(gains, np.linspace(0.0, 1.0, _QUANTILES))]


def _figures_of(heads: FittedHeads | None, tiers: FittedTiers | None) -> list[str]:
    parts: dict[str, Mapping[str, float | int]] = {} if heads is None else dict(heads.figures)
    if tiers is not None:
        parts["tiers"] = tiers.figures
    return [
        f"- {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
        for name, figures in parts.items()
    ]


def _card_of(rows: Sequence[Row], source: str) -> str:
    """Say what a router was fitted on, without any of the words."""
    digest = blake2b(digest_size=16)
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
    return f"Fitted on {source}: {len(rows):,} rows, digest {digest.hexdigest()}. Out of fold:"
