"""Fitting a verifier on labelled pairs: from nothing, or on top of one that is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from semroute.errors import ConfigError
from semroute.evaluation.flows import clipped
from semroute.evaluation.vectors import AheadEmbedder, Track, untracked
from semroute.guards._features import Counts, profile
from semroute.guards._pair import compare
from semroute.guards._text import MAX_CHARS
from semroute.guards._verifier_file import Coefficients, write, written
from semroute.guards._vetoes import veto
from semroute.guards.verifier import Verifier
from semroute.request import fold
from semroute.tuning._verifier_boosting import (
    Calibration,
    Examples,
    Score,
    Settings,
    calibration_error,
    grown,
    line,
    p_reusable,
)
from semroute.tuning.components import components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.entry import JSON
    from semroute.tuning._verifier_boosting import Flags, Numbers, Table

LabelledTexts: TypeAlias = tuple[str, str, bool]
"""A stored question, the one that was asked, and whether the answer to the first is right for the second."""

FOLDS: Final = 5
MIN_ROWS: Final = 100
"""Fewer pairs teach a verifier that starts from another one nothing but chance."""
MIN_ROWS_ALONE: Final = 2_000
"""A verifier that starts from nothing needs more."""
MIN_OF_A_KIND: Final = 20
MAX_ROWS: Final = 150_000
"""Of more pairs as many are drawn: more teach trees of this size nothing new."""
VETOED_SHARE: Final = 0.2
"""What a pair counts that differs in a way that is never to be served: the trees need not tell it from others."""
FROM_NOTHING: Final = Settings()
FROM_ANOTHER: Final = Settings(rounds=40, rate=0.05, depth=3, least_in_leaf=20, push=0.0)
SHRINKAGE: Final = 50.0
"""As many pairs say that the verifier from which a fit starts is calibrated."""
MAX_SEED: Final = 2**32 - 1
_CHUNK: Final = 2_048


@dataclass(frozen=True, slots=True)
class TrainedVerifier:
    """A verifier that was just fitted, and how it did on questions that it had not seen."""

    verifier: Verifier
    figures: Mapping[str, float | int]
    """Measured out of fold: see `figures_of`; with `start_` in front, those of the verifier it started from."""
    out_of_fold: Numbers = field(repr=False)
    """P(reusable) of each pair by a fit that saw none of its questions."""

    def write(self, path: Path) -> None:
        """Write coefficients and card as one file; whoever is interrupted leaves the old one. Raises ConfigError."""
        write(path, written(self.verifier.coefficients, self.verifier.card))


def train(
    pairs: Iterable[LabelledTexts],
    embedder: Embedder,
    *,
    start: Verifier | None = None,
    progress: Track = untracked,
    seed: int = 0,
    card: Mapping[str, JSON] | None = None,
) -> TrainedVerifier:
    """Fit a verifier on labelled pairs, with trees on top of those of `start` where one is given.

    Of more than MAX_ROWS pairs as many are drawn evenly, so that memory is bounded. `card` is what the card says beside
    the figures. Raises ConfigError for labels other than 1 and 0, for too few pairs or pairs of one label only, for a
    seed out of range, and for a start of another embedder; EmbedderError; MissingExtra without scikit-learn.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"seed must be a whole number between 0 and {MAX_SEED}, not {seed!r}")
    if start is not None:
        start.require(embedder.identity)
    drawn, n_seen = _drawn(pairs, seed)
    check_labels(drawn, start is not None)
    base = start if start is not None else Verifier.load()
    examples = examples_of(drawn, embedder, base, progress)
    _check_examples(examples)
    begun = None if start is None else score_of(start)
    fitted = fit(
        examples, replace(FROM_NOTHING if start is None else FROM_ANOTHER, seed=seed), begun, progress=progress
    )
    figures: dict[str, float | int] = {"seen": n_seen, **figures_of(fitted.out_of_fold, examples)}
    if begun is not None:
        before = p_reusable(begun.margins(examples.features, examples.similarities), examples.is_vetoed)
        figures |= {f"start_{name}": value for name, value in figures_of(before, examples).items()}
    told: dict[str, JSON] = {
        **({} if card is None else card),
        "embedder": embedder.identity,
        "start": None if start is None else start.digest,
        "folds": FOLDS,
        "out_of_fold": dict(figures),
    }
    coefficients = coefficients_of(fitted.score, embedder.identity, base.coefficients.words)
    return TrainedVerifier(Verifier(coefficients, told), figures, fitted.out_of_fold)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A calibrated score, and what fits that saw none of a pair's questions say of the pair."""

    score: Score
    out_of_fold: Numbers
    """P(reusable) of each pair."""


