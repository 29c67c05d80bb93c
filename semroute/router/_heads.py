"""The learned heads: intent, complexity and staleness as logistic models of one vector, and the file they stand in.

Every head is linear in the embedding, in the surface features and in the phrases of a text, and so is its calibration;
all of them are folded into one matrix when they are loaded, so that a prediction costs one product. A head never makes
milder what the rules say: of two opinions on staleness the shorter life wins, and an error to the rules stays one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, isfinite
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import numpy as np

from semroute.errors import ConfigError, RouterError
from semroute.router._surface import CUES, FEATURES, MEASURES, looked_at, measures, phrases
from semroute.router.decision import Complexity, Intent, RoutingDecision, Staleness
from semroute.router.rules import decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.entry import JSON, FloatVector

VERSION: Final = 1
YES_OR_NO: Final = ("no", "yes")
CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "changes": YES_OR_NO,
    "staleness": ("timeless", "slow", "daily"),
    "realtime": YES_OR_NO,
    "intent": get_args(Intent),
    "complexity": get_args(Complexity),
}
"""The heads that there are, in the order in which they may build on each other, with their classes.

`changes` says whether the answer depends on when it is asked, which no field of a decision says: the head for staleness
builds on it. `realtime` is a head of its own because it alone can keep an answer out of the cache.
"""
_AGAIN: Final = "train it again (semroute router train) or install the version that made it"
_LIVES: Final[tuple[Staleness, ...]] = ("realtime", "daily", "slow", "timeless")
"""The shortest first."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What heads and rules say of a text together."""

    intent: Intent
    complexity: Complexity
    staleness: Staleness
    rules: RoutingDecision
    """What the rules say alone."""
    learned: frozenset[str]
    """The fields that are a head's; the others are those of the rules."""
    probabilities: Mapping[str, Mapping[str, float]]
    """For each head, the calibrated probability of each of its classes."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One head as it stands in the file; rows are outputs: one for two classes, else one a class."""

    name: str
    intercept: NDArray[np.float64]
    vector: NDArray[np.float64]
    surface: NDArray[np.float64]
    """Columns are FEATURES."""
    phrases: NDArray[np.float64] | None
    """Columns are the phrases of the file; None for a head without them."""
    earlier: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """What the log-odds of heads that stand before this one add, by their names."""
    scale: float = 1.0
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    """The calibration: log-odds are multiplied by `scale`, then `shift` is added."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """Classes that are chosen as soon as, and only when, their probability reaches a number; the first one wins."""

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES[self.name]


def n_outputs(name: str) -> int:
    """Return how many log-odds a head has."""
    return 1 if len(CLASSES[name]) == 2 else len(CLASSES[name])


def probabilities(log_odds: Sequence[float]) -> list[float]:
    """Turn the log-odds of a head into the probabilities of its classes."""
    of_classes = (0.0, log_odds[0]) if len(log_odds) == 1 else log_odds
    most = max(of_classes)
    raised = [exp(one - most) for one in of_classes]
    total = sum(raised)
    return [one / total for one in raised]


def chosen(p: Mapping[str, float], at_least: Mapping[str, float]) -> str:
    """Return the class that a head decides for: see `Head.at_least`."""
    for name, least in at_least.items():
        if p[name] >= least:
            return name
    return max([name for name in p if name not in at_least], key=p.__getitem__)


class Heads:
    """Heads that were fitted together on the vectors of one embedder; `load` reads them."""

    def __init__(self, embedder: str, known_phrases: Sequence[str], heads: Sequence[Head]) -> None:
        self.embedder = embedder
        """Identity of the embedder whose vectors they were fitted on."""
        self.heads = tuple(heads)
        self._cues = {cue: len(MEASURES) + place for place, cue in enumerate(CUES)}
        self._phrases = {phrase: place for place, phrase in enumerate(known_phrases)}
        self._fold(len(known_phrases))

    def __repr__(self) -> str:
        return f"<Heads {', '.join(head.name for head in self.heads)} for {self.embedder}>"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(head.name for head in self.heads)

    @property
    def dimensions(self) -> int:
        """How long a vector must be."""
        return int(self.heads[0].vector.shape[1])

    def predict(self, vector: FloatVector, text: str, rules: RoutingDecision | None = None) -> Prediction:
        """Predict from a text and its vector; `rules` is what the rules decide, where that is known already.

        Raises RouterError for a vector of another length, or with numbers that are not finite.
        """
        judged = decide(text) if rules is None else rules
        log_odds = self._log_odds(vector, text, judged)
        p: dict[str, dict[str, float]] = {}
        picked: dict[str, str] = {}
        for head, start, stop in self._spans:
            of_classes = dict(zip(head.classes, probabilities(log_odds[start:stop]), strict=True))
            p[head.name], picked[head.name] = of_classes, chosen(of_classes, head.at_least)
        intent = judged.intent if judged.intent == "error" else cast("Intent", picked.get("intent", judged.intent))
        staleness = judged.staleness
        if "staleness" in picked:
            staleness = shorter(staleness, cast("Staleness", picked["staleness"]))
        if picked.get("realtime") == "yes":
            staleness = "realtime"
        return Prediction(
            intent=intent,
            complexity=cast("Complexity", picked.get("complexity", judged.complexity)),
            staleness=staleness,
            rules=judged,
            learned=frozenset(
                [name for name in ("intent", "complexity") if name in picked]
                + ["staleness"] * (staleness != judged.staleness)
            ),
            probabilities=p,
        )

    def _log_odds(self, vector: FloatVector, text: str, rules: RoutingDecision) -> list[float]:
        seen = looked_at(text)
        dense = np.zeros(self._dense.shape[1], np.float32)
        n_vector = self.dimensions
        if len(vector) != n_vector:
            raise RouterError(f"the router's heads need vectors of {n_vector} numbers, and this one has {len(vector)}")
        dense[:n_vector] = vector
        dense[n_vector : n_vector + len(MEASURES)] = measures(seen, len(text), rules)
        cues, known = self._cues, self._phrases
        said = set(phrases(seen))
        places = {known[phrase] for phrase in said if phrase in known}
        for cue in cues.keys() & said:
            dense[n_vector + cues[cue]] = 1.0
        log_odds = self._dense @ dense + self._intercept
        if places:
            log_odds += np.add.reduce(self._sparse.take(list(places), axis=0)) / len(places) ** 0.5
        found: list[float] = log_odds.tolist()
        if not all(map(isfinite, found)):
            raise RouterError("the router's heads cannot judge a vector with numbers that are not finite")
        return found

    def _fold(self, n_phrases: int) -> None:
        """Fold what heads take from earlier ones, and their calibration, into one matrix and one table of phrases."""
        spans: list[tuple[Head, int, int]] = []
        dense: dict[str, NDArray[np.float64]] = {}
        sparse: dict[str, NDArray[np.float64]] = {}
        intercepts: dict[str, NDArray[np.float64]] = {}
        start = 0
        for head in self.heads:
            own = np.zeros((len(head.intercept), n_phrases)) if head.phrases is None else head.phrases
            parts = np.hstack([head.vector, head.surface]), own, head.intercept
            for name, weights in head.earlier.items():
                before = dense[name], sparse[name], intercepts[name]
                parts = (
                    parts[0] + weights @ before[0],
                    parts[1] + weights @ before[1],
                    parts[2] + weights @ before[2],
                )
            dense[head.name], sparse[head.name] = head.scale * parts[0], head.scale * parts[1]
            intercepts[head.name] = head.scale * parts[2] + head.shift
            spans.append((head, start, start + len(head.intercept)))
            start += len(head.intercept)
        self._spans = tuple(spans)
        self._dense = np.vstack(list(dense.values())).astype(np.float32)
        self._sparse = np.ascontiguousarray(np.vstack(list(sparse.values())).T, np.float32)
        self._intercept = np.concatenate(list(intercepts.values())).astype(np.float32)


def shorter(one: Staleness, other: Staleness) -> Staleness:
    """Return whichever of two gives an answer the shorter life."""
    return min(one, other, key=_LIVES.index)


def load(told: Mapping[str, JSON], *, embedder: str | None, source: str = "the router's heads") -> Heads:
    """Read heads from their JSON; `embedder` is the identity of the embedder in use, None to accept any.

    Raises ConfigError for another version, for another embedder, and for what is missing or damaged.
    """
    if told.get("version") != VERSION:
        raise ConfigError(
            f"{source} have the version {told.get('version')!r}, and this one reads version {VERSION}: {_AGAIN}"
        )
    fitted_on = told.get("embedder")
    if embedder is not None and fitted_on != embedder:
        raise ConfigError(
            f"{source} were fitted on the vectors of {fitted_on!r}, and the embedder in use is {embedder!r}: "
            "train them for it (semroute router train) or use that embedder"
        )
    try:
        return _read(told, source)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{source} are damaged ({type(error).__name__}: {error}): {_AGAIN}") from error


def written(heads: Heads) -> dict[str, JSON]:
    """Return heads as the JSON that `load` reads."""
    return {
        "version": VERSION,
        "embedder": heads.embedder,
        "features": list(FEATURES),
        "phrases": list(heads._phrases),
        "heads": [_of_head(head) for head in heads.heads],
    }


def _of_head(head: Head) -> dict[str, JSON]:
    return {
        "name": head.name,
        "classes": list(head.classes),
        "intercept": head.intercept.tolist(),
        "vector": head.vector.tolist(),
        "surface": head.surface.tolist(),
        "phrases": None if head.phrases is None else head.phrases.tolist(),
        "earlier": {name: weights.tolist() for name, weights in head.earlier.items()},
        "calibration": {"scale": head.scale, "shift": head.shift.tolist()},
        "at_least": dict(head.at_least),
    }


def _read(told: Any, source: str) -> Heads:
    if not isinstance(told["embedder"], str):
        raise TypeError(f"{told['embedder']!r} is no identity of an embedder")
    unknown = [name for name in told["features"] if name not in FEATURES]
    if unknown:
        raise ConfigError(f"{source} need a feature that this version does not know ({unknown[0]!r}): {_AGAIN}")
    columns = [FEATURES.index(name) for name in told["features"]]
    known = [str(phrase) for phrase in told["phrases"]]
    heads: list[Head] = []
    for one in told["heads"]:
        head = _read_head(one, columns, len(known), source)
        before = {other.name: n_outputs(other.name) for other in heads}
        if head.name in before or not before.keys() >= head.earlier.keys():
            raise ValueError(f"the head {head.name!r} stands twice, or before one that it builds on")
        for name, weights in head.earlier.items():
            _shaped(weights, (n_outputs(head.name), before[name]), name)
        heads.append(head)
    if not heads:
        raise ValueError("there is no head")
    if len({head.vector.shape[1] for head in heads} | {0}) != 2:
        raise ValueError("the heads were fitted on vectors of several lengths, or of none")
    return Heads(told["embedder"], known, heads)


def _read_head(told: Any, columns: Sequence[int], n_phrases: int, source: str) -> Head:
    name = told["name"]
    if name not in CLASSES or tuple(told["classes"]) != CLASSES[name]:
        raise ConfigError(f"{source} have a head {name!r} that this version does not know: {_AGAIN}")
    n = n_outputs(name)
    listed = _shaped(told["surface"], (n, len(columns)), "surface")
    surface = np.zeros((n, len(FEATURES)))
    surface[:, list(columns)] = listed
    calibration = told["calibration"]
    at_least = {key: float(_shaped(least, (), "at_least")) for key, least in told["at_least"].items()}
    if not at_least.keys() < set(CLASSES[name]):
        raise ValueError(f"the thresholds of {name!r} leave no class, or name one that it does not have")
    return Head(
        name=name,
        intercept=_shaped(told["intercept"], (n,), "intercept"),
        vector=_shaped(told["vector"], (n, len(told["vector"][0])), "vector"),
        surface=surface,
        phrases=None if told["phrases"] is None else _shaped(told["phrases"], (n, n_phrases), "phrases"),
        earlier={key: np.asarray(weights, np.float64) for key, weights in told["earlier"].items()},
        scale=float(_shaped(calibration["scale"], (), "scale")),
        shift=_shaped(calibration["shift"], (n,), "shift"),
        at_least=at_least,
    )


def _shaped(told: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    numbers = np.asarray(told, np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise ValueError(f"{what} must be {shape} finite numbers, not {numbers.shape}")
    return numbers
