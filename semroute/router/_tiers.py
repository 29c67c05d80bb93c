"""How likely the model of each tier is good enough for a prompt, from its vector and what can be counted in it.

Logistic models, one set for each kind of prompt ("experts"): coefficients in JSON, evaluated by numpy alone. They are
fitted by `semroute.tuning.router_tiers`, and the calibration is folded into them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

import numpy as np

from semroute.errors import ConfigError, RouterError
from semroute.router._prompt_features import FEATURES, Kind, features_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.entry import JSON, FloatVector

    Numbers: TypeAlias = NDArray[np.float64]

ExpertName: TypeAlias = Literal["general", "general_text", "sum"]
"""`general` needs the vector, `general_text` stands in where there is none, `sum` knows better for prompts of its kind
and needs no vector."""

VERSION: Final = 1
EXPERTS: Final[tuple[ExpertName, ...]] = ("general", "general_text", "sum")
FURTHEST: Final = 4.0
"""A feature counts as at most so many standard deviations from its mean: an odd prompt is no extreme one."""
SHARPNESS: Final = 16.0
"""How sharply a prompt is told to the topics near it: shares are a softmax of this times the cosine."""
MAX_TIERS: Final = 32
_DIGITS: Final = 4
_AGAIN: Final = "train it again (semroute router train) or install the version that made it"


@dataclass(frozen=True, slots=True, eq=False)
class Topics:
    """Centres among the vectors that an expert was fitted on; a prompt belongs to several of them in shares."""

    steps: NDArray[np.int8]
    """The centres in units of `step`, shape (topics, dimensions)."""
    step: float
    weights: Numbers
    """What belonging to each topic adds, shape (topics, tiers)."""

    @classmethod
    def around(cls, centres: Numbers, n_tiers: int) -> Topics:
        """Return centres, as exactly as the file keeps them, that add nothing yet."""
        step = float(_short(np.array([max(float(np.abs(centres).max()), 1e-9) / 127]))[0])
        steps = np.clip(np.rint(centres / step), -127, 127).astype(np.int8)
        return cls(steps, step, np.zeros((len(centres), n_tiers)))

    @property
    def centres(self) -> Numbers:
        return np.asarray(self.steps * self.step, np.float64)

    def shares(self, vector: NDArray[np.floating[Any]]) -> Numbers:
        """Return how much a vector, or each of several, belongs to each topic; shape (..., topics), sums of 1."""
        return _softmax(SHARPNESS * (vector @ self.centres.T))

    def as_json(self) -> dict[str, JSON]:
        return {
            "n": len(self.steps),
            "step": self.step,
            "int8": base64.b64encode(self.steps.tobytes()).decode(),
            "weights": self.weights.T.tolist(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Expert:
    """Log-odds for each tier: intercept + clipped standardised features @ surface + vector @ vectors + topics."""

    mean: Numbers
    """Shape (features,)."""
    scale: Numbers
    """Standard deviations, shape (features,); 1 for a feature that never changed."""
    intercept: Numbers
    """Shape (tiers,)."""
    surface: Numbers
    """Shape (features, tiers)."""
    vectors: Numbers | None = None
    """Shape (dimensions, tiers); None for an expert that needs no vector."""
    topics: Topics | None = None

    def log_odds(self, features: Numbers, vector: NDArray[np.floating[Any]] | None) -> Numbers:
        """Return the log-odds of one prompt or of several; shape (..., tiers)."""
        standard = (features - self.mean) / self.scale
        found = self.intercept + np.minimum(np.maximum(standard, -FURTHEST), FURTHEST) @ self.surface
        if self.vectors is not None:
            if vector is None:
                raise RouterError("this expert needs the vector of the prompt")
            found = found + vector @ self.vectors
            if self.topics is not None:
                found = found + self.topics.shares(vector) @ self.topics.weights
        return np.asarray(found, np.float64)

    def calibrated(self, slope: Numbers, shift: Numbers) -> Expert:
        """Return the expert whose log-odds are slope × log-odds + shift, one slope and shift a tier."""
        return replace(
            self,
            intercept=self.intercept * slope + shift,
            surface=self.surface * slope,
            vectors=None if self.vectors is None else self.vectors * slope,
            topics=None if self.topics is None else replace(self.topics, weights=self.topics.weights * slope),
        )

    def rounded(self) -> Expert:
        """Return the expert with as many digits as its file keeps, so that what is measured is what is kept."""
        return Expert(
            mean=_short(self.mean),
            scale=_short(self.scale),
            intercept=_short(self.intercept),
            surface=_short(self.surface),
            vectors=None if self.vectors is None else _short(self.vectors),
            topics=None if self.topics is None else replace(self.topics, weights=_short(self.topics.weights)),
        )

    def as_json(self) -> dict[str, JSON]:
        told: dict[str, JSON] = {
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "intercept": self.intercept.tolist(),
            "surface": self.surface.T.tolist(),
        }
        if self.vectors is not None:
            told["vectors"] = self.vectors.T.tolist()
        if self.topics is not None:
            told["topics"] = self.topics.as_json()
        return told


@dataclass(frozen=True, slots=True, eq=False)
class _Folded:
    """An expert made ready for one prompt at a time: what meets the vector is one matrix."""

    expert: Expert
    inverse: Numbers
    onto_vector: NDArray[np.float32] | None
    """SHARPNESS × centres of the topics, then the coefficients of the vector; shape (topics + tiers, dimensions)."""
    n_topics: int

    @classmethod
    def of(cls, expert: Expert) -> _Folded:
        topics = expert.topics
        if expert.vectors is None:
            return cls(expert, 1 / expert.scale, None, 0)
        centres = np.zeros((0, len(expert.vectors))) if topics is None else SHARPNESS * topics.centres
        onto_vector = np.vstack([centres, expert.vectors.T]).astype(np.float32)
        return cls(expert, 1 / expert.scale, onto_vector, len(centres))

    def log_odds(self, features: Numbers, vector: FloatVector | None) -> Numbers:
        """Return what the expert does, to the precision of single floats."""
        expert = self.expert
        standard = (features - expert.mean) * self.inverse
        np.maximum(standard, -FURTHEST, out=standard)
        np.minimum(standard, FURTHEST, out=standard)
        found: Numbers = expert.intercept + standard @ expert.surface
        if self.onto_vector is not None and vector is not None:
            met = self.onto_vector @ vector
            found = found + met[self.n_topics :]
            if expert.topics is not None:
                found = found + _softmax(met[: self.n_topics]) @ expert.topics.weights
        return found


class TierPredictor:
    """Estimates for each tier, the weakest first, how likely its model answers a prompt well enough."""

    def __init__(self, embedder: str, tiers: Sequence[str], experts: Mapping[ExpertName, Expert]) -> None:
        self.embedder = embedder
        """Identity of the embedder whose vectors it was fitted on."""
        self.tiers = tuple(tiers)
        self.experts = dict(experts)
        _check(self)
        vectors = self.experts["general"].vectors
        self.dimensions = 0 if vectors is None else len(vectors)
        """How long a vector must be."""
        self._folded = {name: _Folded.of(expert) for name, expert in self.experts.items()}

    def __repr__(self) -> str:
        return f"<TierPredictor of {', '.join(self.tiers)} for {self.embedder}>"

    def predict(self, vector: FloatVector | None, text: str) -> Numbers:
        """Return P(good enough) for each tier, shape (tiers,).

        `vector` is the embedding of the text by the named embedder, or None where it has none (a text over the
        embedder's limit): it is then judged by its words alone. Raises RouterError for a vector of another length, or
        with numbers that are not finite.
        """
        features, kind = features_of(text)
        expert = self.expert_of(kind, has_vector=vector is not None)
        if vector is not None and (vector.shape != (self.dimensions,) or not math.isfinite(np.add.reduce(vector))):
            raise RouterError(
                f"a vector must hold {self.dimensions} finite numbers, and this one has the shape {vector.shape}"
                + ("" if np.isfinite(vector).all() else " and numbers that are not finite")
            )
        return _probability_of_few(self._folded[expert].log_odds(np.array(features), vector))

    def expert_of(self, kind: Kind, *, has_vector: bool) -> ExpertName:
        """Return which expert judges a prompt of a kind."""
        if kind == "sum" and "sum" in self.experts:
            return "sum"
        return "general" if has_vector else "general_text"

    def as_json(self) -> dict[str, JSON]:
        """Return the coefficients as they stand in a file."""
        return {
            "version": VERSION,
            "embedder": self.embedder,
            "tiers": list(self.tiers),
            "features": list(FEATURES),
            "experts": {name: expert.as_json() for name, expert in self.experts.items()},
        }

    @classmethod
    def of_json(cls, told: Mapping[str, JSON], source: str, *, embedder: str | None = None) -> Self:
        """Read coefficients; `embedder` is the one whose vectors it will be given.

        Raises ConfigError for what is damaged, of another version or of another embedder.
        """
        version = told.get("version")
        if version != VERSION:
            raise ConfigError(f"{source}: tiers have the version {version!r}, and this reads {VERSION}: {_AGAIN}")
        if told.get("features") != list(FEATURES):
            raise ConfigError(f"{source}: tiers were fitted on other features than this version counts: {_AGAIN}")
        try:
            experts = {name: _expert(told["experts"][name]) for name in EXPERTS if name in told["experts"]}  # type: ignore[index, operator, call-overload]  # checked by the except
            tiers, named = told["tiers"], told["embedder"]
            if not isinstance(tiers, list) or not isinstance(named, str):
                raise TypeError("tiers must be a list, and the embedder a text")
            predictor = cls(named, [str(tier) for tier in tiers], experts)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{source}: the coefficients of the tiers are damaged ({error}): {_AGAIN}") from error
        if embedder is not None and embedder != predictor.embedder:
            raise ConfigError(
                f"{source}: the tiers were fitted on vectors of the embedder {predictor.embedder}, and would be given "
                f"those of {embedder}: use that embedder, or fit a router for this one (semroute router train)"
            )
        return predictor


def _softmax(near: NDArray[np.floating[Any]]) -> Numbers:
    raised = np.exp(near - near.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float64)


def probability(log_odds: Numbers) -> Numbers:
    """Turn log-odds into probabilities."""
    odds: Numbers = np.exp(-np.abs(log_odds))
    return np.where(log_odds >= 0, 1.0, odds) / (1.0 + odds)


def _probability_of_few(log_odds: Numbers) -> Numbers:
    """Do what `probability` does: of a few numbers Python's own arithmetic takes less time than numpy's."""
    odds = np.exp(-np.abs(log_odds)).tolist()
    return np.array([(1.0 if x >= 0 else o) / (1.0 + o) for x, o in zip(log_odds.tolist(), odds, strict=True)])


def _short(numbers: Numbers) -> Numbers:
    kept = [float(f"{one:.{_DIGITS}g}") for one in numbers.ravel()]
    return np.array(kept, np.float64).reshape(numbers.shape)


def _expert(told: Any) -> Expert:
    mean, scale, intercept = (np.array(told[name], np.float64) for name in ("mean", "scale", "intercept"))
    vectors = np.array(told["vectors"], np.float64).T if "vectors" in told else None
    topics = _topics(told["topics"]) if "topics" in told else None
    return Expert(mean, scale, intercept, np.array(told["surface"], np.float64).T, vectors, topics)


def _topics(told: Any) -> Topics:
    steps = np.frombuffer(base64.b64decode(told["int8"], validate=True), np.int8).reshape(int(told["n"]), -1)
    return Topics(steps, float(told["step"]), np.array(told["weights"], np.float64).T)


def _check(predictor: TierPredictor) -> None:
    """Raise ConfigError for coefficients that do not go together."""
    n_tiers = len(predictor.tiers)
    if not 2 <= n_tiers <= MAX_TIERS or len(set(predictor.tiers)) < n_tiers:
        raise ConfigError(f"tiers must be 2 to {MAX_TIERS} different names, not {', '.join(predictor.tiers)}")
    if not {"general", "general_text"} <= predictor.experts.keys():
        raise ConfigError("tiers need an expert for prompts with a vector and one for prompts without")
    for name, expert in predictor.experts.items():
        n = len(FEATURES)
        shapes = (expert.mean.shape, expert.scale.shape, expert.intercept.shape, expert.surface.shape)
        if shapes != ((n,), (n,), (n_tiers,), (n, n_tiers)) or (expert.vectors is None) == (name == "general"):
            raise ConfigError(f"the expert {name} has coefficients of the shapes {shapes}")
        if expert.vectors is not None and (expert.vectors.ndim != 2 or expert.vectors.shape[1] != n_tiers):
            raise ConfigError(f"the expert {name} has vectors of the shape {expert.vectors.shape}")
        topics = expert.topics
        if topics is not None and (
            expert.vectors is None
            or topics.steps.shape != (len(topics.steps), len(expert.vectors))
            or topics.weights.shape != (len(topics.steps), n_tiers)
        ):
            raise ConfigError(
                f"the expert {name} has topics of the shapes {topics.steps.shape}, {topics.weights.shape}"
            )
        every = [expert.mean, expert.scale, expert.intercept, expert.surface]
        every += [] if expert.vectors is None else [expert.vectors]
        every += [] if topics is None else [topics.weights, np.array(topics.step)]
        if not all(np.isfinite(one).all() for one in every) or not (expert.scale > 0).all():
            raise ConfigError(f"the expert {name} has coefficients that are no numbers, or scales that are not above 0")