def fit(
    examples: Examples,
    settings: Settings,
    start: Score | None = None,
    *,
    reference: Flags | None = None,
    progress: Track = untracked,
    n_folds: int = FOLDS,
) -> Fit:
    """Fit on all examples, and once more without each fold, to calibrate and to measure.

    `reference` are the pairs that the probabilities are calibrated on; all that count where it is None.
    """
    folds = examples.folds(n_folds, settings.seed)
    chosen = np.ones(len(examples), np.bool_) if reference is None else reference
    shrinkage = 0.0 if start is None else SHRINKAGE
    ticks = _Ticks((n_folds + 1) * settings.rounds, progress)

    def scored(learning: Flags) -> Score:
        known = examples.some(learning)
        return grown(line(known) if start is None else start, known, settings, ticks)

    margins, estimated = np.zeros(len(examples)), np.zeros(len(examples))
    for held_out in (folds == number for number in range(n_folds)):
        rest = scored(~held_out)
        margins[held_out] = rest.margins(examples.features[held_out], examples.similarities[held_out])
    whole = scored(np.ones(len(examples), np.bool_))

    def calibration(used: Flags) -> Calibration:
        return Calibration.fitted(margins[used], examples.some(used), settings.push, shrinkage)

    for held_out in (folds == number for number in range(n_folds)):
        estimated[held_out] = calibration(chosen & ~held_out).of(margins[held_out], examples.similarities[held_out])
    return Fit(whole.calibrated(calibration(chosen)), p_reusable(estimated, examples.is_vetoed))


def examples_of(
    pairs: Sequence[LabelledTexts], embedder: Embedder, verifier: Verifier, progress: Track = untracked
) -> Examples:
    """Embed and count pairs, a chunk at a time; those that cannot be judged, or are the same words, have no weight.

    The verifier tells which words are common. Raises EmbedderError.
    """
    chunks = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    counted = [_counted(chunk, embedder, verifier) for chunk in progress(chunks, "embedding and counting")]
    features, similarities, is_vetoed, is_judged = (np.concatenate(column) for column in zip(*counted, strict=True))
    return Examples(
        features=features,
        similarities=similarities,
        is_right=np.array([is_right for _, _, is_right in pairs], np.bool_),
        is_vetoed=is_vetoed,
        weights=np.where(is_vetoed, VETOED_SHARE, 1.0) * is_judged,
        units=components(digests(stored for stored, _, _ in pairs), digests(asked for _, asked, _ in pairs)),
    )


def _counted(
    pairs: Sequence[LabelledTexts], embedder: Embedder, verifier: Verifier
) -> tuple[Table, Numbers, Flags, Flags]:
    """Return features, similarities, and whether each pair is vetoed and whether it can be judged."""
    ahead = AheadEmbedder(embedder)
    ahead.prepare(text for pair in pairs for text in pair[:2])
    counts, is_vetoed, is_judged = Counts.none(), np.zeros(len(pairs), np.bool_), np.zeros(len(pairs), np.bool_)
    rarity = verifier.coefficients.rarity
    blank = compare("", "")
    assert blank is not None
    for place, (stored, asked, _) in enumerate(pairs):
        one, other = fold(asked), fold(stored)
        fits = max(len(one), len(other)) <= MAX_CHARS and ahead.fits(one) and ahead.fits(other)
        pair = compare(one, other) if fits and one != other else None
        is_judged[place] = pair is not None
        similarity = 0.0
        if pair is not None:
            first, second = ahead.embed([one, other])
            similarity = clipped(float(first @ second))
        counted = blank if pair is None else pair
        query, known = profile(counted.query, rarity), profile(counted.stored, rarity)
        found = counts.add(counted, query, known, similarity, rarity)
        is_vetoed[place] = pair is None or bool(veto(pair, found))
    return counts.features().astype(np.float32), np.array(counts.similarities), is_vetoed, is_judged


def score_of(verifier: Verifier) -> Score:
    """Return the log-odds of a verifier."""
    known = verifier.coefficients
    return Score(known.intercept, known.similarity, known.forest)


def coefficients_of(score: Score, embedder: str, words: Sequence[str]) -> Coefficients:
    """Return the coefficients of a score."""
    return Coefficients(embedder, tuple(words), score.intercept, score.slope, score.forest)


def figures_of(p: Numbers, examples: Examples) -> dict[str, float | int]:
    """Say how good probabilities are on the examples that count: n, positives, log_loss, ece (10 bins), auc."""
    used = examples.weights > 0
    p, is_right = p[used], examples.is_right[used]
    sure = np.clip(np.where(is_right, p, 1.0 - p), 1e-9, 1.0)
    return {
        "n": len(p),
        "positives": int(is_right.sum()),
        "log_loss": round(float(-np.log(sure).mean()), 5),
        "ece": round(calibration_error(p, is_right), 5),
        "auc": round(_auc(p, is_right), 5),
    }


def _auc(p: Numbers, is_right: Flags) -> float:
    """Return how often a right pair has the higher probability; pairs of equal probability count half."""
    ordered = np.sort(p[~is_right])
    below, up_to = (np.searchsorted(ordered, p[is_right], side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * max(1, len(ordered))))


def _drawn(pairs: Iterable[LabelledTexts], seed: int) -> tuple[list[LabelledTexts], int]:
    """Draw at most MAX_ROWS pairs evenly (Vitter's algorithm R, 1985), and count all of them."""
    rng = np.random.default_rng(seed)
    drawn: list[LabelledTexts] = []
    n_seen = 0
    for n_seen, pair in enumerate(pairs, start=1):
        if len(drawn) < MAX_ROWS:
            drawn.append(pair)
        elif (place := int(rng.integers(n_seen))) < MAX_ROWS:
            drawn[place] = pair
    return drawn, n_seen


def check_labels(pairs: Sequence[LabelledTexts], has_start: bool) -> None:
    """Raise ConfigError for labels other than 1 and 0, and for too few pairs."""
    seen = Counter(label for _, _, label in pairs)
    strange = sorted(repr(label) for label in seen if label not in (0, 1))
    if strange:
        raise ConfigError(f"labels must be 1 or 0 (or true, false); these were seen too: {', '.join(strange[:8])}")
    needed, origin = (MIN_ROWS, "another one") if has_start else (MIN_ROWS_ALONE, "nothing")
    if len(pairs) < needed:
        advice = f"label {needed - len(pairs)} more (`semroute review` asks about those that tell most)"
        if not has_start and len(pairs) >= MIN_ROWS:
            advice += f", or start from another verifier, which takes {MIN_ROWS}"
        raise ConfigError(
            f"{len(pairs)} pairs are too few for a verifier that starts from {origin}: it needs at least {needed}; "
            f"{advice}"
        )
    _check_kinds(seen[True], len(pairs) - seen[True], "")


def _check_examples(examples: Examples) -> None:
    used = examples.weights > 0
    n_right = int(examples.is_right[used].sum())
    _check_kinds(n_right, int(used.sum()) - n_right, " that can be compared and are not the same words")
    n_units = len(np.unique(examples.units[used]))
    if n_units < FOLDS:
        raise ConfigError(
            f"training needs pairs of at least {FOLDS} sorts that share no question; these hang together in {n_units}"
        )


def _check_kinds(n_right: int, n_wrong: int, which: str) -> None:
    if min(n_right, n_wrong) < MIN_OF_A_KIND:
        raise ConfigError(
            f"training needs at least {MIN_OF_A_KIND} pairs of either label{which}; "
            f"these are {n_right} with the label 1 and {n_wrong} with the label 0"
        )


def digests(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return a digest of each question; how it is typed (case, marks, white space) makes no other question."""
    plain = [_plain(text) for text in texts]
    return np.array(
        [
            int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
            for text in plain
        ],
        np.uint64,
    )


def _plain(text: str) -> str:
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text.casefold()).split())


class _Ticks:
    """Moves a progress bar on by one a call."""

    def __init__(self, total: int, progress: Track) -> None:
        self._steps = iter(progress(range(total), "growing trees"))

    def __call__(self) -> None:
        next(self._steps, None)
